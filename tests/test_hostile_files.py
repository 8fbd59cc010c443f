"""Whatever a file or a flag holds, the answer is a result or one clear message.

Kinds of hostile input, as users and strangers hand them in: damaged, truncated, foreign, nested and
huge .tsv and aspect files, lines for `predict`, flags and grids, each file of a run's folder and
each record in it (a run may come from anybody, so recipes that lead out of their folder are among
them), predictions, and the description and weights of a foreign encoder. What may be raised is
UserError alone (and absl's own error for a flag, which `cli` tells), within seconds, and no earlier
result is changed by it. Files for LiteRT: `tests/processes/test_hostile_tflite.py`.
"""

from __future__ import annotations

import json
import pathlib
import tempfile

import hypothesis
import numpy as np
import pytest
import written_runs
from absl import flags
from hostile import altered, answered, changed, changes, copied, fuzz
from hypothesis import strategies as st
from messages import refuses

from bert_glue_tf.core import cli, records, strict_json
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import aspects, readers, tasks, tsv
from bert_glue_tf.evaluation import predictions
from bert_glue_tf.export.folder import FOLDER, ExportFolder
from bert_glue_tf.export.lengths import seq_lengths
from bert_glue_tf.export.record import ExportResult
from bert_glue_tf.models import encoders, tfhub
from bert_glue_tf.models.bert import foreign_config, foreign_huggingface
from bert_glue_tf.reports import files, page, reading, rows, tables, verdicts
from bert_glue_tf.reports.groups import group
from bert_glue_tf.runs import command_line, results, run_folder
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.finished import Run
from bert_glue_tf.runs.run_folder import RunFolder
from bert_glue_tf.serving import text_input
from bert_glue_tf.serving.answers import format_prediction
from bert_glue_tf.serving.classifier import Prediction
from bert_glue_tf.sweeps import grid as grids

pytestmark = pytest.mark.slow


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


@fuzz(150)
@hypothesis.given(how=changes, name=st.sampled_from(list(_ROWS)), labelled=st.booleans())
def test_a_tsv_file(how, name, labelled):
    task = tasks.get(name)
    with answered():
        table = tsv.parse(task, "file.tsv", changed(_ROWS[name], how), labelled)
        lengths = {len(field) for field in table.fields}
        assert lengths <= {len(table.labels)} if labelled else table.labels is None
        assert len(lengths) == 1
        assert labelled is False or task.problem.is_label(np.array(table.labels)).all()


def test_what_the_tsv_files_are_made_from_is_good():
    for name, rows_ in _ROWS.items():
        assert tsv.parse(tasks.get(name), "file.tsv", rows_, True).labels, name


@fuzz(100)
@hypothesis.given(how=changes)
def test_an_aspect_file(how):
    with answered():
        table = aspects.parse(tasks.get("rest16"), "file.txt", changed(_ASPECTS, how))
        assert len(table.fields[0]) == len(table.fields[1]) == len(table.labels)


@fuzz(150)
@hypothesis.given(
    raw=st.binary(max_size=200),
    how=changes,
    name=st.sampled_from(list(_ROWS)),
    columns=st.lists(st.text(max_size=4) | st.sampled_from(["1", "2", "9" * 5000, "\u00b2"]),
                     max_size=2),
)  # fmt: skip
def test_an_input_of_predict(raw, how, name, columns, tmp_path_factory):
    file = tmp_path_factory.getbasetemp() / "fuzz_input.tsv"
    file.write_bytes(changed(_ROWS[name], how) + raw)
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
        page.page(groups, found).encode()
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


@pytest.mark.parametrize("how", ["missing", "empty", "a folder", "another's", "nested"])
def test_a_file_of_a_run_that_is_something_else(written, how):
    other = {"empty": b"", "another's": b"x,y\n1,2\n", "nested": b"[" * 100_000}
    for name in _FILES:
        with copied(written) as runs:
            path = runs / "one" / name
            path.unlink()
            if how == "a folder":
                path.mkdir()
            elif how != "missing":
                path.write_bytes(other[how])
            use(runs)


@fuzz(30)
@hypothesis.given(how=changes, name=st.sampled_from(_FILES))
def test_a_file_of_a_run_that_is_damaged(written, how, name):
    with copied(written) as runs:
        path = runs / "one" / name
        path.write_bytes(changed(path.read_bytes(), how))
        use(runs)


@fuzz(20)
@hypothesis.given(drawn=st.data())
def test_settings_that_hold_something_else(written, drawn):
    name = drawn.draw(st.sampled_from(["config.json", "inputs.json", "tflite/export.json"]))
    value = drawn.draw(altered(json.loads((written / "one" / name).read_text())))
    with copied(written) as runs:
        (runs / "one" / name).write_text(json.dumps(value))
        use(runs)
        with answered():
            command_line._read(str(runs / "one" / name))


# --- result records ---


@fuzz(40)
@hypothesis.given(drawn=st.data(), name=st.sampled_from(["results.jsonl", "tflite/results.jsonl"]))
def test_a_record_that_holds_something_else(written, drawn, name):
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


@fuzz(30)
@hypothesis.given(how=changes)
def test_a_record_is_added_to_whatever_stands_there(written, how):
    raw = (written / "one" / "results.jsonl").read_bytes()
    record = results.load(written / "one" / "results.jsonl")[0]
    with tempfile.TemporaryDirectory() as name:
        path = pathlib.Path(name) / "results.jsonl"
        path.write_bytes(before := changed(raw, how))
        records.append(path, record)
        after = path.read_bytes()
        assert after.startswith(before)
        assert after.endswith(b"\n" + record.to_line().encode() + b"\n") or not before


@fuzz(100)
@hypothesis.given(how=changes, name=st.sampled_from(["sst2", "stsb"]))
def test_predictions(how, name):
    rows = "".join(
        f"{i}\t{i % 2}\t{i % 2}\t0.5" + "\t1e-3" * (name == "sst2") + "\n" for i in range(3)
    )
    raw = b"index\tlabel\tprediction\tlogit\n" + rows.encode()
    with tempfile.TemporaryDirectory() as folder, answered():
        path = pathlib.Path(folder) / "validation.tsv"
        path.write_bytes(changed(raw, how))
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
        assert foreign_config.read_config(path).hidden_size > 0


@fuzz(80)
@hypothesis.given(how=changes)
def test_the_header_of_foreign_weights(how):
    header = json.dumps({"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}).encode()
    raw = len(header).to_bytes(8, "little") + header + bytes(16)
    with tempfile.TemporaryDirectory() as folder, answered():
        path = pathlib.Path(folder) / "model.safetensors"
        path.write_bytes(changed(raw, how))
        foreign_huggingface.read_safetensors_header(path)


# --- each by itself ---


@pytest.mark.parametrize("text", ["[" * 100_000, '"\\ud800"', "{", ""])
def test_json_that_is_wrong_in_any_way_is_a_value_error(text):
    for content in (text, text.encode()):
        with pytest.raises(ValueError) as caught:  # noqa: PT011  (any, if only it says something)
            strict_json.loads(content)
        assert str(caught.value)


def test_json_that_is_right():
    assert strict_json.loads('{"a": ["\\ud83d\\ude00", 1, null]}') == {"a": ["\U0001f600", 1, None]}


def test_numbers_of_thousands_of_digits():
    """Python refuses to write them, so that the message must not hold them."""
    known = flags.FlagValues()
    command_line.define_flags(known)
    known(["train", "--seed=0x" + "f" * 5000])
    with refuses(UserError, "--seed", "20000 bits"):
        command_line.from_flags(known)
    with refuses(UserError, "too large"):
        ExperimentConfig.from_json({"learning_rate": 10**400})
    reader = text_input.TextReader(tasks.get("sst2"), "input", ["9" * 5000])
    with refuses(UserError, "input:1", "9999"):
        list(reader.read([b"a\tb"]))
    with refuses(UserError, "--seq_lengths", "9999"):
        seq_lengths(["9" * 5000], 128)


def test_digits_that_are_none():
    """`\u00b2` is a digit to str.isdigit, and none to int()."""
    with refuses(UserError, "'\u00b2'"):
        seq_lengths(["\u00b2"], 128)


@pytest.mark.parametrize("value", ["~nobody_of_this_name/x", "a\0b", "~\0"])
def test_paths_that_are_none(value):
    with refuses(UserError, "--output="):
        cli.path("output", value)
    with refuses(UserError, "--encoder="):
        encoders.resolve(value)


def test_an_address_of_a_store_is_no_path():
    for flag, value in (("runs_dir", "gs://bucket/runs"), ("output", "s3://bucket/out")):
        with refuses(UserError, f"--{flag}={value}", "--storage"):
            cli.path(flag, value)


def test_addresses_that_are_none():
    with refuses(UserError, "--encoder=https://["):
        encoders.resolve("https://[")


def test_a_folder_whose_name_is_too_long():
    with refuses(UserError, "--run=xxx", "too long"):
        Run.read(pathlib.Path("x" * 5000))


def test_a_record_of_other_types(written):
    record = json.loads((written / "one" / "results.jsonl").read_text())
    for part, value in (
        ("metrics", []),
        ("metrics", {"accuracy": "0.9"}),
        ("metrics", {"accuracy": True}),
        ("bytes", {"plain": 10**30, "gzip": 1}),
        ("intervals", {"accuracy": [1]}),
        ("peak_memory_bytes", None),
        ("warnings", "x"),
        ("finished", 1),
    ):
        with refuses(ValueError, f"its {part}"):
            results.ExperimentResult.from_line(json.dumps({**record, part: value}))


@pytest.mark.parametrize(
    ("recipe", "file"),
    [("../../x", "../../x.tflite"), ("float32", "/etc/passwd"), ("float32", "../float32.tflite")],
)
def test_a_recipe_that_leads_out_of_its_folder(written, recipe, file):
    line = (written / "one" / "tflite" / "results.jsonl").read_text().splitlines()[0]
    record = {**json.loads(line), "recipe": recipe, "file": file}
    with refuses(ValueError, recipe):
        ExportResult.from_line(json.dumps(record))


def test_an_encoder_without_a_name(written):
    with copied(written) as runs:
        file = runs / "one" / "results.jsonl"
        record = {**json.loads(file.read_text()), "encoder": {"name": None}}
        file.write_text(json.dumps(record) + "\n")
        with refuses(UserError, file, "None"):
            reading.read([runs / "one", runs / "two"])


def test_predictions_that_were_cut_short(written):
    """Their whole lines would have been compared as if they were all."""
    with copied(written) as runs:
        # A record is read without its predictions, unless it is older than its marks.
        record = reading.read([runs / "one"])[0]
        file = record.predictions["validation"]
        task, number = record.task, record.data["validation"]["examples"]
        lines = file.read_text().splitlines(keepends=True)
        for text, named in (
            ("".join(lines[:-2]), "10 whole lines of 12"),
            ("".join(lines)[:-2], "11 whole lines of 12"),
        ):
            file.write_text(text)
            with refuses(UserError, file, named):
                predictions.read(file, task, number)
        file.write_text("".join(lines).replace("\t1\t", "\t7\t", 1))
        with refuses(UserError, file, "line 3", "sst2"):
            predictions.read(file, task, number)


def test_a_history_of_other_things(written):
    with copied(written) as runs:
        file = runs / "one" / "history.csv"
        for text in ("epoch,loss\n1,high\n", "epoch,loss\n1,2,3\n", f"epoch\n{10**9}\n"):
            file.write_text(text)
            with refuses(UserError, file):
                reading.read([runs / "one"])
