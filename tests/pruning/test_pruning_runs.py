"""Whole runs with the methods that cut: trained, shrunk, saved, exported and used."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import tensorflow as tf
import tiny_bert
import tiny_runs
from messages import refuses
from slow_fixtures import slow_to_make

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import batching, layouts, readers, tasks, vocabulary
from bert_glue_tf.evaluation import evaluator
from bert_glue_tf.models import classifiers, loading, saving
from bert_glue_tf.models.bert import cutting
from bert_glue_tf.models.bert.architecture import Architecture
from bert_glue_tf.models.bert.classifier_weights import SavedWeights, from_weights, read_weights
from bert_glue_tf.runs import finished
from bert_glue_tf.serving.classifier import Classifier

# Found once: 2 layers, hidden 16, 4 heads, 32 neurons.
HIDDEN, INNER, PIECES = 16, 32, len(tiny_bert.VOCABULARY)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> str:
    return str(tiny_bert.write_pair(tmp_path_factory.mktemp("encoder"), layers=2, heads=4))


def train(folder: pathlib.Path, encoder: str, glue: pathlib.Path, method: str, **settings):
    return tiny_runs.train(
        folder,
        encoder,
        glue,
        pruning_method=method,
        **{"final_sparsity": 0.5, "epochs": 4, **settings},
    )


@pytest.fixture(scope="module")
@slow_to_make
def at_once(tmp_path_factory, encoder, tiny_glue) -> tuple[finished.Run, finished.Run]:
    """A fine-tuned run, and one that has pruned its model at once."""
    folder = tmp_path_factory.mktemp("at_once")
    settings = {"finetune_epochs": 3, "pruning_schedule": "one_shot", "epochs": 1}
    run = train(folder / "run", encoder, tiny_glue, "magnitude", **settings)
    return finished.Run.read(folder / run.config.starting_point.run_name), run


def weights(run: finished.Run) -> SavedWeights:
    return read_weights(run.folder.model)


def test_heads_and_neurons_are_cut_out_and_the_file_gives_the_same_labels(
    tmp_path, encoder, tiny_glue, at_once, caplog
):
    caplog.set_level("INFO", logger="absl")
    run = train(tmp_path / "cut", encoder, tiny_glue, "attention_head,neuron", epochs=8)
    # One cut takes out what both have zeroed.
    assert sum("which cannot be cut" in line.getMessage() for line in caplog.records) == 1
    found = weights(run)
    assert found.architecture.layers == 2
    for layer in range(2):
        at = f"transformer/layer_{layer}"
        assert found.encoder[f"{at}/self_attention/query/kernel"].shape == (HIDDEN, 2, 4)
        assert found.encoder[f"{at}/intermediate/kernel"].shape == (HIDDEN, INNER // 2)
    record = run.result
    plain = at_once[0].result
    heads = 2 * 2 * (3 * (HIDDEN * 4 + 4) + 4 * HIDDEN)  # Two layers, two heads.
    neurons = 2 * (INNER // 2) * (2 * HIDDEN + 1)
    assert plain.parameters["total"] - record.parameters["total"] == heads + neurons
    assert record.parameters["whole"] == plain.parameters["whole"] == plain.parameters["total"]
    whole = [{"heads": 4, "neurons": INNER}] * 2
    assert plain.widths == {"before": whole, "after": whole}
    assert record.widths == {"before": whole, "after": [{"heads": 2, "neurons": INNER // 2}] * 2}
    assert record.parameters["pruned"] / record.parameters["prunable"] == 0.5
    assert set(record.sparsity.values()) == {0.5}
    # The same labels from the folder's model, from the predictions that training wrote, and
    # from the exported file.
    exported = tiny_runs.export(run, ["float32"])
    texts = readers.load_for_training(tasks.get("sst2"), str(tiny_glue), 0)["validation"].texts[0]
    answers = [
        [answer.label for answer in Classifier.load(path, 1).predict([(text,) for text in texts])]
        for path in (run.path, exported.model("float32"))
    ]
    assert answers[0] == answers[1]
    assert len(set(answers[0])) == 2


def test_the_top_layers_go(tmp_path, encoder, tiny_glue):
    run = train(tmp_path / "run", encoder, tiny_glue, "layer")
    assert weights(run).architecture.layers == 1
    assert run.result.sparsity == {"layers": 0.5}
    counts = run.result.parameters
    assert counts["whole"] - counts["total"] == counts["pruned"]  # Cut before the training.
    assert run.result.parameters["pruned"] * 2 == run.result.parameters["prunable"]


def test_layers_go_greedily_by_the_score_on_held_out_examples(tmp_path, encoder, tiny_glue):
    run = train(
        tmp_path / "greedy",
        encoder,
        tiny_glue,
        "layer",
        pruning_options="order=greedy",
        finetune_epochs=6,
        held_out=40,
        epochs=1,
    )
    assert weights(run).architecture.layers == 1
    assert run.result.data["train"]["examples"] == 120
    start = run.config.starting_point
    fine_tuned = read_weights(tmp_path / start.run_name / "model")
    # Both candidates, scored anew: the layer that is left is the one that scores better alone.
    read = readers.load_for_training(tasks.get("sst2"), str(tiny_glue), 0)
    _, held_out = read["train"].hold_out(40, tasks.get("sst2").problem)
    tokenizer = finished.Run.read(tmp_path / start.run_name).folder.model / "preprocessing"
    from bert_glue_tf.data import preprocessing

    built = preprocessing.build(
        preprocessing.load(str(tokenizer), ""), tasks.get("sst2").text_fields, 32
    )
    split = batching.tokenize(built, "held out", held_out)
    scores = {}
    for kept in range(2):
        model = from_weights(cutting.drop_layers(fine_tuned, [kept]))
        found = evaluator.evaluate(
            classifiers.predict_fn(model, layouts.Packed()),
            split,
            tasks.get("sst2"),
            batch_size=64,
            layout=layouts.Packed(),
        ).metrics
        scores[kept] = (found["accuracy"], -found["loss"])
    best = max(scores, key=scores.__getitem__)
    name = "intermediate/kernel"
    left = weights(run).encoder[f"transformer/layer_0/{name}"]
    # An epoch of training has moved it, but not to where the other layer was.
    far = [
        np.linalg.norm(left - fine_tuned.encoder[f"transformer/layer_{i}/{name}"]) for i in range(2)
    ]
    assert np.argmin(far) == best, (scores, far)


@pytest.mark.parametrize(
    ("method", "settings", "named"),
    [
        ("layer", {"pruning_options": "order=greedy"}, "--finetune_epochs is 0"),
        ("layer", {"final_sparsity": 0.9}, "at most 0.5"),
        ("layer", {"final_sparsity": 0.3}, "0 or 0.5"),
        ("layer", {"pruning_options": "order=bottom"}, "order=bottom"),
        ("vocabulary", {"pruning_options": "keep=0"}, "keep=0"),
        (
            "attention_head",
            {"final_sparsity": 0.3},
            "4 heads in transformer/layer_0/heads",
        ),
        (
            "attention_head",
            {"held_out": 160},
            "--held_out=160",
        ),
    ],
)
def test_what_cannot_be_cut_is_told_before_any_training(
    tmp_path, encoder, tiny_glue, method, settings, named
):
    with refuses(UserError, named):
        train(tmp_path / "run", encoder, tiny_glue, method, **settings)
    assert not (tmp_path / "run" / "history.csv").exists()


@pytest.mark.parametrize(
    ("method", "settings", "named"),
    [
        (
            "attention_head",
            {"final_sparsity": 0.3},
            "4 heads in transformer/layer_0/heads",
        ),
        ("block", {"pruning_options": "block=5x5"}, "block=5x5"),
        ("magnitude", {"pruning_weights": "qerry"}, "--pruning_weights=qerry"),
        ("layer", {"pruning_options": "order=greedy"}, "--held_out is 0"),
        ("gradient", {"begin_step": 0}, "--begin_step=0"),
    ],
)
def test_what_cannot_be_done_is_told_before_the_fine_tuning(
    tmp_path, encoder, tiny_glue, method, settings, named
):
    with refuses(UserError, named):
        train(tmp_path / "run", encoder, tiny_glue, method, finetune_epochs=1, **settings)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert not (tmp_path / "run" / "history.csv").exists()


def test_what_a_cut_and_a_mask_remove_of_the_same_weights_is_counted_once(
    tmp_path, encoder, tiny_glue
):
    run = train(tmp_path / "layers", encoder, tiny_glue, "layer,magnitude", epochs=1)
    shapes = Architecture(**found_shapes(run)).shapes()
    layer = {n: int(np.prod(s)) for n, s in shapes.items() if n.startswith("transformer/layer_0/")}
    kernels = sum(size for name, size in layer.items() if name.endswith("kernel"))
    # One of two layers, and half of the other's kernels.
    assert run.result.parameters["prunable"] == 2 * sum(layer.values())
    assert run.result.parameters["pruned"] == sum(layer.values()) + kernels // 2

    run = train(
        tmp_path / "pieces",
        encoder,
        tiny_glue,
        "vocabulary,magnitude",
        pruning_options="keep=0.8",
        pruning_weights="word_embeddings",
        pruning_scope="embeddings",
        epochs=1,
    )
    table = weights(run).encoder["word_embeddings/embeddings"]
    rows = int(0.8 * PIECES)
    left = np.count_nonzero(table)
    assert table.shape == (rows, HIDDEN)
    assert left == rows * HIDDEN - round(rows * HIDDEN / 2)
    assert run.result.parameters["prunable"] == PIECES * HIDDEN
    assert run.result.parameters["pruned"] == PIECES * HIDDEN - left
    assert run.result.sparsity == {
        "word_embeddings/embeddings": pytest.approx(1 - left / (PIECES * HIDDEN))
    }


def test_a_smaller_vocabulary_goes_with_the_model(tmp_path, encoder, tiny_glue):
    run = train(
        tmp_path / "run", encoder, tiny_glue, "vocabulary,neuron", pruning_options="keep=0.8"
    )
    found = weights(run)
    pieces = vocabulary.read(run.folder.model / "preprocessing")
    rows = len(found.encoder["word_embeddings/embeddings"])
    assert rows == len(pieces) == found.architecture.vocab_size == int(0.8 * PIECES)
    assert run.result.sparsity["word_embeddings/embeddings"] == pytest.approx(1 - rows / PIECES)
    assert found.encoder["transformer/layer_0/intermediate/kernel"].shape[1] == INNER // 2
    # Each row is the piece's own.
    exported = tiny_runs.export(run, ["float32"])
    assert exported.vocabulary.read_text().splitlines() == list(pieces)
    answers = [
        Classifier.load(path, 1).predict([("a great film",)])[0].label
        for path in (run.path, exported.model("float32"))
    ]
    assert answers == ["positive", "positive"]


def test_pruning_a_fine_tuned_model_at_once(at_once):
    fine_tuned, run = at_once
    start = weights(fine_tuned)
    for name, value in weights(run).encoder.items():
        if "kernel" in name and "transformer" in name:
            before = np.abs(start.encoder[name])
            gone = value == 0
            assert gone.sum() == value.size // 2
            assert before[gone].max() <= before[~gone].min(), "ranked by the fine-tuned weights"
    assert set(run.result.sparsity) == {
        name
        for name in Architecture(**found_shapes(run)).shapes()
        if "transformer" in name and name.endswith("kernel")
    }


def found_shapes(run: finished.Run) -> dict:
    description = saving.read_description(run.folder.model)["encoder"]
    return {name: value for name, value in description.items() if name != "blocks"}


def test_a_saved_model_encoder_is_pruned_by_its_variables(
    tmp_path, encoder, tiny_glue, monkeypatch
):
    load = loading.load
    monkeypatch.setattr(
        loading,
        "load",
        lambda source, **options: load(source, **{**options, "family": "saved_model"}),
    )
    run = train(tmp_path / "magnitude", encoder, tiny_glue, "magnitude", epochs=1)
    assert run.result.encoder["family"] == "saved_model"
    assert len(run.result.sparsity) == 12  # Six matrices of two layers.
    assert set(run.result.sparsity.values()) == {0.5}
    saved = tf.saved_model.load(str(run.folder.model))
    zeros = {v.name: np.mean(v.numpy() == 0) for v in saved.variables if "query/kernel" in v.name}
    assert list(zeros.values()) == [0.5, 0.5]
    with refuses(UserError, "attention_head", "SavedModel"):
        train(tmp_path / "attention_head", encoder, tiny_glue, "attention_head", epochs=1)
