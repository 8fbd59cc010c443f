"""Words tagged through the whole path: train, record, export, predict, compare, own files."""

from __future__ import annotations

import json
import pathlib
import types

import numpy as np
import pytest
import tiny_runs
from messages import refuses
from slow_fixtures import slow_to_make

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import readers, tasks
from bert_glue_tf.data.own import files, table
from bert_glue_tf.data.words import between_blanks
from bert_glue_tf.evaluation import predictions
from bert_glue_tf.export.folder import ExportFolder
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.finished import Run
from bert_glue_tf.serving import answers
from bert_glue_tf.serving.classifier import Classifier
from bert_glue_tf.training import starting_point

NOUNS = ("film", "movie", "book")


def sentences(number, seed):
    """Words and tags: the nouns of a sentence, two at times, are liked."""
    random = np.random.default_rng(seed)
    found = []
    for i in range(number):
        noun = list(random.choice(NOUNS, 1 + i % 3 // 2))
        tags = ["B-POS", "I-POS"][: len(noun)]
        found.append((["the", *noun, "is", "good"], ["O", *tags, "O", "O"]))
    return found


def as_aspects(rows):
    lines = []
    for words, tags in rows:
        plain = [f"T-{tag[2:]}" if tag != "O" else tag for tag in tags]
        tagged = " ".join(f"{word}={tag}" for word, tag in zip(words, plain, strict=True))
        lines.append(f"{' '.join(words)}####{tagged}\n")
    return "".join(lines)


def as_conll(rows):
    return "\n".join(
        "".join(f"{word} X {tag}\n" for word, tag in zip(words, tags, strict=True))
        for words, tags in rows
    )


@pytest.fixture(scope="module")
@slow_to_make
def finished(tiny_encoder, tmp_path_factory) -> tuple[Run, ExportFolder]:
    """A run of the aspects with a chain of tags, and its files."""
    root = tmp_path_factory.mktemp("tagging")
    folder = root / "absa" / "rest16"
    folder.mkdir(parents=True)
    for name, number, seed in (("train", 160, 1), ("dev", 40, 2), ("test", 40, 3)):
        (folder / f"{name}.txt").write_text(as_aspects(sentences(number, seed)))
    run = tiny_runs.train(
        root / "run",
        tiny_encoder,
        folder.parent,
        task="rest16_e2e",
        tagging_head="crf",
        epochs=14,
        pruning_method="magnitude",
        final_sparsity=0.2,
        pruning_scope="encoder",
    )
    return run, tiny_runs.export(run, ["float32", "dynamic_int8"], (16,))


def test_the_record_has_the_scores_of_spans_on_both_splits(finished):
    run, _ = finished
    record = run.result
    for name in ("span_f1", "entity_f1", "tag_accuracy"):
        assert record.metrics[name] >= 0.9
        assert record.metrics[f"{name}_test"] >= 0.9
        low, high = record.intervals[f"{name}_test"]
        assert low <= record.metrics[f"{name}_test"] <= high
    assert record.collapsed == ""
    answered = predictions.read(run.folder.predictions_file("test"), run.task, 40)
    assert answered.labels.shape == (40, 5)
    assert answered.logits.shape == (40, 5, 13)


def test_the_chain_is_kept_with_the_run_and_with_the_file(finished):
    run, folder = finished
    table_of = run.task.problem.transitions
    assert (len(table_of), len(table_of[0])) == (15, 13)
    assert np.abs(table_of).max() > 0
    values = json.loads(folder.metadata("dynamic_int8").read_text())
    assert values["transitions"] == [list(row) for row in table_of]
    assert Classifier.load(folder.model("dynamic_int8"), 1).task.problem == run.task.problem
    assert tasks.get("rest16_e2e").problem.transitions == ()


def test_the_files_tag_pieces_and_predict_finds_spans(finished):
    _, folder = finished
    for recipe in ("float32", "dynamic_int8"):
        record = folder.records()[recipe]
        assert record.metrics["span_f1_test"] >= 0.9
        classifier = Classifier.load(folder.model(recipe), 2)
        two, one = classifier.predict([("the film movie is  good",), ("the book is good",)])
        assert [(span.text, span.type) for span in two.spans] == [("film movie", "POS")]
        assert [(span.text, span.type) for span in one.spans] == [("book", "POS")]
        assert one.label == "O S-POS O O"
    assert folder.records()["float32"].parity["flips"] == 0
    (line,) = answers.to_text(classifier, ["the book is good"], "text")
    assert line.startswith("book [POS 0.")
    (line,) = answers.to_text(classifier, ["the book is good"], "jsonl")
    assert json.loads(line)["spans"][0]["start"] == 1


def test_a_student_learns_a_teachers_tags_for_a_quantized_file(finished, tiny_encoder, tmp_path):
    teacher, _ = finished
    run = tiny_runs.train(
        tmp_path / "student",
        tiny_encoder,
        pathlib.Path(teacher.config.data),
        task="rest16_e2e",
        epochs=2,
        teacher=str(teacher.path),
        distill_weight=0.5,
        quantize_aware="dynamic_int8",
        packing="false",
        keep="best",
        keep_after=20,
    )
    assert run.result.teacher["train_metrics"]["span_f1"] >= 0.9
    record = tiny_runs.export(run, ["dynamic_int8"], (16,)).records()["dynamic_int8"]
    # The converter moves the last norm's beta into the dense layer behind it, whose inputs are then
    # rounded without it: less than half of a step of int8.
    assert record.parity["flips"] == 0
    assert record.parity["largest_difference"] < 0.05


# Tables of the user's own.


def config(path, **more):
    return ExperimentConfig(task="mine", data=str(path), **more)


def test_a_conll_file_and_its_jsonl_pose_the_same_task(tmp_path):
    rows = sentences(20, 1)
    (tmp_path / "a.conll").write_text(as_conll(rows))
    lines = [json.dumps({"tokens": words, "tags": tags}) for words, tags in rows]
    (tmp_path / "b.jsonl").write_text("\n".join(lines))
    read = []
    for name in ("a.conll", "b.jsonl"):
        task = readers.task_of(config(tmp_path / name))
        assert task.problem.labels == ("O", "B-POS", "I-POS")
        assert task.primary_metric == "entity_f1"
        read.append(readers.load(task, str(tmp_path / name), "train"))
    assert read[0].texts == read[1].texts
    np.testing.assert_array_equal(read[0].labels, read[1].labels)
    assert len(read[0]) == 18  # Two are kept for validation.
    numbers = {"tokens": ["a", "b"], "tags": [2, 0]}
    assert table.parse("x.jsonl", json.dumps(numbers).encode()).columns["tags"] == [[2, 0]]


def load(folder):
    task = readers.task_of(config(folder))
    return [readers.load(task, str(folder), split) for split in ("train", "validation")]


def write_splits(folder, train, validation):
    for name, rows in (("train", train), ("validation", validation)):
        lines = [json.dumps({"tokens": words, "tags": tags}) for words, tags in rows]
        (folder / f"{name}.jsonl").write_text("\n".join(lines))


def test_broken_sequences_are_repaired_and_counted(tmp_path, caplog):
    rows = sentences(4, 1)
    broken = (["the", "film", "story", "is"], ["O", "I-POS", "I-POS", None])
    write_splits(tmp_path, [*rows, broken], rows)
    with caplog.at_level("WARNING", logger="absl"):
        train, _ = load(tmp_path)
    labels = readers.task_of(config(tmp_path)).problem.labels
    assert [labels[one] if one >= 0 else "" for one in train.labels[4]] == [
        "O",
        "B-POS",
        "I-POS",
        "",
        "",
    ]
    (said,) = [one.getMessage() for one in caplog.records if "conlleval" in one.getMessage()]
    assert "train.jsonl:5" in said
    assert "(1, 1 tags changed)" in said


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ((["a", "b"], ["O", "B-LOC"]), ["validation.jsonl:1", "'B-LOC'", "B-POS"]),
        ((["a", "b"], ["O"]), ["validation.jsonl:1", "2 words and 1 tags"]),
        ((["a", "b"], None), ["validation.jsonl:1", "no label"]),
        ((["a", "b c"], ["O", "O"]), ["validation.jsonl:1", "'b c'"]),
        ((["a", "\u00a0"], ["O", "O"]), ["validation.jsonl:1", "'\\xa0'"]),
        (([], []), ["validation.jsonl:1", "no words"]),
    ],
)
def test_bad_rows_are_refused_with_their_place(tmp_path, row, named):
    write_splits(tmp_path, sentences(4, 1), [row])
    with refuses(UserError, *named):
        load(tmp_path)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a O\nb\n", ["x.conll:2", "no tag", "'b'"]),
        ("a O\nb X O\n", ["x.conll:2", "3 columns"]),
        ("10\u00a0000 O\nb\n", ["x.conll:2", "no tag", "'b'"]),
        ("\n\n", ["x.conll", "no row"]),
        ("a\tDT\tO\nb\tNN\t\n", ["x.conll:2", "no tag", "'b'"]),
        ("a\tDT\t\n", ["x.conll:1", "no tag", "'a'"]),
    ],
)
def test_bad_lines_of_a_conll_file_are_refused(text, named):
    with refuses(UserError, *named):
        table.parse("x.conll", text.encode())


def test_a_space_that_does_not_break_holds_a_word_together(tmp_path):
    (tmp_path / "a").mkdir()
    rows = [*sentences(3, 1), (["10\u00a0000", "films"], ["O", "B-POS"])]
    write_splits(tmp_path / "a", rows, rows)
    train, _ = load(tmp_path / "a")
    assert train.texts[0][-1] == "10\u00a0000 films"
    assert [one for one in train.labels[-1] if one >= 0] == [0, 1]
    (tmp_path / "b.conll").write_text(as_conll(rows))
    conll = table.parse("b.conll", (tmp_path / "b.conll").read_bytes())
    assert conll.columns["tokens"][-1] == ["10\u00a0000", "films"]
    assert between_blanks(" 10\u00a0000\tfilms \u00a0 \u2007x\n") == [
        "10\u00a0000",
        "films",
        "\u2007x",
    ]


def test_mixed_schemes_and_tags_that_are_all_outside_are_refused(tmp_path):
    path = tmp_path / "x.conll"
    for tag, named in (("B-x\nb LOC", ["B-x", "LOC"]), ("O", ["outside"])):
        path.write_text(f"a {tag}\n\n")
        with refuses(UserError, "x.conll:1", *named):
            readers.task_of(config(path))
    assert files.names_training_file(str(path))


def test_what_words_have_no_use_for_is_refused():
    from bert_glue_tf.training import task_settings

    task = tasks.get("rest16_e2e")
    for more in (
        {"distill_layers": "uniform", "teacher": "runs/teacher"},
        {"class_weights": "balanced"},
        {"tagged_pieces": "all", "tagging_head": "crf"},
        {"quantize_aware": "dynamic_int8", "tagging_head": "gru"},
    ):
        settings = ExperimentConfig(task=task.name, **more)
        name, value = next(iter(more.items()))
        with refuses(UserError, f"--{name}={value}"):
            task_settings.check(settings, task)


def test_a_run_starts_from_one_with_the_same_head(finished):
    run, _ = finished
    problem = types.SimpleNamespace(task=run.task, tagging_head="gru")
    with refuses(UserError, "--tagging_head=gru", "--tagging_head=crf"):
        starting_point.fine_tuned(problem, run.folder.model)


def test_the_three_sets_of_aspects_are_read_whole(absa_dir: pathlib.Path):
    for name, (sentences_of, spans) in {
        "laptop14_e2e": (800, 634),
        "rest14_e2e": (800, 1122),
        "rest16_e2e": (676, 622),
    }.items():
        task = tasks.get(name)
        test = readers.load(task, str(absa_dir), "test")
        assert len(test) == sentences_of
        assert sum(len(task.problem.spans(label)) for label in test.labels) == spans
