"""The warning of another run that has seen texts which this one is scored on."""

from __future__ import annotations

import types

import pytest

from bert_glue_tf.training import starting_point

FILE = {"file_sha256": "a", "examples": 90, "validation_seed": 1, "validation_fraction": 0.1}
GLUE = {"sha256": "a", "examples": 1000, "split_examples": 1000}


def is_warned(caplog, before, now, held_out=None, limit=0, taken=1000):
    """Tell if one that trains on `now` is warned of a run that has trained on `before`.

    `limit` is the earlier run's --train_examples, `taken` what this one has read of the file.
    """
    caplog.clear()
    record = types.SimpleNamespace(data={"train": before}, config={"train_examples": limit})
    run = types.SimpleNamespace(record=lambda: record)
    train = types.SimpleNamespace(provenance=now)
    read = {"train": range(taken)}
    inputs = types.SimpleNamespace(train=train, held_out=held_out, read=read)
    starting_point.warn_of_seen("--teacher=x", run, inputs)
    assert all(text.startswith("--teacher=x: ") for text in caplog.messages)
    return bool(caplog.messages)


@pytest.mark.parametrize("number", [100, 1000, 2000])
def test_texts_of_a_validation_file_were_seen_by_nobody(caplog, number):
    """However many of the training texts either of the two takes."""
    assert not is_warned(caplog, GLUE, {**GLUE, "examples": number})


def test_another_division_of_the_same_file_is_warned_of(caplog):
    assert not is_warned(caplog, FILE, FILE)
    assert not is_warned(caplog, FILE, {**FILE, "examples": 50})
    assert is_warned(caplog, FILE, {**FILE, "validation_seed": 2})
    assert not is_warned(caplog, FILE, {**FILE, "validation_seed": 2, "file_sha256": "b"})
    # The smaller part is contained in the larger one, which the earlier run has not seen.
    assert is_warned(caplog, FILE, {**FILE, "validation_fraction": 0.2})
    assert not is_warned(caplog, FILE, {**FILE, "validation_fraction": 0.05})
    # Of the whole file it has seen all.
    assert is_warned(caplog, {"sha256": "a", "examples": 100}, FILE)
    assert not is_warned(caplog, FILE, {"sha256": "a", "examples": 100})


def test_what_is_held_out_for_a_choice_is_seen_unless_both_hold_it_out(caplog):
    assert not is_warned(caplog, GLUE, GLUE, held_out=object())
    assert is_warned(caplog, GLUE, {**GLUE, "examples": 900}, held_out=object())
    held = {**GLUE, "examples": 900}
    assert not is_warned(caplog, held, held, held_out=object())
    # As many, and others: 900 of the 1,000 that were taken, beside 100 held out of all.
    assert is_warned(caplog, held, held, held_out=object(), limit=900)
