"""Commands as a person sees them: on terminals of 80 and 120 columns."""

from __future__ import annotations

import configparser
import json
import pathlib
import re
import shlex
import subprocess
import sys

import pytest
import screen
from absl import flags
from report_runs import LABELS, right
from written_runs import write_export, write_run

from bert_glue_tf.runs import command_line

WIDTHS = (80, 120)


def _commands():
    setup = configparser.ConfigParser()
    setup.read(pathlib.Path(__file__).parents[2] / "setup.cfg")
    scripts = setup["options.entry_points"]["console_scripts"].split("\n")
    return [line.split("=")[1].strip().removesuffix(":command") for line in scripts if line]


def command(module):
    return [sys.executable, "-m", module]


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("module", _commands())
def test_help_is_as_wide_as_the_output_at_most(module, columns):
    done = subprocess.run(
        [*command(module), "--help"],
        capture_output=True,
        text=True,
        env={"COLUMNS": str(columns), "PYTHONPATH": ":".join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= columns
    # An example is one command, with backslashes where it takes more than a line.
    (example,) = re.findall(r"^  python -m (?:.*\\\n)*.*$", done.stdout, re.MULTILINE)
    assert shlex.split(example.replace("\\\n", ""))[2] == module
    # Nothing of Python's own writing, nor of absl's.
    assert "['" not in done.stdout
    assert "repeat this option" not in done.stdout
    for line in lines[lines.index("Flags:") + 1 :]:
        assert re.match(r"  --|      \S", line), line


def test_a_flag_that_there_is_not_has_a_near_one():
    done = subprocess.run(
        [*command("bert_glue_tf.predict"), "--txt=a"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: Unknown command line flag 'txt'. Did you mean --text?\n")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many words") / "runs"
    for seed in (1, 2):
        write_run(folder / f"unpruned-{seed}", LABELS, right(300), seed=seed, source="sample")
        run = write_run(
            folder / f"pruned-{seed}",
            LABELS,
            right(280),
            seed=seed,
            source="sample",
            pruning_method="attention_head,magnitude",
        )
        write_export(run, "float32", LABELS, right(280))
        write_export(run, "dynamic_int8_attention_only", LABELS, right(270))
    return folder


@pytest.mark.parametrize("columns", WIDTHS)
def test_a_comparison_fits_its_terminal(runs, tmp_path, columns):
    written, status = screen.run(
        [*command("bert_glue_tf.compare"), f"--runs={runs}/*"], columns, cwd=tmp_path
    )
    assert status == 0, written
    assert "…" not in written
    plain = written.replace("\r\n", "\n")
    assert max(map(len, plain.splitlines())) <= columns
    assert len(re.findall(r"Scores marked \(sample\)", plain)) == 1


@pytest.mark.parametrize("columns", WIDTHS)
def test_a_dry_run_fits_its_terminal(tmp_path, columns):
    grid = "pruning_method=magnitude,(attention_head,neuron);final_sparsity=0.1,0.5;seed=1,2"
    settings = ("--task=cola", "--data=sample", "--encoder=minilm_l6", "--finetune_epochs=3")
    written, status = screen.run(
        [*command("bert_glue_tf.sweep"), *settings, f"--grid={grid}", "--dry_run"],
        columns,
        cwd=tmp_path,
    )
    assert status == 0, written
    assert "…" not in written
    assert max(map(len, written.splitlines())) <= columns
    assert len(re.findall(r"\bcola-minilm_l6-sample-magnitude-seed\d-\w{6}\b", written)) == 4


@pytest.mark.parametrize("columns", WIDTHS)
def test_the_command_that_works_without_the_network_can_be_pasted(tmp_path, columns):
    arguments = ["--task=cola", "--prune", "--final_sparsity=0.25", "--workdir=a folder/of mine"]
    written, status = screen.run(
        [*command("bert_glue_tf.train"), *arguments, "--epochs=2", "--seq_length=64"],
        columns,
        {
            "https_proxy": "http://127.0.0.1:9",
            "http_proxy": "http://127.0.0.1:9",
            "no_proxy": "",
            "TFHUB_CACHE_DIR": str(tmp_path),
            "TFDS_DATA_DIR": str(tmp_path),
        },
        cwd=tmp_path,
    )
    assert status == 2, written
    plain = written.replace("\r\n", "\n")
    assert max(map(len, plain.splitlines())) <= columns
    (advice,) = re.findall(r"^  python -m (?:.*\\\n)*.*$", plain, re.MULTILINE)
    words = shlex.split(advice.replace("\\\n", ""))
    assert words[:3] == ["python", "-m", "bert_glue_tf.train"]
    values = flags.FlagValues()
    command_line.define_flags(values)
    values(words[2:])
    read = command_line.from_flags(values)
    assert (read.encoder, read.data, read.final_sparsity) == ("minilm_l6", "sample", 0.25)
    assert values["workdir"].value == "a folder/of mine"


PARSE = """
import importlib, sys
from absl import flags
importlib.import_module(sys.argv[1])
left = flags.FLAGS(sys.argv[1:])
assert len(left) == 1, left
"""


@pytest.mark.parametrize("columns", WIDTHS)
def test_the_next_commands_of_a_finished_run_can_be_pasted(tmp_path, columns):
    folder = tmp_path / "my runs"
    settings = {"task": "mrpc", "encoder": "tiny", "data": "tsv"}
    for name in ("one", "two"):
        run = write_run(folder / name, LABELS, right(300), seed=len(name), **settings)
        path = run / "results.jsonl"
        record = json.loads(path.read_text())
        speeds = ("train_examples_per_second", "evaluation_examples_per_second", "seconds")
        path.write_text(json.dumps(record | {"speed": dict.fromkeys(speeds, 1.0)}) + "\n")
    given = [f"--{name}={value}" for name, value in settings.items()]
    arguments = [*command("bert_glue_tf.train"), *given, "--seed=3", f"--workdir={run}"]
    written, status = screen.run(arguments, columns, cwd=tmp_path)
    assert status == 0, written
    plain = written.replace("\r\n", "\n")
    advised = re.findall(r"^  python -m (?:.*\\\n)*.*$", plain, re.MULTILINE)
    words = [shlex.split(advice.replace("\\\n", "")) for advice in advised]
    assert [parts[2:] for parts in words] == [
        ["bert_glue_tf.export_tflite", f"--run={run}"],
        ["bert_glue_tf.compare", f"--runs={folder}/*"],
    ]
    for parts in words:
        subprocess.run([sys.executable, "-c", PARSE, *parts[2:]], check=True, timeout=60)


BAR = """
from bert_glue_tf.core import progress
progress.Bar._SECONDS = 0.0
with progress.Bar(2, "sweep") as bar:
    bar.show(0, "1 running")
    bar.say("1/2 a run whose line is longer than the terminal, which has no more than sixty")
    bar.show(1, "1 running, about 3 min left")
print("the end")
"""


def test_the_bar_of_a_sweep_stands_below_its_lines_and_goes():
    written, status = screen.run([sys.executable, "-c", BAR], 60)
    assert status == 0, written
    assert re.search(r"1/2.*1 running, about 3 min left", written)
    assert [line for line in screen.lines(written, 60) if line] == [
        "1/2 a run whose line is longer than the terminal, which has",
        "no more than sixty",
        "the end",
    ]


WARNED = """
import sys
from absl import logging
from bert_glue_tf.core import logs, progress
logs.show()
with progress.doing("saving the model"):
    logging.warning("one word after another, as many as a line of eighty columns cannot hold")
    print("a line on standard output")
with progress.doing("never seen in the end", is_logged=False):
    pass
print("the end")
"""


@pytest.mark.parametrize("columns", [80, 60])
def test_the_log_stands_above_a_spinner_and_the_spinner_goes(columns):
    written, status = screen.run([sys.executable, "-c", WARNED], columns)
    assert status == 0, written
    assert "never seen" in written
    lines = [re.sub(r"\d\d:\d\d:\d\d", "TIME", line) for line in screen.lines(written, columns)]
    assert [line for line in lines if line] == [
        "TIME saving the model",
        *{
            80: [
                "TIME warning: one word after another, as many as a line of eighty columns",
                "         cannot hold",
            ],
            60: [
                "TIME warning: one word after another, as many as a line",
                "         of eighty columns cannot hold",
            ],
        }[columns],
        "a line on standard output",
        "the end",
    ]


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


LOGGED = """
from absl import logging
from bert_glue_tf.core import logs, progress
logs.show_in_python()
logs.show_in_python()
with progress.doing("a note"):
    pass
logging.warning("a warning")
"""


@pytest.mark.parametrize("before", ["", "import logging as own; own.warning('of nobody')\n"])
def test_python_logs_as_the_commands_do(before):
    lines = python(before + LOGGED).stderr.splitlines()
    assert [re.sub(r"^\d\d:\d\d:\d\d", "TIME", line) for line in lines if "nobody" not in line] == [
        "TIME a note",
        "TIME warning: a warning",
    ]


def test_a_program_that_has_set_its_log_up_keeps_it():
    own = "import logging as own; own.basicConfig(format='mine: %(message)s', level=20)\n"
    assert python(own + LOGGED).stderr.splitlines() == ["mine: a note", "mine: a warning"]
