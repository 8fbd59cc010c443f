"""One BERT in several sizes: networks of the first heads, neurons and some layers of the whole."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tiny_bert
import tiny_runs
from messages import refuses
from slow_fixtures import slow_to_make
from tiny_classifier import classifier, start

from bert_glue_tf.compression import registry
from bert_glue_tf.compression.schedule import PruningContext
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.data.preprocessing import INPUTS
from bert_glue_tf.export import launch
from bert_glue_tf.models import sizes
from bert_glue_tf.models.bert.classifier_weights import read_weights
from bert_glue_tf.runs import finished
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.run_folder import RunFolder
from bert_glue_tf.serving.classifier import Classifier
from bert_glue_tf.training import callbacks, experiment

TASK = tasks.get("mnli")
HEADS, INNER, LAYERS = 4, 32, 3
WIDTHS, DEPTHS = (0.25, 0.5, 1.0), (1 / 3, 1.0)
OPTIONS = "widths=0.25,0.5,1.0 depths=0.3333,1.0"
NAMES = ("w0.25-d0.3333", "w0.5-d0.3333", "w0.25-d1", "w1-d0.3333", "w0.5-d1", "w1-d1")
LEFT = {"w0.25": (1, 8), "w0.5": (2, 16), "w1": (4, 32)}


def features(seed=0, texts=4, length=8):
    random = np.random.default_rng(seed)
    ids = random.integers(5, 60, (texts, length)).astype(np.int32)
    arrays = (ids, np.ones_like(ids), np.zeros_like(ids))
    return {name: tf.constant(value) for name, value in zip(INPUTS, arrays, strict=True)}


class Prepared:
    """A tiny classifier of three layers under the method, before its first step."""

    def __init__(self, options=f"{OPTIONS} score=magnitude layers=important", layers=LAYERS):
        self.shapes = tiny_bert.architecture(layers=layers, heads=HEADS)
        config = ExperimentConfig(
            task="mnli", pruning_method="elastic", pruning_options=options, finetune_epochs=1
        )
        self.method = registry.build(config)
        self.model, self.drawn = classifier(self.shapes)
        self.method.reshape(start(tiny_bert.backbone(self.model.layers[-3], self.shapes), TASK))
        context = PruningContext.from_config(config, 20, self.method.waits, self.method.schedule)
        self.method.prepare(self.model, context)

    def weights(self):
        return {self.method.backbone.name_of(v): v.numpy() for v in self.model.variables}


@pytest.fixture(scope="module")
def sorted_once():
    """The method after its sorting, with the answers and the weights from before it."""
    one = Prepared()
    before = one.model(features(), training=False).numpy(), one.weights()
    one.method.advance(0)
    return one, *before


def test_sorting_leaves_the_function_as_it_is_and_puts_the_largest_first(sorted_once):
    one, logits, before = sorted_once
    np.testing.assert_allclose(one.model(features(), training=False), logits, atol=1e-5)
    after = one.weights()
    for layer in range(LAYERS):
        at = f"transformer/layer_{layer}"
        for out, others in (
            (
                "self_attention/attention_output/kernel",
                {
                    f"self_attention/{part}/{leaf}": axis
                    for part in ("query", "key", "value")
                    for leaf, axis in (("kernel", 1), ("bias", 0))
                },
            ),
            ("output/kernel", {"intermediate/kernel": 1, "intermediate/bias": 0}),
        ):
            members = {out: 0, **others}

            def total(values, members=members, at=at):
                return sum(
                    np.square(np.moveaxis(values[f"{at}/{name}"], axis, 0))
                    .reshape(values[f"{at}/{name}"].shape[axis], -1)
                    .sum(1)
                    for name, axis in members.items()
                )

            order = np.argsort(-total(before), kind="stable")
            assert (np.diff(total(after)) <= 1e-6).all()
            for name, axis in members.items():
                expected = np.take(before[f"{at}/{name}"], order, axis)
                np.testing.assert_array_equal(after[f"{at}/{name}"], expected)


@pytest.mark.parametrize("number", range(len(NAMES)))
def test_a_network_while_it_trains_is_the_slice_that_is_saved(sorted_once, number):
    one, *_ = sorted_once
    held = one.method.sizes()
    assert held.names == NAMES
    _width, depth = one.method.shapes[NAMES[number]]
    way = int(held.computation_of(tf.constant(number)))
    before = [variable.numpy() for variable in held.switched]
    for variable, values in zip(held.switched, before, strict=True):
        variable.assign(held.select(variable, tf.constant(values), tf.constant(number)))
    with held.computations[way]():
        trained = tf.function(lambda: one.model(features(), training=False))().numpy()
    for variable, values in zip(held.switched, before, strict=True):
        variable.assign(values)
    with held.network(one.model, number) as smaller:
        np.testing.assert_allclose(smaller(features(), training=False), trained, atol=1e-5)
        widths = one.method.backbone.widths(smaller)
    heads, neurons = LEFT[NAMES[number].split("-")[0]]
    layers = 1 if depth == 0 else LAYERS
    assert widths == [{"heads": heads, "neurons": neurons}] * layers
    assert len(one.method.kept(depth)) == layers
    # The layer that is left is the one of the largest units.
    if layers == 1:
        scores = np.zeros(LAYERS)
        for place, group in enumerate(one.method.all_groups):
            scores[place // 2] += one.method.score(group).sum()
        assert one.method.kept(depth) == [int(scores.argmax())]
        assert held.sources(number) == (
            {}
            if scores.argmax() == 0
            else {"transformer/layer_0/": f"transformer/layer_{scores.argmax()}/"}
        )


@pytest.mark.parametrize(
    ("layers", "fraction", "kept"),
    [(3, "0.3333", [2]), (3, "0.6667", [1, 2]), (6, "0.5", [1, 3, 5]), (4, "0.75", [1, 2, 3])],
)
def test_layers_are_spread_and_the_last_one_is_always_there(layers, fraction, kept):
    one = Prepared(f"widths=1 depths={fraction},1 score=magnitude", layers)
    one.method.advance(0)
    assert one.method.kept(0) == kept
    assert one.method.kept(1) == list(range(layers))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> str:
    return str(tiny_bert.write_pair(tmp_path_factory.mktemp("encoder"), layers=LAYERS, heads=HEADS))


SETTINGS = {
    "pruning_method": "elastic",
    "pruning_options": "widths=0.5,1.0 depths=0.3333,1.0",
    "finetune_epochs": 4,
    "epochs": 2,
}
FOUR = ("w0.5-d0.3333", "w1-d0.3333", "w0.5-d1", "w1-d1")


@pytest.fixture(scope="module")
@slow_to_make
def trained(tmp_path_factory, encoder, tiny_glue) -> finished.Run:
    """A run of four sizes."""
    folder = tmp_path_factory.mktemp("elastic")
    return tiny_runs.train(folder / "run", encoder, tiny_glue, **SETTINGS)


def test_each_size_is_the_first_heads_and_neurons_of_the_largest(trained):
    assert trained.sizes == FOUR
    whole = read_weights(trained.folder.model)
    for name in FOUR[:-1]:
        run = trained.of_size(name)
        own = read_weights(run.folder.model)
        assert sizes.own_variables(run.folder.model) == []
        width, depth = name.split("-")
        layers = 1 if depth != "d1" else LAYERS
        assert own.architecture.layers == layers
        heads, neurons = LEFT[width]
        assert run.result.widths["after"] == [{"heads": heads, "neurons": neurons}] * layers
        gone = whole.encoder and trained.result.parameters["total"] - run.result.parameters["total"]
        assert run.result.parameters["pruned"] == gone > 0
        kept = [
            layer
            for layer in range(LAYERS)
            if np.array_equal(
                own.encoder["transformer/layer_0/output/bias"],
                whole.encoder[f"transformer/layer_{layer}/output/bias"],
            )
        ]
        source = f"transformer/layer_{kept[0]}"
        np.testing.assert_array_equal(
            own.encoder["transformer/layer_0/self_attention/query/kernel"],
            whole.encoder[f"{source}/self_attention/query/kernel"][:, :heads],
        )
        np.testing.assert_array_equal(
            own.encoder["transformer/layer_0/output/kernel"],
            whole.encoder[f"{source}/output/kernel"][:neurons],
        )


def test_a_size_answers_as_its_record_and_as_its_file(trained):
    texts = [(text,) for text, _ in tiny_runs.sentences(20, 4)]
    ((folder, (record,)),) = launch.launch_sizes(
        trained.path,
        size=FOUR[0],
        recipes=["float32"],
        seq_lengths=["16"],
        threads=1,
        calibration_examples=8,
        latency_repetitions=2,
    )
    assert record.size == FOUR[0]
    assert record.metrics["accuracy"] == trained.of_size(FOUR[0]).result.metrics["accuracy"]
    answers = [
        Classifier.load(path, size=size).logits(texts)
        for path, size in ((trained.path, FOUR[0]), (folder.model("float32"), ""))
    ]
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-4)
    whole = Classifier.load(trained.path).logits(texts)
    assert np.abs(whole - answers[0]).max() > 1e-3


def test_an_interrupted_run_goes_on_to_the_same_weights(
    trained, tmp_path, encoder, tiny_glue, monkeypatch
):
    config = trained.config
    place = tmp_path / "run"

    class Interrupt(callbacks.Checkpoint):
        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)
            raise KeyboardInterrupt

    # It starts from the same fine-tuned run.
    begun = trained.path.parent / config.starting_point.run_name
    (tmp_path / begun.name).symlink_to(begun)
    with monkeypatch.context() as patched:
        patched.setattr(callbacks, "Checkpoint", Interrupt)
        with pytest.raises(KeyboardInterrupt):
            experiment.train_and_evaluate(config, RunFolder.open(place, config))
    experiment.train_and_evaluate(config, RunFolder.open(place, config))
    one, other = (read_weights(folder / "model") for folder in (trained.path, place))
    for name, value in one.encoder.items():
        np.testing.assert_array_equal(other.encoder[name], value, err_msg=name)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("widths=0.5,0.25,1.0", "they rise"),
        ("widths=0.25,0.5", "the last is 1"),
        ("widths=0,1", "0 is not in (0, 1]"),
        ("widths=half,1", "'half' is no number"),
        ("depths=0.5,2", "2 is not in (0, 1]"),
        ("widths=1 depths=1", "1 network"),
        ("layers=first", "spread, important"),
        ("states=-1", "states=-1: give a weight"),
        ("states=much", "states=much: give a weight"),
        ("final_sparsity=0.5", "final_sparsity=0.5"),
        ("score=size", "score=size"),
    ],
)
def test_bad_options_are_refused(options, named):
    with refuses(UserError, "--pruning_options", named):
        registry.build(ExperimentConfig(pruning_method="elastic", pruning_options=options))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("widths=0.3,1 depths=1 score=magnitude", "0.3 of the 4 heads"),
        ("widths=0.5,1 depths=0.5,1 score=magnitude", "0.5 of the 3 layers"),
    ],
)
def test_a_fraction_that_no_number_of_units_is_is_refused(options, named):
    with refuses(UserError, "--pruning_options", named, "The nearest: "):
        Prepared(options)


def test_it_starts_from_a_fine_tuned_network():
    config = ExperimentConfig(pruning_method="elastic")
    method = registry.build(config)
    context = PruningContext.from_config(config, 100, method.waits, method.schedule)
    with refuses(UserError, "--pruning_method=elastic", "--finetune_epochs"):
        method.context(context)
    with refuses(UserError, "--pruning_schedule=iterative"):
        registry.check("elastic", "", {"pruning_schedule": "iterative"})
