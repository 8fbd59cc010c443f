"""The logits of a file beside those of the Keras model that it was made of."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from absl import logging

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.batching import Split
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.evaluation import predictions
from bert_glue_tf.evaluation.evaluator import Evaluation
from bert_glue_tf.export.litert import LiteModel
from bert_glue_tf.export.record import OF_SPREAD
from bert_glue_tf.models.quantization.recipes import NOT_QUANTIZED
from bert_glue_tf.runs.finished import Run

PADDED = "largest_difference_at_{}"  # What a record calls that of padded texts at a length.
_PROBED = 4  # Texts at each length, from the shortest to the longest that is padded there.
# Of float32's rounding, for logits up to 1, and in proportion for larger ones: docs/tflite.md.
TOLERANCE = 2e-5
# What is no rounding any more.
_WRONG = 1e-3


def compare(
    run: Run,
    splits: Mapping[str, Split],
    evaluations: Mapping[str, Evaluation],
    longest: int,
) -> dict[str, float]:
    """Compare a file's logits with those that the Keras model gave when the run was scored.

    Args:
      run: that the file was made of.
      splits: suffix -> validation split.
      evaluations: suffix -> its scores by the file.
      longest: length of the file.

    Returns:
      What `ExportResult.parity` holds of all examples.
    """
    largest, labels, compared = 0.0, 0, 0
    differences, logits = [], []
    for suffix, split in splits.items():
        keras = _keras(run, run.task, split)
        same = _comparable(run, split, longest)
        mine, theirs = evaluations[suffix].logits[same], keras[same]
        if len(mine):
            largest = max(largest, float(np.max(np.abs(mine - theirs))))
            # A word that a text does not have, or that nobody has read, has zeros.
            is_answer = (mine != 0).any(axis=-1) | (theirs != 0).any(axis=-1)
            differences.append(np.ravel((mine - theirs)[is_answer]))
            logits.append(np.ravel(theirs[is_answer]))
        labels += run.task.problem.flips(theirs, mine)
        compared += int(same.sum())
    found = {"largest_difference": largest, "flips": labels, "examples": compared}
    if any(map(len, logits)) and (spread := float(np.std(np.concatenate(logits)))):
        root = float(np.sqrt(np.mean(np.square(np.concatenate(differences)))))
        found[OF_SPREAD] = root / spread
    return found


def require_at_every_length(run: Run, split: Split, model: LiteModel) -> dict[str, float]:
    """Compare padded texts at each length of a float32 file, or arrays, and refuse a wrong file.

    The logits are those of the Keras model where it was scored on a CPU, as the file is run, and by
    a float computation. Other devices round in other ways (a GPU's matrix products have 10 bits),
    and so does a run that was trained for a quantized file: what is compared then is the same text
    at the shortest length that holds it.

    Args:
      run: that the file was made of.
      split: validation examples.
      model: the file.

    Returns:
      `PADDED` of a length -> largest difference of a logit; without the lengths at which no example
      is padded.

    Raises:
      UserError: a difference is too large to come from rounding.
    """
    devices = run.result.environment.get("devices", [])
    # Of a record without devices nobody knows where it was scored.
    is_on_cpu = bool(devices) and all("CPU" in one for one in devices)
    is_alike = is_on_cpu and run.config.quantize_aware == NOT_QUANTIZED
    keras = _keras(run, run.task, split)
    is_number = np.isfinite(keras).reshape(len(keras), -1).all(axis=1)
    good = np.flatnonzero(_comparable(run, split, model.lengths[-1]) & is_number)
    found: dict[str, float] = {}
    for length in model.lengths:
        # Of what is never padded, as arrays, all that the file reads.
        is_chosen = split.tokens.lengths[good] < length
        padded = good[is_chosen] if run.task.modality.lengths_differ else good
        if not len(padded):
            continue
        by_length = padded[np.argsort(split.tokens.lengths[padded], kind="stable")]
        chosen = by_length[np.unique(np.linspace(0, len(by_length) - 1, _PROBED).astype(int))]
        outputs = model.predict(split.tokens.batch(chosen, length))
        logits = split.tokens.answers(outputs, chosen)
        reference = keras[chosen] if is_alike else _at_shortest(model, split, chosen)
        difference = float(np.max(np.abs(logits - reference)))
        _judge(run, length, difference / max(1.0, float(np.max(np.abs(reference)))))
        found[PADDED.format(length)] = difference
    return found


def _judge(run: Run, length: int, difference: float) -> None:
    """Refuse or tell a difference, that of logits up to 1."""
    where, padding = f"{run.path}: the logits of {run.task.modality.noun}", "This is"
    if run.task.modality.lengths_differ:
        where = f"{run.path}: at length {length} the logits of padded texts"
        padding = (
            "Either the encoder does not leave padding out: export it at the lengths that its "
            "texts have, with --seq_lengths. Or this is"
        )
    if difference > _WRONG:
        raise UserError(
            f"{where} differ by {difference:.1e} from those of the Keras model, which is no "
            f"rounding. {padding} not the model that was scored: copy the whole folder of the run, "
            "or train again."
        )
    if difference > TOLERANCE:
        logging.warning(
            "%s differ by %.1e from those of the Keras model; %.0e is usual",
            where,
            difference,
            TOLERANCE,
        )


def _at_shortest(model: LiteModel, split: Split, chosen: np.ndarray) -> np.ndarray:
    """Return the logits of examples, each at the shortest length of the file that holds it."""
    lengths = split.tokens.lengths
    fitting = [next(n for n in model.lengths if n >= lengths[one]) for one in chosen]
    return np.concatenate(
        [
            split.tokens.answers(model.predict(split.tokens.batch([one], length)), [one])
            for one, length in zip(chosen, fitting, strict=True)
        ]
    )


def _keras(run: Run, task: TaskSpec, split: Split) -> np.ndarray:
    """Return the Keras model's logits of a split, float32 [n, width]."""
    return predictions.read(run.folder.predictions_file(split.name), task, len(split)).logits


def _comparable(run: Run, split: Split, longest: int) -> np.ndarray:
    """Return which examples the file and the Keras model have read whole, bool [n]."""
    of_run = run.config.seq_length
    if longest == of_run:
        return np.ones(len(split), bool)
    # A longer example was trimmed by the shorter of the two models only.
    return split.tokens.read_whole(min(longest, of_run))
