"""The predict command as a user gives it: answers line by line, one clear message, status 2."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading

import pytest
import tiny_runs
from messages import refused

from bert_glue_tf.export import flatbuffer


def command(*arguments):
    return [sys.executable, "-m", "bert_glue_tf.predict", *map(str, arguments)]


def predict(*arguments, sent=b"", env=None, timeout=120):
    return subprocess.run(
        command(*arguments),
        input=sent,
        capture_output=True,
        timeout=timeout,
        env={**os.environ, **(env or {})},
    )


@pytest.fixture(scope="module")
def file(exported):
    return exported[1].model("dynamic_int8")


@pytest.fixture(scope="module")
def pair_file(exported, tmp_path_factory):
    """The same weights, said to be of a task of two texts."""
    folder = shutil.copytree(exported[1].path, tmp_path_factory.mktemp("pair") / "tflite")
    (folder / "SHA256SUMS").unlink()
    path = folder / "float32.tflite"
    metadata = flatbuffer.read_metadata(path.read_bytes())
    model = flatbuffer.read(path.read_bytes())
    model.metadata = [m for m in model.metadata if m.name not in (b"bert_glue_tf", "bert_glue_tf")]
    flatbuffer.add_metadata(model, {**metadata, "task": "mrpc"})
    path.write_bytes(flatbuffer.write(model))
    return path


def test_a_line_is_answered_before_the_next_one_is_sent(file):
    with subprocess.Popen(
        command(f"--model={file}", "--format=jsonl"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        watchdog = threading.Timer(120, process.kill)
        watchdog.start()

        def answer(*lines):
            process.stdin.write(b"".join(lines))
            process.stdin.flush()
            # Ends when the process is killed, should it wait for the next line.
            return [json.loads(process.stdout.readline()) for _ in lines]

        (one,) = answer(b"\xef\xbb\xbfgood good\r\n")
        assert one["texts"] == ["good good"]
        assert one["label"] == "positive"
        assert one["score"] == one["probabilities"]["positive"] > 0.5
        (two,) = answer(b"a bad film\n")
        assert two["label"] == "negative"
        assert sum(two["probabilities"].values()) == pytest.approx(1.0)
        (three,) = answer(b"\n")
        assert three["texts"] == [""]
        megabyte, latin, tab = answer(
            b"good " * 200_000 + b"\n", b"caf\xe9 bad\n", b"sentence\tgood\n"
        )
        assert len(megabyte["texts"][0]) == 1_000_000
        assert megabyte["label"] == "positive"
        assert latin["texts"] == ["caf\ufffd bad"]
        assert tab["texts"] == ["sentence\tgood"]
        process.stdin.write(b"great")  # The last line has no end.
        process.stdin.close()
        assert json.loads(process.stdout.readline())["label"] == "positive"
        assert process.stdout.read() == b""
        told = process.stderr.read().decode()
        assert process.wait(60) == 0
        watchdog.cancel()
    assert "standard input: 1 line(s) are not UTF-8, and what could not be read was " in told
    assert "1 line(s) hold no text, and their labels mean nothing; the first is line 3." in told


def test_a_tsv_with_a_header_and_more_threads(file, tiny_glue):
    done = predict(
        f"--model={file}", f"--input={tiny_glue}/SST-2/dev.tsv", "--format=tsv", "--threads=3"
    )
    assert done.returncode == 0, done.stderr.decode()
    header, *rows = (line.split("\t") for line in done.stdout.decode().splitlines())
    assert header == ["sentence", "label", "predicted_label", "probability"]
    assert [row[:3] for row in rows] == [
        [text, str(label), "positive" if label else "negative"]
        for text, label in tiny_runs.sentences(60, 2)
    ]
    assert all(0.5 < float(row[3]) <= 1 for row in rows)


def test_output_is_utf_8_whatever_the_terminal_has(file):
    done = predict(
        f"--model={file}",
        "--text=good caf\u00e9 \udce9",
        "--format=tsv",
        env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )
    assert done.returncode == 0, done.stderr.decode()
    line = done.stdout.decode().splitlines()[1]
    assert line.split("\t")[2] == "good caf\u00e9 \ufffd"


def test_a_pipe_that_is_closed_ends_the_command_quietly(file):
    with subprocess.Popen(
        command(f"--model={file}"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdin.write(b"good\n")
        process.stdin.flush()
        assert process.stdout.readline().startswith(b"positive ")
        process.stdout.close()
        process.stdin.write(b"bad\n")
        process.stdin.close()
        told = process.stderr.read().decode()
        assert process.wait(60) == 141
    assert "Traceback" not in told
    assert "Exception" not in told


def test_what_came_before_a_wrong_line_is_answered(pair_file):
    done = predict(f"--model={pair_file}", sent=b"good film\tgood book\nonly one\na\tb\n")
    refused(done, "standard input:2", "sentence1, sentence2")
    assert len(done.stdout.splitlines()) == 1


def test_a_submission_by_the_command(file, tiny_glue, tmp_path):
    arguments = (f"--model={file}", f"--glue_submission={tmp_path}/out", f"--data={tiny_glue}")
    done = predict(*arguments)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode() == f"Written to {tmp_path}/out: SST-2.tsv.\n"
    written = (tmp_path / "out" / "SST-2.tsv").read_text()
    right = [f"{i}\t{label}\n" for i, (_, label) in enumerate(tiny_runs.sentences(30, 3))]
    assert written == "index\tprediction\n" + "".join(right)
    refused(predict(*arguments), f"{tmp_path}/out/SST-2.tsv")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((), "--model"),
        (("--model=none.tflite", "--text=a"), "--model=none.tflite"),
        (("--model=FILE", "--threads=0"), "--threads=0"),
        (("--model=FILE", "--format=xml"), "--format=xml"),
        (
            ("--model=FILE", "--text=a", "--text=b"),
            "--text given 2 time(s)",
        ),
        (("--model=FILE", "--text=a", "--input=b"), "--text and --input"),
        (("--model=FILE", "--input=none.txt"), "--input=none.txt"),
        (("--model=FILE", "--input=."), "--input=."),
        (("--model=FILE", "--text_columns=a,b"), "--text_columns=a,b"),
        (("--model=FOLDER", "--text=a"), "--model=FOLDER"),
        (("--model=CARD", "--text=a"), "CARD"),
        (
            ("--model=FILE", "--glue_submission=out", "--data=none"),
            "--data=none",
        ),
    ],
)
def test_a_mistake_is_told_in_seconds(exported, tmp_path, arguments, named):
    folder = exported[1]
    names = {
        "FILE": folder.model("dynamic_int8"),
        "CARD": folder.card("dynamic_int8"),
        "FOLDER": folder.path,
    }
    for name, path in names.items():
        arguments = [argument.replace(name, str(path)) for argument in arguments]
        named = named.replace(name, str(path))
    done = subprocess.run(
        command(*arguments), cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True
    )
    refused(done, named)
    assert done.stdout == b""
    assert "TensorFlow" not in done.stderr.decode()
    assert os.listdir(tmp_path) == []


def test_no_tensorflow_before_it_is_needed():
    code = (
        "import sys\n"
        "from bert_glue_tf import predict\n"
        "heavy = {'tensorflow', 'tf_keras', 'rich', 'official', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
