"""A float32 file against the Keras model at every length, on texts that are padded there."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from messages import refuses

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import batching, preprocessing, readers
from bert_glue_tf.evaluation import predictions
from bert_glue_tf.export import parity
from bert_glue_tf.export.parity import PADDED, TOLERANCE


class Model:
    """A file that answers as the Keras model, but for what is added at a length."""

    lengths = (8, 16, 32)

    def __init__(self, split, logits, added):
        self._known = {self._key(split.tokens.batch([i], 32)): row for i, row in enumerate(logits)}
        self._added = added
        self.asked: list[tuple[int, int]] = []

    @staticmethod
    def _key(features):
        ids, mask = features["input_word_ids"][0], features["input_mask"][0]
        return tuple(ids[mask == 1])

    def predict(self, features):
        rows = []
        for i in range(len(features["input_mask"])):
            one = {name: value[i : i + 1] for name, value in features.items()}
            length = one["input_mask"].shape[1]
            assert one["input_mask"].sum() <= length
            self.asked.append((length, int(one["input_mask"].sum())))
            rows.append(self._known[self._key(one)] + self._added.get(length, 0.0))
        return np.array(rows)


@pytest.fixture(scope="module")
def known(exported):
    """A run, its validation split and the Keras model's logits of it."""
    run, folder = exported
    tokenizer = preprocessing.build(
        preprocessing.load(str(folder.preprocessing), str(folder.preprocessing)),
        run.task.text_fields,
        32,
        run.config.truncation,
    )
    examples = readers.load_for_training(run.task, run.config.data, 0)["validation"]
    split = batching.tokenize(tokenizer, "validation", examples)
    logits = predictions.read(run.folder.predictions_file(split.name), run.task, len(split)).logits
    return run, split, logits


def test_texts_are_compared_at_every_length_at_which_they_are_padded(known):
    run, split, logits = known
    model = Model(split, logits, {16: 1e-5})
    found = parity.require_at_every_length(run, split, model)
    expected = {
        PADDED.format(length): {16: 1e-5}.get(length, 0.0)
        for length in model.lengths
        if (split.tokens.lengths < length).any()
    }
    assert found == pytest.approx(expected, abs=1e-6)
    assert all(pieces < length for length, pieces in model.asked)
    # From the shortest to the longest text that is padded at a length.
    at_longest = [pieces for length, pieces in model.asked if length == 32]
    assert (min(at_longest), max(at_longest)) == (
        split.tokens.lengths.min(),
        split.tokens.lengths.max(),
    )


def test_a_length_at_which_padding_counts_is_refused(known):
    run, split, logits = known
    size = max(1.0, np.abs(logits).max())
    with refuses(UserError, "at length 32", "--seq_lengths"):
        parity.require_at_every_length(run, split, Model(split, logits, {32: 2e-3 * size}))


def test_more_than_is_usual_is_told(known, caplog):
    run, split, logits = known
    size = max(1.0, np.abs(logits).max())
    with caplog.at_level("WARNING", "absl"):
        parity.require_at_every_length(run, split, Model(split, logits, {32: 1e-4 * size}))
    (told,) = caplog.messages
    assert "at length 32" in told
    assert f"{TOLERANCE:.0e} is usual" in told


def test_a_run_of_another_device_is_compared_with_the_file_itself(known):
    run, split, logits = known
    record = dataclasses.replace(run.result, environment={"devices": ["/device:GPU:0"]})
    elsewhere = dataclasses.replace(run, result=record)
    # A GPU's rounding is in all lengths alike, and is no reason to refuse the file.
    everywhere = dict.fromkeys(Model.lengths, 0.01)
    found = parity.require_at_every_length(elsewhere, split, Model(split, logits, everywhere))
    assert max(found.values()) < 1e-6
    with refuses(UserError, "at length 32"):
        parity.require_at_every_length(elsewhere, split, Model(split, logits, {32: 0.1}))
