"""The README, the pages of docs/ and the configurations say what the code does."""

from __future__ import annotations

import configparser
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest
from absl import flags

from bert_glue_tf.compression import registry
from bert_glue_tf.data import sample
from bert_glue_tf.models import embedded
from bert_glue_tf.models.quantization import recipes
from bert_glue_tf.runs import command_line

ROOT = pathlib.Path(__file__).parents[2]
README = "\n\n".join(
    path.read_text() for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
)
CONFIGS = sorted((ROOT / "configs").glob("*.flags"))


def parse(*arguments):
    values = flags.FlagValues()
    command_line.define_flags(values)
    values(["train", *arguments])
    return values


def test_the_table_of_flags_has_every_flag_with_its_default_and_help():
    values = parse()
    rows = {
        name: (default, help_text)
        for name, default, help_text in re.findall(
            r"^\| `--(\w+)` \| (.*?) \| (.*) \|$", README, re.MULTILINE
        )
    }
    assert sorted(rows) == sorted(values)
    for name, (default, help_text) in rows.items():
        flag = values[name]
        shown = str(flag.default).lower() if flag.boolean else str(flag.default)
        assert default.strip("`") == shown, name
        if name == "pruning_method":
            # A method is one file: the methods of other people need no line of this README.
            start, listed = help_text.rstrip(".").split(": ")
            assert flag.help.startswith(f"{start}: ")
            assert set(listed.split(", ")) <= set(registry.names())
        else:
            assert help_text == flag.help, name


def test_the_first_page_compares_two_runs_that_differ_in_the_pruning_alone():
    text = (ROOT / "README.md").read_text()
    section = text.split("## Prune, quantize, compare, use")[1].split("\n## ")[0]
    commands = re.findall(r"^python -m bert_glue_tf\.train (.*)$", section, re.MULTILINE)
    whole, half = (command_line.from_flags(parse(*shlex.split(one))) for one in commands)
    assert (whole.pruning_method, half.pruning_method) == ("none", "attention_head,neuron")
    assert half.unpruned == whole
    assert half.starting_point == whole.starting_point is not None


def test_the_package_of_the_embedded_encoder_is_the_same_everywhere():
    package = f"{embedded.PACKAGE}=={embedded.VERSION}"
    assert package in README
    assert f"ENCODER_PACKAGE := {package}\n" in (ROOT / "Makefile").read_text()


def test_the_samples_tasks_are_named():
    row = next(line for line in README.splitlines() if line.startswith("| `sample` |"))
    assert all(f"`{task}`" in row for task in sample.TASKS)


def test_commands_of_the_readme_parse(monkeypatch):
    monkeypatch.chdir(ROOT)  # Its commands name configs/ as seen from there.
    commands = re.findall(r"^!?python -m bert_glue_tf\.train (.*)$", README, re.MULTILINE)
    assert len(commands) >= 3
    for command in commands:
        command_line.from_flags(parse(*shlex.split(command, comments=True)))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_configuration_is_valid_and_its_header_has_command_result_and_duration(path, tmp_path):
    given = [f"--flagfile={path}"]
    if "--data=/folder/with/glue" not in path.read_text() and "sample" not in path.read_text():
        (tmp_path / "train.csv").write_text("text,label\n")
        given.append(f"--data={tmp_path}")  # A task of one's own needs a place.
    settings = command_line.from_flags(parse(*given))
    header = "".join(line for line in path.read_text().splitlines(True) if line.startswith("#"))
    assert f"--flagfile=configs/{path.name}" in header
    assert re.search(r"[Dd]uration", header)
    assert re.search(r"0\.\d\d", header), "the result it gave"
    if settings.data == "sample":
        assert "sample" in header


def test_there_are_configurations():
    assert len(CONFIGS) >= 3


def test_constraints_pin_every_package_that_is_installed():
    pinned = {
        re.split(r"[=;\s]", line)[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = [
        *setup["options"]["install_requires"].splitlines(),
        *setup["options.extras_require"]["dev"].splitlines(),
    ]
    asked = [re.split(r"[ =<]", line)[0] for line in lines if line and line[0] != "#"]
    assert {"tensorflow", "ai-edge-quantizer", "ruff"} <= set(asked)
    wanted = {re.sub(r"[-_.]+", "-", name).lower() for name in asked}
    assert wanted <= pinned


def test_the_table_of_recipes_has_every_recipe():

    table = README[README.index("| `--recipes=` |") :]
    rows = re.findall(r"^\| `(\w+)` \|", table[: table.index("\n\n")], re.MULTILINE)
    assert rows == list(recipes.RECIPES)


def test_the_other_commands_of_the_readme_have_the_flags_that_it_gives_them():
    commands = re.findall(
        r"python -m bert_glue_tf\.(export_tflite|predict|benchmark|compare|reproduce_report) (.*)$",
        README,
        re.MULTILINE,
    )
    assert {name for name, _ in commands} >= {"export_tflite", "predict", "benchmark", "compare"}
    shared = (ROOT / "bert_glue_tf" / "export" / "arguments.py").read_text()
    for name, line in commands:
        source = (ROOT / "bert_glue_tf" / f"{name}.py").read_text()
        if "arguments.define_" in source:
            source += shared
        for flag in re.findall(r"--(\w+)", line):
            assert f'"{flag}"' in source, f"{name} has no --{flag}"


@pytest.mark.processes
def test_the_studies_of_the_readme_have_the_flags_that_it_gives_them():
    commands = re.findall(r'^make ([\w-]+) ARGS="(.*)"$', README, re.MULTILINE)
    assert {name for name, _ in commands} >= {
        "bench-finetuning",
        "reproduce-report",
        "reproduce-structured",
        "reproduce-local-global",
        "reproduce-tagging",
        "survey",
    }
    makefile = (ROOT / "Makefile").read_text()
    for name, arguments in commands:
        recipe = re.search(
            rf"^{name}:.*\n\t.*python (-m )?(\S+).* \$\(ARGS\)\n", makefile, re.MULTILINE
        )
        assert recipe, f"the Makefile runs no program with ARGS for {name}"
        program = [*(["-m"] if recipe[1] else []), recipe[2]]
        done = subprocess.run(
            [sys.executable, *program, "--help"],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=ROOT,
        )
        for flag in re.findall(r"--(\w+)", arguments):
            assert f"  --{flag}=" in done.stdout, f"{name} has no --{flag}"


def snippet(word, **replaced):
    """The README's Python code with that word in it, some of its values replaced."""
    (code,) = [
        code for code in re.findall(r"^```python\n(.*?)^```$", README, re.M | re.S) if word in code
    ]
    for old, new in replaced.values():
        assert old in code
        code = code.replace(old, new)
    return code


def execute(code, folder):
    # As a notebook's kernel would, from the start: the package's own settings have to do.
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.processes
def test_the_code_for_a_notebook_runs_a_method_of_its_own(tiny_encoder, tmp_path):
    code = snippet(
        "api.register",
        encoder=('"minilm_l6"', repr(tiny_encoder)),
        size=("epochs=1", "epochs=1, train_examples=64, seq_length=32"),
    )
    done = execute(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "pruning: mine" in done.stdout
    assert re.search(r"sparsity of 6 matrices +80\.1 % each", done.stdout)
    assert re.search(
        r"pruned +80\.\d\d % of the weights of the encoder's dense layers", done.stdout
    )
    assert "pkg_resources" not in done.stderr
    (run,) = (tmp_path / "runs").iterdir()
    assert "-sample-mine-seed1-" in run.name
    assert (run / "results.jsonl").is_file()


def test_the_code_for_the_saved_model_classifies_a_sentence(exported, tmp_path):
    run, _ = exported
    code = snippet(
        "tensorflow_text",
        folder=("runs/demo", str(run.path)),
        text=('"The cat sat on the mat."', '"this was a great film", "this was a bad film"'),
    )
    done = execute(code, tmp_path)
    assert done.returncode == 0, done.stderr
    description = json.loads((run.path / "model" / "architecture.json").read_text())
    *answers, indices = done.stdout.splitlines()
    labels = [description["labels"][int(index)] for index in re.findall(r"\d", indices)]
    assert labels == ["positive", "negative"]
    assert answers[0].startswith("[b'positive' b'negative'] [[")


@pytest.mark.processes
@pytest.mark.parametrize("program", ["fill_in.py", "write_claims.py"])
def test_the_pages_show_the_numbers_of_the_records(program):
    command = [sys.executable, f"docs/{program}", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("", 0), done.stderr
