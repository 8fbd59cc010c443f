"""The output of a training: a bar that fits its terminal, and a line for each epoch."""

from __future__ import annotations

import re
import sys
import types

import pytest
import screen

from bert_glue_tf.data import tasks
from bert_glue_tf.training import callbacks

LOGS = {"loss": 0.6931, "accuracy": 0.5}
CODE = f"""
from bert_glue_tf.data import tasks
from bert_glue_tf.training import callbacks
callbacks.Progress._SECONDS = 0.0
with callbacks.Progress(tasks.get("qqp"), 10, 300) as progress:
    progress.on_epoch_begin(8)
    for step in range(300):
        progress.on_train_batch_end(step, {LOGS})
    progress.on_epoch_end(8, {{"val_accuracy": 0.8, "val_f1": 0.7, "val_loss": 0.4, **{LOGS}}})
    progress.on_epoch_begin(9)
    raise SystemExit(3)
"""


def scores(task):
    spec = tasks.get(task)
    own = {f"val_{m}{end}": 0.8312 for end in spec.validation_splits for m in spec.metrics}
    return {"loss": 0.5, "val_loss": 0.25, **own}


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("task", tasks.TASKS)
def test_the_line_of_an_epoch_has_every_score_in_so_many_columns(task, columns, monkeypatch):
    monkeypatch.setattr(callbacks.layout, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    progress = callbacks.Progress(tasks.get(task), 10, 5)
    monkeypatch.setattr(callbacks.shown, "bar", lambda *_: None)
    progress.on_epoch_begin(9)
    lines = progress.line(scores(task), 12345.6).splitlines()
    assert max(map(len, lines)) <= columns
    # MNIST and HAR have no validation split.
    split = "test" if task in ("mnist", "har") else "val"
    assert lines[0].startswith(f"epoch 10/10, 12346 s: loss 0.5000, {split}: ")
    # No number stands in another line than its name.
    told = ", ".join(line.strip().rstrip(",") for line in lines)
    for name, value in scores(task).items():
        assert f"{name.removeprefix('val_')} {value:.4f}" in told
    assert told.endswith("loss 0.2500")


def test_in_a_file_there_is_a_line_an_epoch(capsys):
    progress = callbacks.Progress(tasks.get("cola"), 3, 2)
    progress.on_epoch_begin(0)
    for step in range(2):
        progress.on_train_batch_end(step, LOGS)
    progress.on_epoch_end(0, scores("cola"))
    shown = capsys.readouterr().out
    assert re.sub(r"\d+ s", "0 s", shown) == (
        "epoch 1/3, 0 s: loss 0.5000, val: matthews 0.8312, accuracy 0.8312, loss 0.2500\n"
    )


@pytest.mark.processes
@pytest.mark.parametrize("columns", [80, 60])
def test_the_bar_fits_its_terminal_and_goes_away(columns):
    written, status = screen.run([sys.executable, "-c", CODE], columns)
    assert status == 3, written
    plain = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", written)
    drawn = re.split(r"[\r\n]+", plain)
    bars = [text for text in drawn if re.match(r"epoch 9/10 |epoch 9/10, v", text)]
    assert len(bars) > 100
    assert max(map(len, bars)) <= columns
    if columns == 80:
        assert re.fullmatch(
            r"epoch 9/10 \S+ 150/300 loss 0\.6931 accuracy 0\.5000 \d+ s (left|gone)\s*",
            next(text for text in bars if "150/300" in text),
        )
        assert any("epoch 9/10, validating" in text for text in bars)
    seen = [line for line in screen.lines(written, columns) if line]
    assert re.match(r"epoch 9/10, \d+ s: ", seen[0])
    told = ", ".join(line.strip().rstrip(",") for line in seen)
    assert told.endswith("loss 0.6931, val: accuracy 0.8000, f1 0.7000, loss 0.4000")
    # Each drawing begins where the one before it began: a line of the screen is left by each bar
    # that ends and by each epoch, and none by a step.
    assert written.count("\n") <= 3 + len(seen)
    # After the bar of the epoch that was broken off, the line is erased and the cursor is there.
    assert "\x1b[2K" in written[written.rindex("epoch 10/10") :]
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")


@pytest.mark.parametrize(
    ("remaining", "elapsed", "finished", "told"),
    [
        (None, 12.0, False, "12 s gone"),
        (40.2, 12.0, False, "41 s left"),
        # All steps are done, and the epoch still validates.
        (0.0, 52.0, True, "52 s gone"),
    ],
)
def test_the_clock_says_which_time_it_shows(remaining, elapsed, finished, told):
    task = types.SimpleNamespace(time_remaining=remaining, elapsed=elapsed, finished=finished)
    assert callbacks._Clock().render(task).plain == told
