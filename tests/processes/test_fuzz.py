"""Hostile input: whatever a file or a flag holds, the answer is a result or one clear message.

Mutations of what the commands write themselves, derandomized: each run of the tests sees the same
ones. What may be raised is UserError alone (and absl's own error for a flag, which `cli` tells),
within seconds, and no earlier result is changed by it.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import numpy as np
import pytest
import written_runs
from absl import flags
from hypothesis import strategies as st

from bert_glue_tf.core import cli, records, strict_json
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import aspects, readers, tasks, tsv
from bert_glue_tf.evaluation import predictions
from bert_glue_tf.export import flatbuffer, try_out
from bert_glue_tf.export.folder import FOLDER, ExportFolder
from bert_glue_tf.export.lengths import seq_lengths
from bert_glue_tf.export.record import ExportResult
from bert_glue_tf.models import encoders, tfhub
from bert_glue_tf.models.bert import foreign_weights
from bert_glue_tf.reports import files, page, reading, rows, tables, verdicts
from bert_glue_tf.reports.groups import group
from bert_glue_tf.runs import command_line, results, run_folder
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.finished import Run
from bert_glue_tf.runs.run_folder import RunFolder
from bert_glue_tf.serving import text_input
from bert_glue_tf.serving.answers import format_prediction
from bert_glue_tf.serving.classifier import Classifier, Prediction
from bert_glue_tf.sweeps import grid as grids

SECONDS = 60  # Many times what the slowest takes on a machine that does other things as well.


def fuzz(examples: int) -> Callable[..., Any]:
    """The same examples at each run, and no limit of Hypothesis's own: `answered` has one."""
    return hypothesis.settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )


@contextlib.contextmanager
def answered(*also: type[Exception]) -> Iterator[None]:
    """Fails unless the block ends within seconds, with an answer or with a message."""

    def too_long(*_: object) -> None:
        raise AssertionError(f"no answer within {SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(SECONDS)
    try:
        yield
    except (UserError, *also) as error:
        text = str(error)
        assert text.strip()
        assert "Traceback" not in text
        # What `cli` writes to a terminal, or to a pipe.
        text.encode("utf-8", "backslashreplace")
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


# --- mutations ---

# Where a single byte decides, and bytes that decoders and parsers stumble over.
_SPECIAL = [b"\x00", b"\t", b"\n", b"\r\n", b'"', b"\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"{",
            b"[" * 50_000, b"-", b"9" * 400, b"1e999", b"NaN", b"null", b"\\ud800",
            "\u2028".encode()]  # fmt: skip
_places = st.floats(0, 1, exclude_max=True)
_changes = st.lists(
    st.one_of(
        st.tuples(st.just("flip"), _places, st.integers(0, 7)),
        st.tuples(st.just("cut"), _places, st.integers(0, 40)),
        st.tuples(st.just("insert"), _places, st.sampled_from(_SPECIAL) | st.binary(max_size=8)),
        st.tuples(st.just("truncate"), _places, st.none()),
        st.tuples(st.just("repeat"), _places, st.integers(0, 200)),
    ),
    min_size=1,
    max_size=4,
)


def changed(raw: bytes, changes: list[Any]) -> bytes:
    """`raw` after some changes, each at a place that is a share of its length."""
    readers = bytearray(raw)
    for kind, share, value in changes:
        at = int(share * len(readers))
        if kind == "flip" and readers:
            readers[at] ^= 1 << value
        elif kind == "cut":
            del readers[at : at + value]
        elif kind == "insert":
            readers[at:at] = value
        elif kind == "truncate":
            del readers[at:]
        elif kind == "repeat":
            readers[at:at] = readers[at : at + value]
    return bytes(readers)


_odd_numbers = st.sampled_from([-1, 0, 2**31, 2**63, 10**400, -(10**30), 0.5, -0.0, 1e308])
_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | _odd_numbers
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["", "../../x", "\ud800", "nan", "1", "sst2", "\x00", "x" * 300]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=4,
)


@st.composite
def altered(draw: Any, value: Any) -> Any:
    """A JSON value of which one or two parts are another, missing or too many."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 2))):
        part = value
        while True:
            if not part or not isinstance(part, (dict, list)):
                break
            key = draw(
                st.sampled_from(sorted(part) if isinstance(part, dict) else [*range(len(part))])
            )
            if isinstance(part[key], (dict, list)) and part[key] and draw(st.integers(0, 3)):
                part = part[key]
                continue
            what = draw(st.integers(0, 5))
            if what == 0:
                del part[key]
            elif what == 1 and isinstance(part, dict):
                part[draw(st.text(max_size=4))] = draw(_json)
            else:
                part[key] = draw(_json)
            break
    return value


# --- .tsv files ---

_ROWS = {
    "cola": b"gj04\t1\t\tThe cat sat.\ngj04\t0\t*\tCat the sat.\n" * 2,
    "sst2": b"sentence\tlabel\ngood film\t1\nbad film\t0\n",
    "mrpc": b"\xef\xbb\xbfQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t2\t3\ta b\tc d\n",
    "stsb": b"index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2"
    b"\tscore\n0\ta\tb\tc\td\te\tf\tOne.\tTwo.\t2.5\n",
    "qqp": b"id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n1\t2\t3\ta?\tb?\t1\n",
}
_ASPECTS = b"good food .####good=O food=T-POS .=O\nbad bar####bad=O bar=T-NEG\n"


@pytest.mark.parametrize("name", list(_ROWS))
@fuzz(60)
@hypothesis.given(changes=_changes, labelled=st.booleans())
def test_a_tsv_file(name, changes, labelled):
    task = tasks.get(name)
    with answered():
        table = tsv.parse(task, "file.tsv", changed(_ROWS[name], changes), labelled)
        lengths = {len(field) for field in table.fields}
        assert lengths <= {len(table.labels)} if labelled else table.labels is None
        assert len(lengths) == 1
        assert labelled is False or task.problem.is_label(np.array(table.labels)).all()


@pytest.mark.parametrize("name", list(_ROWS))
def test_what_the_tsv_files_are_made_from_is_good(name):
    assert tsv.parse(tasks.get(name), "file.tsv", _ROWS[name], True).labels


@fuzz(100)
@hypothesis.given(changes=_changes)
def test_an_aspect_file(changes):
    with answered():
        table = aspects.parse(tasks.get("rest16"), "file.txt", changed(_ASPECTS, changes))
        assert len(table.fields[0]) == len(table.fields[1]) == len(table.labels)


@fuzz(150)
@hypothesis.given(
    raw=st.binary(max_size=200),
    changes=_changes,
    name=st.sampled_from(list(_ROWS)),
    columns=st.lists(st.text(max_size=4) | st.sampled_from(["1", "2", "9" * 5000, "\u00b2"]),
                     max_size=2),
)  # fmt: skip
def test_an_input_of_predict(raw, changes, name, columns, tmp_path_factory):
    file = tmp_path_factory.getbasetemp() / "fuzz_input.tsv"
    file.write_bytes(changed(_ROWS[name], changes) + raw)
    task = tasks.get(name)
    with answered(), file.open("rb") as opened:
        reader = text_input.TextReader(task, str(file), columns)
        for group in text_input.lines(opened):
            for texts in reader.read(group):
                assert len(texts) == len(task.text_fields)
                for style in ("text", "tsv", "jsonl"):
                    answer = Prediction(texts, "x", {"x": 1.0}, 1.0)
                    line = format_prediction(answer, style)
                    assert "\n" not in line
                    line.encode()


# --- flags ---

_texts = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["", "-1", "nan", "inf", "1e400", "9" * 5000, "0x" + "f" * 5000, "~", "~nobody_x", "~\x00",
         "\x00", "..", "/", "a" * 5000, "[", "(" * 3000, "a{99999999999}", "\ud800", "\udcff",
         "\u00b2", "none,none", "magnitude,", ",", "=", "a=", "a=b a=c", "true", "tfds",
         "http://x", "https://", "https://[", "https://x/bert_en_uncased_l_1", "gs://x"]
    ),
)  # fmt: skip
_names = [*ExperimentConfig().to_json(), "prune", "workdir", "config"]


@fuzz(300)
@hypothesis.given(values=st.dictionaries(st.sampled_from(_names), _texts, min_size=1, max_size=3))
def test_flags_of_the_train_command(values):
    known = flags.FlagValues()
    command_line.define_flags(known)
    with answered():
        try:
            known(["train", *(f"--{name}={value}" for name, value in values.items())])
        except flags.Error as error:
            raise UserError(cli.plain(error)) from None
        settings = command_line.from_flags(known)
        assert command_line.workdir(known, settings)
        assert ExperimentConfig.from_json(settings.to_json()) == settings
        encoders.resolve(settings.encoder, settings.preprocessing)


@fuzz(100)
@hypothesis.given(encoder=_texts, preprocessing=_texts, name=st.sampled_from(["cola", "rest16"]))
def test_places_that_flags_name(encoder, preprocessing, name):
    with answered():
        source = encoders.resolve(encoder, preprocessing)
        assert tfhub.is_cached(source.encoder, source.preprocessing) in (True, False)
    for place in (encoder, preprocessing):
        with answered():
            Run.read(pathlib.Path(place))
        if place not in ("tfds", "sample"):
            with answered():
                readers.load(tasks.get(name), place, "train")
    with answered():
        assert cli.path("output", encoder).exists() in (True, False)


@fuzz(150)
@hypothesis.given(
    grid=st.text(max_size=30)
    | st.builds(lambda n, v, w: f"{n}={v},{w}", st.sampled_from(_names), _texts, _texts)
)
def test_a_grid_of_the_sweep_command(grid):
    with answered():
        grids.configurations({}, grids.parse_grid(grid))


@fuzz(60)
@hypothesis.given(values=st.lists(_texts | st.sampled_from(["8", "32", "512"]), max_size=3))
def test_lengths_of_the_export_command(values):
    with answered():
        assert seq_lengths(values, 128)


# --- run folders ---

LABELS = np.arange(12) % 2


def write_runs(folder: pathlib.Path) -> None:
    """An unpruned and a pruned run, each with two files."""
    history = [
        {"epoch": 1, "loss": 0.5, "val_loss": 0.4},
        {"epoch": 2, "loss": 0.4, "val_loss": 0.3},
    ]
    for name, method, wrong in (("one", "none", [1]), ("two", "classifier_magnitude", [2, 3])):
        logits = written_runs.wrong_at(LABELS, wrong)
        path = written_runs.write_run(
            folder / name, LABELS, logits, task="sst2", pruning_method=method, history=history
        )
        for recipe in ("float32", "dynamic_int8"):
            written_runs.write_export(path, recipe, LABELS, logits)
        (path / "tflite" / "export.json").write_text(json.dumps({"run": name}))
        (path / "inputs.json").write_text(json.dumps({"encoder": {"sha256": "e"}}))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Two finished runs; never to be changed."""
    folder = tmp_path_factory.mktemp("written")
    write_runs(folder)
    return folder


@contextlib.contextmanager
def copied(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    with tempfile.TemporaryDirectory() as name:
        path = pathlib.Path(name) / "runs"
        shutil.copytree(folder, path)
        yield path


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    """All files but the lock and what is begun anew in a folder that holds no training."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != run_folder.LOCK
    }


def use(runs: pathlib.Path) -> None:
    """Read finished runs as the commands do before they train or load a model."""
    first = runs / "one"
    before = contents(runs)
    with answered():
        Run.read(first)
    with answered():
        folder = ExportFolder.open(first / FOLDER, {"run": "one"})
        folder.records()
    settings = ExperimentConfig(task="sst2", encoder="tiny", data="tsv")
    with answered():
        RunFolder(first, settings).finished_result()
    with answered():
        RunFolder(first, settings).read_history()
    with answered():
        RunFolder(first, settings).compare_inputs({"encoder": {"sha256": "e"}})
    with answered():
        models = reading.read([runs / "one", runs / "two"])
        groups = group(models)
        found = verdicts.differences(models)
        for table in (rows.models(models), rows.groups(groups), rows.differences(found)):
            tables.markdown(table).encode()
        page.page(groups, found, []).encode()
    assert contents(runs) == before  # Reading changes nothing.
    for other in (settings, ExperimentConfig(task="cola")):
        with answered():
            RunFolder.open(first, other)
    after = contents(runs)
    kept = {name: raw for name, raw in before.items() if pathlib.Path(name).name != "config.json"}
    assert {name: after.get(name) for name in kept} == kept  # No earlier result is lost.


def test_what_the_run_folders_are_made_from_is_good(written):
    models = reading.read([written / "one", written / "two"])
    assert [model.recipe for model in models] == ["keras", "float32", "dynamic_int8"] * 2
    use(written)
    assert len(verdicts.differences(models)) == 5


_FILES = [
    "config.json", "history.csv", "inputs.json", "results.jsonl", "predictions/validation.tsv",
    "model/saved_model.pb", "tflite/export.json", "tflite/results.jsonl", "tflite/float32.tflite",
    "tflite/predictions/float32.validation.tsv",
]  # fmt: skip


@pytest.mark.parametrize("name", _FILES)
@pytest.mark.parametrize("how", ["missing", "empty", "a folder", "another's", "nested"])
def test_a_file_of_a_run_that_is_something_else(written, name, how):
    with copied(written) as runs:
        path = runs / "one" / name
        path.unlink()
        if how == "a folder":
            path.mkdir()
        elif how != "missing":
            other = {"empty": b"", "another's": b"x,y\n1,2\n", "nested": b"[" * 100_000}
            path.write_bytes(other[how])
        use(runs)


@pytest.mark.parametrize("name", _FILES)
@fuzz(10)
@hypothesis.given(changes=_changes)
def test_a_file_of_a_run_that_is_damaged(written, name, changes):
    with copied(written) as runs:
        path = runs / "one" / name
        path.write_bytes(changed(path.read_bytes(), changes))
        use(runs)


@pytest.mark.parametrize("name", ["config.json", "inputs.json", "tflite/export.json"])
@fuzz(20)
@hypothesis.given(drawn=st.data())
def test_settings_that_hold_something_else(written, name, drawn):
    value = drawn.draw(altered(json.loads((written / "one" / name).read_text())))
    with copied(written) as runs:
        (runs / "one" / name).write_text(json.dumps(value))
        use(runs)
        with answered():
            command_line._read(str(runs / "one" / name))


# --- result records ---


@pytest.mark.parametrize("name", ["results.jsonl", "tflite/results.jsonl"])
@fuzz(80)
@hypothesis.given(drawn=st.data())
def test_a_record_that_holds_something_else(written, name, drawn):
    lines = (written / "one" / name).read_text().splitlines()
    value = drawn.draw(altered(json.loads(lines[0])))
    with copied(written) as runs:
        (runs / "one" / name).write_text("\n".join([json.dumps(value), *lines[1:]]) + "\n")
        use(runs)


@fuzz(10)
@hypothesis.given(drawn=st.data())
def test_a_page_with_its_figures_of_such_a_record(written, drawn):
    record = json.loads((written / "one" / "results.jsonl").read_text())
    part = drawn.draw(st.sampled_from(["metrics", "bytes", "intervals", "encoder", "parameters"]))
    record[part] = drawn.draw(altered(record[part]))
    with copied(written) as runs:
        (runs / "one" / "results.jsonl").write_text(json.dumps(record) + "\n")
        with answered():
            models = reading.read([runs / "one", runs / "two"])
            output = runs / "comparison"
            files.write(output, group(models), verdicts.differences(models))
            assert (output / files.PAGE).is_file()


@fuzz(60)
@hypothesis.given(changes=_changes)
def test_a_record_is_added_to_whatever_stands_there(written, changes):
    raw = (written / "one" / "results.jsonl").read_bytes()
    record = results.load(written / "one" / "results.jsonl")[0]
    with tempfile.TemporaryDirectory() as name:
        path = pathlib.Path(name) / "results.jsonl"
        path.write_bytes(before := changed(raw, changes))
        records.append(path, record)
        after = path.read_bytes()
        assert after.startswith(before)
        assert after.endswith(b"\n" + record.to_line().encode() + b"\n") or not before


@fuzz(150)
@hypothesis.given(changes=_changes, name=st.sampled_from(["sst2", "stsb"]))
def test_predictions(changes, name):
    rows = "".join(
        f"{i}\t{i % 2}\t{i % 2}\t0.5" + "\t1e-3" * (name == "sst2") + "\n" for i in range(3)
    )
    raw = b"index\tlabel\tprediction\tlogit\n" + rows.encode()
    with tempfile.TemporaryDirectory() as folder, answered():
        path = pathlib.Path(folder) / "validation.tsv"
        path.write_bytes(changed(raw, changes))
        found = predictions.read(path, tasks.get(name), 3)
        assert len(found.labels) == len(found.logits) == 3


@fuzz(80)
@hypothesis.given(drawn=st.data())
def test_the_configuration_of_a_foreign_encoder(drawn):
    value = {
        "model_type": "bert", "vocab_size": 30, "hidden_size": 8, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 16, "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, answered():
        path = pathlib.Path(folder) / "config.json"
        path.write_text(json.dumps(drawn.draw(altered(value))))
        assert foreign_weights.read_config(path).hidden_size > 0


@fuzz(80)
@hypothesis.given(changes=_changes)
def test_the_header_of_foreign_weights(changes):
    header = json.dumps({"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}).encode()
    raw = len(header).to_bytes(8, "little") + header + bytes(16)
    with tempfile.TemporaryDirectory() as folder, answered():
        path = pathlib.Path(folder) / "model.safetensors"
        path.write_bytes(changed(raw, changes))
        foreign_weights.read_safetensors_header(path)


# --- .tflite files ---


@pytest.fixture(scope="module")
def exported_file(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder as the export leaves it, with a file so small that most bytes of it decide."""
    import tensorflow as tf

    random = np.random.default_rng(1)
    table, kernel = (tf.constant(random.normal(size=n), tf.float32) for n in ((20, 4), (4, 2)))
    module = tf.Module()

    def classify(input_word_ids: Any, input_mask: Any, input_type_ids: Any) -> Any:
        used = tf.cast(input_mask + 0 * input_type_ids, tf.float32)[0, :, None]
        rows = tf.gather(table, input_word_ids[0]) * used
        return {"logits": tf.matmul(tf.reduce_mean(rows, axis=0, keepdims=True), kernel)}

    specs = [
        tf.TensorSpec([1, 8], tf.int32, name=name)
        for name in ("input_word_ids", "input_mask", "input_type_ids")
    ]
    module.classify = tf.function(classify)
    function = module.classify.get_concrete_function(*specs)
    folder = ExportFolder(tmp_path_factory.mktemp("exported_file"))
    saved = tmp_path_factory.mktemp("saved")
    tf.saved_model.save(module, str(saved), signatures={"length_8": function})
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved), signature_keys=["length_8"])
    vocabulary = b"[PAD]\n[UNK]\n"
    model = flatbuffer.read(converter.convert())
    digest = hashlib.sha256(vocabulary).hexdigest()
    flatbuffer.add_metadata(model, {"task": "sst2", "vocabulary_sha256": digest})
    (folder.preprocessing / "assets").mkdir(parents=True)
    for path in (folder.vocabulary, folder.preprocessing / "assets" / "vocab.txt"):
        path.write_bytes(vocabulary)
    (folder.preprocessing / "saved_model.pb").touch()
    folder.model("float32").write_bytes(flatbuffer.write(model))
    folder.write_checksums()
    return folder.path


def answer(path: pathlib.Path) -> np.ndarray:
    """Logits of the file for ids of which some are outside of its table."""
    classifier = Classifier.load(path, 1)
    names = ("input_word_ids", "input_mask", "input_type_ids")
    ids = np.arange(16, dtype=np.int32).reshape(2, 8) * 2
    values = (ids, np.ones_like(ids), np.zeros_like(ids))
    return classifier.predict_fn(dict(zip(names, values, strict=True)))


@contextlib.contextmanager
def beside(folder: pathlib.Path, content: bytes, checksums: bool) -> Iterator[pathlib.Path]:
    with copied(folder) as other:
        path = other / "float32.tflite"
        path.write_bytes(content)
        if not checksums:
            (other / "SHA256SUMS").unlink()
        yield path


def test_what_the_tflite_files_are_made_from_is_good(exported_file):
    path = exported_file / "float32.tflite"
    assert len(path.read_bytes()) < 4000
    assert Classifier.load(path, 1).task.name == "sst2"
    with pytest.raises(UserError, match="cannot be run by LiteRT"):
        answer(path)


@fuzz(40)
@hypothesis.given(changes=_changes)
def test_a_damaged_tflite_file_whose_checksum_is_known(exported_file, changes):
    raw = (exported_file / "float32.tflite").read_bytes()
    content = changed(raw, changes)
    hypothesis.assume(content != raw)
    with (
        beside(exported_file, content, checksums=True) as path,
        pytest.raises(UserError, match=r"damaged, or not the file that was exported"),
    ):
        answer(path)


@fuzz(25)
@hypothesis.given(changes=_changes)
def test_a_damaged_tflite_file_that_nobody_knows(exported_file, changes):
    content = changed((exported_file / "float32.tflite").read_bytes(), changes)
    with beside(exported_file, content, checksums=False) as path, answered():
        assert answer(path).shape == (2, 2)


def without_input(content: bytes) -> bytes:
    """A file whose layout is right, and whose MUL has no second input."""
    model = flatbuffer.read(content)
    place = flatbuffer.operators(model)[0].index("MUL")
    operator = model.subgraphs[0].operators[place]
    operator.inputs = [operator.inputs[0], -1]
    return flatbuffer.write(model)


def test_a_tflite_file_on_which_litert_crashes(exported_file):
    content = without_input((exported_file / "float32.tflite").read_bytes())
    with beside(exported_file, content, checksums=False) as path:
        with pytest.raises(UserError) as error:
            answer(path)
        assert str(error.value) == (
            f"{path}: damaged: LiteRT crashes on it (SIGSEGV). Copy it again from where it was "
            "exported, or export it again."
        )
        # A list that names other files does not vouch for this one.
        (path.parent / "SHA256SUMS").write_text(f"{'0' * 64}  other.tflite\n")
        with pytest.raises(UserError, match="LiteRT crashes on it"):
            answer(path)


def test_a_tflite_file_that_does_not_end(exported_file):
    with pytest.raises(UserError, match=r"x: damaged, or not made for this: .* in 0.01 seconds"):
        try_out.try_out((exported_file / "float32.tflite").read_bytes(), "x", 0.01)


def test_a_tflite_file_is_tried_out_wherever_the_command_runs(exported_file, tmp_path, monkeypatch):
    content = without_input((exported_file / "float32.tflite").read_bytes())
    # As a notebook that has set sys.path itself, in a folder with a module of a common name.
    monkeypatch.delenv("PYTHONPATH", raising=False)
    (tmp_path / "numpy.py").write_text("raise ImportError('not this one')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    with pytest.raises(UserError, match=r"x: damaged: LiteRT crashes on it \(SIGSEGV\)"):
        try_out.try_out(content, "x")


def test_what_cannot_be_tried_out_is_not_taken_as_tried(exported_file, tmp_path, monkeypatch):
    content = (exported_file / "float32.tflite").read_bytes()
    try_out.try_out(content, "x")
    told = r"x: not run\. LiteRT may crash .* the process that was to try it out has failed "
    (tmp_path / "sitecustomize.py").write_text("import os\nos._exit(0)")
    with monkeypatch.context() as broken:
        broken.setattr(sys, "path", [str(tmp_path), *sys.path])
        with pytest.raises(UserError, match=told + r"\(status 0\)"):
            try_out.try_out(content, "x")
    with monkeypatch.context() as broken:
        (tmp_path / "sitecustomize.py").unlink()
        (tmp_path / "ai_edge_litert.py").write_text("raise ImportError('not this one')")
        broken.setattr(sys, "path", [str(tmp_path), *sys.path])
        with pytest.raises(UserError, match=told + r"\(ImportError: not this one\)"):
            try_out.try_out(content, "x")
    with monkeypatch.context() as broken:
        broken.setattr(sys, "executable", str(tmp_path / "python"))
        with pytest.raises(UserError, match=told + r"\('.*/python': No such file or directory\)"):
            try_out.try_out(content, "x")


# --- what the fuzzing found, each by itself ---


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '"\\ud800"', "{", ""])
def test_json_that_is_wrong_in_any_way_is_a_value_error(text):
    with pytest.raises(ValueError, match=r"."):
        strict_json.loads(text)
    with pytest.raises(ValueError, match=r"."):
        strict_json.loads(text.encode())


def test_json_that_is_right():
    assert strict_json.loads('{"a": ["\\ud83d\\ude00", 1, null]}') == {"a": ["\U0001f600", 1, None]}


def test_numbers_of_thousands_of_digits():
    """Python refuses to write them, so that the message must not hold them."""
    known = flags.FlagValues()
    command_line.define_flags(known)
    known(["train", "--seed=0x" + "f" * 5000])
    with pytest.raises(UserError, match=r"--seed: a number of 20000 bits is too large"):
        command_line.from_flags(known)
    with pytest.raises(UserError, match="a number in it is too large for any setting"):
        ExperimentConfig.from_json({"learning_rate": 10**400})
    reader = text_input.TextReader(tasks.get("sst2"), "input", ["9" * 5000])
    with pytest.raises(UserError, match="input:1: no column 9999"):
        list(reader.read([b"a\tb"]))
    with pytest.raises(UserError, match="is no length"):
        seq_lengths(["9" * 5000], 128)


def test_digits_that_are_none():
    """`\u00b2` is a digit to str.isdigit, and none to int()."""
    with pytest.raises(UserError, match="'\u00b2' is no length"):
        seq_lengths(["\u00b2"], 128)


@pytest.mark.parametrize("value", ["~nobody_of_this_name/x", "a\0b", "~\0"])
def test_paths_that_are_none(value):
    with pytest.raises(UserError, match=r"^--output=.*no path"):
        cli.path("output", value)
    with pytest.raises(UserError, match=r"^--encoder="):
        encoders.resolve(value)


def test_addresses_that_are_none():
    with pytest.raises(UserError, match=r"--encoder=https://\[: no address"):
        encoders.resolve("https://[")


def test_a_folder_whose_name_is_too_long():
    with pytest.raises(UserError, match=r"^--run=x+: cannot be read \(File name too long\)"):
        Run.read(pathlib.Path("x" * 5000))


@pytest.mark.parametrize(
    ("part", "value", "told"),
    [
        ("metrics", [], "its metrics is no Mapping[str, float]"),
        ("metrics", {"accuracy": "0.9"}, "its metrics is no Mapping[str, float]"),
        ("metrics", {"accuracy": True}, "its metrics is no Mapping[str, float]"),
        ("bytes", {"plain": 10**30, "gzip": 1}, "its bytes is no Mapping[str, int]"),
        ("intervals", {"accuracy": [1]}, "its intervals is no Mapping[str, tuple[float, float]]"),
        ("peak_memory_bytes", None, "its peak_memory_bytes is no int"),
        ("warnings", "x", "its warnings is no tuple[str, ...]"),
        ("finished", 1, "its finished is no str"),
    ],
)
def test_a_record_of_other_types(written, part, value, told):
    record = json.loads((written / "one" / "results.jsonl").read_text())
    with pytest.raises(ValueError, match=re.escape(told)):
        results.ExperimentResult.from_line(json.dumps({**record, part: value}))


@pytest.mark.parametrize(
    ("recipe", "file"),
    [("../../x", "../../x.tflite"), ("float32", "/etc/passwd"), ("float32", "../float32.tflite")],
)
def test_a_recipe_that_leads_out_of_its_folder(written, recipe, file):
    line = (written / "one" / "tflite" / "results.jsonl").read_text().splitlines()[0]
    record = {**json.loads(line), "recipe": recipe, "file": file}
    with pytest.raises(ValueError, match="is no recipe"):
        ExportResult.from_line(json.dumps(record))


def test_an_encoder_without_a_name(written):
    with copied(written) as runs:
        file = runs / "one" / "results.jsonl"
        record = {**json.loads(file.read_text()), "encoder": {"name": None}}
        file.write_text(json.dumps(record) + "\n")
        with pytest.raises(UserError, match=r"the encoder's name is None"):
            reading.read([runs / "one", runs / "two"])


def test_predictions_that_were_cut_short(written):
    """Their whole lines would have been compared as if they were all."""
    with copied(written) as runs:
        file = runs / "one" / "predictions" / "validation.tsv"
        lines = file.read_text().splitlines(keepends=True)
        for text, told in (
            ("".join(lines[:-2]), "cut short: 10 whole lines of 12"),
            ("".join(lines)[:-2], "cut short: 11 whole lines of 12"),
        ):
            file.write_text(text)
            with pytest.raises(UserError, match=told):
                reading.read([runs / "one"])
        file.write_text("".join(lines).replace("\t1\t", "\t7\t", 1))
        with pytest.raises(UserError, match=r"line 3: no label of sst2"):
            reading.read([runs / "one"])


def test_a_history_of_other_things(written):
    with copied(written) as runs:
        file = runs / "one" / "history.csv"
        for text in ("epoch,loss\n1,high\n", "epoch,loss\n1,2,3\n", f"epoch\n{10**9}\n"):
            file.write_text(text)
            with pytest.raises(UserError, match="not the history of a run"):
                reading.read([runs / "one"])


def test_a_folder_whose_name_is_not_utf8(written, tmp_path):
    """Its name is shown with a replacement, in the tables, on the page and on the terminal."""
    odd = pathlib.Path(os.fsdecode(os.fsencode(tmp_path) + b"/a\xff"))
    shutil.copytree(written / "one", odd / "one")
    (odd / "one").rename(odd / os.fsdecode(b"r\xff"))
    done = subprocess.run(
        [sys.executable, "-m", "bert_glue_tf.compare", f"--runs={odd}/*", f"--output={odd}/out"],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"a\\udcff/out" in done.stdout.replace(b"\n", b"")
    assert "r\ufffd" in (odd / "out" / "comparison.md").read_text(encoding="utf-8")
