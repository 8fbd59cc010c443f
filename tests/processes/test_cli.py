"""The command as a user gives it: answers at once, one clear message, exit status 2."""

from __future__ import annotations

import contextlib
import csv
import errno
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
import time

import messages
import numpy as np
import pytest
import written_runs
from absl import flags
from slow_fixtures import slow_to_make

from bert_glue_tf.runs import command_line

# A name server that never answers would cost the probe its whole deadline; a proxy that
# refuses is a network that is not there, on every machine.
OFFLINE = {
    "https_proxy": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
    "no_proxy": "",
}


MODULE = (sys.executable, "-m", "bert_glue_tf.train")


def train(*arguments, cwd, env=None, timeout=300, command=MODULE):
    environment = {**os.environ, **OFFLINE, "COLUMNS": "100", **(env or {})}
    return subprocess.run(
        [*command, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
    )


def refused(done, *names):
    """The message of a refused command, once its form is right and it names these."""
    assert done.stdout == ""
    return messages.refused(done, *names)


def refused_late(done, *names):
    """The message of a command that failed when it had printed its progress already."""
    assert done.stdout != ""
    return messages.refused(done, *names)


def test_help_lists_every_flag_and_exits_with_0(tmp_path):
    done = train("--help", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr == ""
    for name in (
        "task encoder data workdir epochs batch_size learning_rate warmup_fraction weight_decay "
        "dropout seq_length train_examples seed prune pruning_method initial_sparsity "
        "final_sparsity begin_step end_step pruning_frequency flagfile"
    ).split():
        assert re.search(rf"^  --(\[no\])?{name}\b", done.stdout, re.MULTILINE), name


@pytest.mark.parametrize("arguments", [("--help",), ("--epochs=many",), ("--task=colla",)])
def test_answers_at_once(tmp_path, arguments):
    # The best of three: a loaded machine is not the command's fault.
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        train(*arguments, cwd=tmp_path)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1.5


def test_no_tensorflow_before_it_is_needed():
    code = (
        "import sys\n"
        "from bert_glue_tf import train\n"
        "heavy = {'tensorflow', 'tf_keras', 'scipy', 'rich', 'official'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(
    "name",
    [
        *("benchmark", "compare", "compress", "export_hf", "export_tflite", "sensitivity"),
        *("survey", "train"),
    ],
)
def test_a_command_knows_its_flags_before_numpy(name):
    code = (
        "import sys\n"
        f"from bert_glue_tf import {name}\n"
        "heavy = {'tensorflow', 'numpy', 'ai_edge_litert'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_what_another_version_has_finished_is_shown(tmp_path):
    """Though its settings would be refused today, and TF_CONFIG is not at hand any more."""
    settings = {
        "pruning_method": "layer",
        "pruning_weights": "query",
        "strategy": "multi_worker",
    }
    labels = np.array([0, 1] * 4)
    run = written_runs.write_run(
        tmp_path / "run", labels, written_runs.wrong_at(labels, [0]), **settings
    )
    path = run / "results.jsonl"
    record = json.loads(path.read_text())
    del record["config"]["held_out"], record["config"]["mixed_precision"]
    speeds = ("train_examples_per_second", "evaluation_examples_per_second", "seconds")
    record["speed"] = dict.fromkeys(speeds, 1.0)
    record["data"]["train"]["split_examples"] = record["data"]["train"]["examples"]
    path.write_text(json.dumps(record) + "\n")
    flags_given = [f"--{name}={value}" for name, value in settings.items()]
    flags_given += ["--task=mrpc", "--encoder=tiny", "--data=tsv"]
    done = train(*flags_given, "--workdir=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Everything of this run is in run." in done.stdout
    assert re.search(r"accuracy +0\.8750", done.stdout)
    refused(train(*flags_given, "--workdir=new", cwd=tmp_path), "--pruning_weights=query")
    record["config"]["lecturer"] = "large"
    path.write_text(json.dumps(record) + "\n")
    done = train(*flags_given, "--workdir=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"warning: settings that this version does not have .*: lecturer$", done.stderr, re.M
    )


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--tusk=cola",), "--task?"),
        (("cola",), "'cola'"),
        (("--epochs=many",), "--epochs=many"),
        (("--dropout=a: b",), "--dropout=a: b"),
        (("--prune=maybe",), "--prune=maybe"),
        (("--task=colla",), "--task=colla"),
        (("--encoder=bert",), "--encoder=bert"),
        (
            ("--pruning_method=lottery",),
            "--pruning_method=lottery",
        ),
        (("--prune", "--final_sparsity=1"), "--final_sparsity=1.0"),
        (
            ("--prune", "--begin_step=9", "--end_step=3"),
            "--begin_step=9",
        ),
        (("--seq_length=513",), "--seq_length=513"),
        (
            ("--flagfile=nothing.flags",),
            "--flagfile=nothing.flags",
        ),
        (
            ("--prune", "--final_sparsity=80"),
            "--final_sparsity=80.0",
        ),
        (("--config=nothing.json",), "--config=nothing.json"),
        (("--final_sparsity=0.5",), "--final_sparsity=0.5"),
        (("--workdir=~nosuchuser/x",), "--workdir='~nosuchuser/x'"),
        (("--encoder=~nosuchuser/x",), "--encoder=~nosuchuser/x"),
        ((f"--workdir={'x' * 300}",), f"--workdir={'x' * 300}"),
        ((f"--encoder={'x' * 300}",), f"--encoder={'x' * 300}"),
    ],
)
def test_a_bad_flag(tmp_path, arguments, named):
    refused(train(*arguments, cwd=tmp_path), named)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("rows", "place", "good"),
    [
        (["gj04\t1\t\tA good one.", "gj04\t7\t\tWrong."], "train.tsv:2: ", "0, 1"),
        (["gj04\t1\t\tA good one.", "gj04\t1\t\tStray\ttab."], "train.tsv:2: ", "4"),
        ([], "train.tsv", "rows"),
    ],
)
def test_a_bad_file_names_file_line_and_good_values(tmp_path, tiny_encoder, rows, place, good):
    folder = tmp_path / "CoLA"
    folder.mkdir()
    for name in ("train.tsv", "dev.tsv"):
        (folder / name).write_text("".join(row + "\n" for row in rows))
    done = train(f"--encoder={tiny_encoder}", f"--data={tmp_path}", cwd=tmp_path)
    refused(done, f"{folder}/{place}", good)


def test_a_folder_without_tsv(tmp_path, tiny_encoder):
    done = train(f"--encoder={tiny_encoder}", f"--data={tmp_path}", cwd=tmp_path)
    refused(done, tmp_path, "an empty folder", "a train file")
    done = train("--task=cola", f"--encoder={tiny_encoder}", f"--data={tmp_path}", cwd=tmp_path)
    refused(done, tmp_path, "train.tsv")


@pytest.mark.parametrize("task", ["cola", "rte"])
def test_without_the_network_it_says_what_works_here(tmp_path, task):
    start = time.perf_counter()
    done = train(
        f"--task={task}",
        "--prune",
        "--epochs",
        "2",
        cwd=tmp_path,
        env={"TFHUB_CACHE_DIR": str(tmp_path), "TFDS_DATA_DIR": str(tmp_path)},
    )
    assert time.perf_counter() - start < 10
    told = refused(done)
    assert len(told.splitlines()) <= 5
    assert "https://tfhub.dev/tensorflow/bert_en_uncased_L-12_H-768_A-12/4 cannot be" in told
    command = shlex.split(told.splitlines()[-1])
    data = "sample" if task == "cola" else "FOLDER"
    assert command == [
        *("python", "-m", "bert_glue_tf.train", f"--task={task}", "--prune", "--epochs", "2"),
        *("--encoder=minilm_l6", f"--data={data}"),
    ]
    if task == "cola":
        assert "--data=/folder/with/glue, where CoLA/train.tsv lies" in told
    if task == "rte":
        assert "FOLDER: where RTE/train.tsv lies" in told


def test_only_what_cannot_be_reached_is_replaced(tmp_path, tiny_encoder):
    told = refused(
        train(
            f"--encoder={tiny_encoder}",
            "--data=tfds",
            cwd=tmp_path,
            env={"TFDS_DATA_DIR": str(tmp_path)},
        )
    )
    assert "https://dl.fbaipublicfiles.com cannot be reached" in told
    assert told.splitlines()[-1].split()[3:] == [f"--encoder={tiny_encoder}", "--data=sample"]
    assert len(told.splitlines()) <= 5


def test_a_flagfile_that_is_no_text(tmp_path):
    (tmp_path / "a.flags").write_bytes(b"--task=cola\n\xff\xfe\n")
    refused(train("--flagfile=a.flags", cwd=tmp_path), "--flagfile=a.flags", "0xff at 12")


def test_a_suggested_command_works(tmp_path, tiny_encoder):
    """Called by the installed script, with --preprocessing in a flagfile."""
    # What pip writes for the entry point bert-glue-train.
    script = tmp_path / "bin" / "bert-glue-train"
    script.parent.mkdir()
    script.write_text(f"#!{sys.executable}\nfrom bert_glue_tf.train import command\ncommand()\n")
    script.chmod(0o755)
    (tmp_path / "a.flags").write_text(f"--preprocessing={tiny_encoder}/preprocessing\n")
    handle = "--encoder=https://tfhub.dev/tensorflow/bert_en_uncased_L-12_H-768_A-12/4"
    # On the path by its name, elsewhere as it was called.
    for path, name in (
        (f"{script.parent}:/usr/bin:/bin", script.name),
        ("/usr/bin:/bin", str(script)),
    ):
        env = {"TFHUB_CACHE_DIR": str(tmp_path), "TFDS_DATA_DIR": str(tmp_path), "PATH": path}
        told = refused(
            train("--flagfile=a.flags", handle, cwd=tmp_path, env=env, command=[str(script)])
        )
        suggested = shlex.split(told.splitlines()[-1])
        assert suggested == [
            name,
            "--flagfile=a.flags",
            "--encoder=minilm_l6",
            "--data=sample",
            "--preprocessing=",
        ]
    # With --encoder replaced, the flagfile's preprocessing is none of its business.
    values = flags.FlagValues()
    command_line.define_flags(values)
    with contextlib.chdir(tmp_path):
        values(suggested)
    assert command_line.from_flags(values).preprocessing == ""


def test_a_run_from_the_command_line_and_the_folder_it_then_keeps(tmp_path, tiny_encoder):
    arguments = (
        f"--encoder={tiny_encoder}",
        "--data=sample",
        "--prune",
        "--epochs=6",
        "--train_examples=64",
        "--seq_length=32",
        "--workdir=run",
    )
    done = train(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (first_step,) = re.findall(r"first step done, (\d+) s after this run began", done.stderr)
    assert int(first_step) > 0
    with (tmp_path / "run" / "history.csv").open(newline="") as file:
        peaks = [float(row["peak_memory_mb"]) for row in csv.DictReader(file)]
    assert len(peaks) == 6
    assert min(peaks) > 100
    # The first two epochs trace the graphs and fill the allocator's pools. What every further one
    # keeps would show in each of them; what a busy machine adds shows in some.
    assert min(later - earlier for earlier, later in itertools.pairwise(peaks[1:])) < 1, peaks
    assert "cola (sample data)" in done.stdout
    assert "matthews" in done.stdout
    assert "Everything of this run is in run." in done.stdout
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}

    refused(train(*arguments, "--seed=2", cwd=tmp_path), "--workdir=run", "seed is 1")
    again = train(*arguments, cwd=tmp_path)
    assert "this run is finished" in again.stderr
    assert "starting TensorFlow" not in again.stderr
    assert "matthews" in again.stdout
    after = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert after == before


@pytest.mark.parametrize(
    ("when", "told"),
    [
        ("loading.load = interrupt", "starts again."),
        (
            "records.append = interrupt",
            "goes on from the last state that was saved.",
        ),
    ],
)
def test_interrupted_it_says_where_the_same_command_goes_on(tmp_path, tiny_encoder, when, told):
    code = (
        "from bert_glue_tf import train\n"
        "from bert_glue_tf.core import cli, records\n"
        "from bert_glue_tf.models import loading\n"
        "def interrupt(*_, **__):\n"
        "    raise KeyboardInterrupt\n"
        f"{when}\n"
        "train.command()\n"
    )
    done = train(
        *(f"--encoder={tiny_encoder}", "--data=sample", "--epochs=1", "--train_examples=32"),
        *("--seq_length=32", "--learning_rate=1e-3"),
        cwd=tmp_path,
        command=[sys.executable, "-c", code],
    )
    assert done.returncode == 130, done.stderr
    assert done.stderr.endswith(f"\nInterrupted. The same command {told}\n")
    # Nothing was drawn into what is no terminal: a line an epoch, none without one.
    assert re.fullmatch(
        r"(epoch 1/1, \d+ s: loss [\d.]{6}, val: matthews [-\d.]+, accuracy [\d.]{6}, .*\n)?",
        done.stdout,
    )
    assert bool(done.stdout) == ("goes on" in told)
    assert bool(done.stdout) == (" tokenizing 32 + 550 sentences\n" in done.stderr)
    assert re.search(r"^\d\d:\d\d:\d\d starting TensorFlow$", done.stderr, re.MULTILINE)


def test_a_workdir_that_may_not_be_read(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    # Root may read everything: as a user who may not, once all modules are loaded.
    code = (
        "import os, sys\n"
        "from bert_glue_tf import train\n"
        "from bert_glue_tf.core import cli\n"
        "os.geteuid() or os.seteuid(65534)\n"
        "cli.run(train.main, train.__doc__)\n"
    )
    done = train(f"--workdir={closed}/run", cwd=tmp_path, command=[sys.executable, "-c", code])
    refused(done, f"--workdir={closed}/run")


def test_workdir_in_the_home_folder_is_expanded(tmp_path, tiny_encoder):
    arguments = (
        f"--encoder={tiny_encoder}",
        "--data=sample",
        "--workdir=~/runs/a",
        "--end_step=9999",
    )
    done = train(*arguments, "--prune", cwd=tmp_path, env={"HOME": str(tmp_path / "home")})
    refused(done, "--end_step=9999")
    assert (tmp_path / "home" / "runs" / "a" / "config.json").is_file()
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_and_a_full_quota_are_told_alike(tmp_path, number):
    # A quota cannot be set up here: the error is the system's own, raised where data are read.
    code = (
        "import os, sys\n"
        "from bert_glue_tf import train\n"
        "from bert_glue_tf.core import cli\n"
        "from bert_glue_tf.models import encoders\n"
        "def full(*_):\n"
        f"    raise OSError({number}, os.strerror({number}), 'history.csv')\n"
        "encoders.resolve = full\n"
        "cli.run(train.main, train.__doc__)\n"
    )
    done = train(cwd=tmp_path, command=[sys.executable, "-c", code])
    refused(done, "disk is full", os.strerror(number))


def test_nobody_reads_the_output(tmp_path, tiny_encoder):
    """`train | head`, where head has ended: while Keras prints, and when the table is printed."""
    arguments = (
        f"--encoder={tiny_encoder}",
        "--data=sample",
        "--epochs=1",
        "--train_examples=64",
        "--seq_length=32",
        "--workdir=run",
    )
    for is_finished in (False, True):
        read, write = os.pipe()
        os.close(read)
        try:
            done = subprocess.run(
                [*MODULE, *arguments],
                cwd=tmp_path,
                env={**os.environ, **OFFLINE},
                stdout=write,
                stderr=subprocess.PIPE,
                text=True,
                timeout=300,
            )
        finally:
            os.close(write)
        assert done.returncode == 141
        assert "Traceback" not in done.stderr
        assert "BrokenPipeError" not in done.stderr
        assert "The reader of the output has ended, and so does this command." in done.stderr
        assert (tmp_path / "run" / "results.jsonl").exists() == is_finished
        if not is_finished:
            assert train(*arguments, cwd=tmp_path).returncode == 0


@pytest.fixture
@slow_to_make
def small_disk(tmp_path):
    """A disk of 600 kB: room for the settings, none for a checkpoint."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_fills_up_during_the_run(small_disk, tmp_path, tiny_encoder):
    arguments = (
        f"--encoder={tiny_encoder}",
        "--data=sample",
        "--epochs=1",
        "--train_examples=64",
        "--seq_length=32",
        f"--workdir={small_disk}/run",
    )
    refused_late(train(*arguments, cwd=tmp_path), "disk is full")
    assert not (small_disk / "run" / "results.jsonl").exists()
    assert not list((small_disk / "run").glob(".model*"))  # Nothing half-written takes room.
    history = (small_disk / "run" / "history.csv").read_text()

    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    done = train(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"going on after step (\d+) of \1", done.stderr)
    assert (small_disk / "run" / "history.csv").read_text() == history
    assert len((small_disk / "run" / "results.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("raised", "goes_on", "status", "told"),
    [
        ("KeyboardInterrupt", "", 130, "\nInterrupted.\n"),
        (
            "KeyboardInterrupt",
            "after the last epoch",
            130,
            "\nInterrupted. The same command goes on after the last epoch.\n",
        ),
        ("BrokenPipeError", "", 141, ""),
        (
            "OSError(28, 'No space left on device')",
            "",
            2,
            "error: the disk is full. Make room and give the same command again.\n"
            "([Errno 28] No space left on device)\n",
        ),
        (
            "OSError(28, 'No space left on device')",
            "there",
            2,
            "error: the disk is full. Make room and give the same command again; it goes on "
            "there.\n([Errno 28] No space left on device)\n",
        ),
    ],
)
def test_how_a_command_ends_that_could_not_go_on(tmp_path, raised, goes_on, status, told):
    script = tmp_path / "command.py"
    script.write_text(
        "from bert_glue_tf.core import cli\n\n\n"
        f"def main():\n    print('begun')\n    raise {raised}\n\n\n"
        f"cli.run(main, 'Doc.', {goes_on!r})\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (status, told)


def test_an_output_that_nobody_reads_ends_a_command_quietly(tmp_path):
    script = tmp_path / "command.py"
    # More than a pipe holds.
    script.write_text(
        "from bert_glue_tf.core import cli\n\n\n"
        "def main():\n    print('x' * 1_000_000)\n\n\ncli.run(main, 'Doc.')\n"
    )
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 141
