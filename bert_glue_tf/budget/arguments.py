"""The flags of a compression: the budget, and how a file is sought that keeps it."""

from __future__ import annotations

from absl import flags

from bert_glue_tf.budget.settings import (
    EPOCHS,
    RECIPES,
    SEARCHED_RECIPES,
    TRAININGS,
    CompressSettings,
    Limits,
)
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.settings import refuse_huge
from bert_glue_tf.export.defaults import THREADS

# The flags count as those of the command that defines them, so that its --help shows them.
flags.disclaim_key_flags()

_LIMITS = ("max_mb", "max_ms", "max_drop")
_NUMBERS = ("at_length", "threads", "epochs", "learning_rate", "trainings", "held_out")


def define_flags() -> None:
    """Define the flags of the settings."""
    flags.DEFINE_float("max_mb", None, "Megabytes (10^6 bytes) of the file, at most.")
    flags.DEFINE_float(
        "max_ms", None, "Milliseconds of one example on this machine, at most (median)."
    )
    flags.DEFINE_float(
        "max_drop",
        None,
        "Loss of the primary metric against the run's own float32 file, at most, on training "
        "examples held out: 0.01 is one point. Without a limit of size or time, the cheapest file "
        "within it is sought.",
    )
    flags.DEFINE_integer(
        "at_length",
        0,
        "Length in word pieces at which the file is timed; 0: the longest of its lengths.",
    )
    flags.DEFINE_list(
        "seq_lengths",
        [],
        "Lengths in word pieces at which the file can run, separated by commas; each adds to its "
        "size. By default --at_length alone, or else the run's own --seq_length.",
    )
    flags.DEFINE_integer("threads", THREADS, "Threads of LiteRT.")
    flags.DEFINE_list(
        "recipes",
        list(SEARCHED_RECIPES),
        f"Quantization recipes of the files, separated by commas: {', '.join(RECIPES)}. With "
        "dynamic_int8 and int4 also files that mix them.",
    )
    flags.DEFINE_integer("epochs", EPOCHS, "Passes over the training split of each training.")
    flags.DEFINE_float(
        "learning_rate",
        0.0,
        "Peak learning rate of the trainings; 0: the run's own, or the default of the train "
        "command where that has not trained the run.",
    )
    flags.DEFINE_integer("trainings", TRAININGS, "Smaller networks that are trained, at most.")
    flags.DEFINE_integer(
        "held_out",
        0,
        "Training examples kept apart for the choice, where the run has kept none; 0: a tenth, "
        "1,000 at most.",
    )


def settings() -> CompressSettings:
    """Return the settings that the flags ask for.

    Raises:
      UserError: a value is none.
    """
    values = flags.FLAGS
    for name in (*_NUMBERS, *_LIMITS):
        refuse_huge(name, values[name].value)
    return CompressSettings(
        limits=Limits(**{name: values[name].value for name in _LIMITS}),
        seq_lengths=_lengths(values["seq_lengths"].value),
        recipes=tuple(dict.fromkeys(values["recipes"].value)),
        **{name: values[name].value for name in _NUMBERS},
    )


def _lengths(texts: list[str]) -> tuple[int, ...]:
    """Return the numbers of --seq_lengths, ascending."""
    for text in texts:
        if not (text.isdecimal() and len(text) <= 4):
            raise UserError(
                f"--seq_lengths={','.join(texts)}: {text!r} is no length. Give whole numbers, "
                "separated by commas."
            )
    return tuple(sorted({int(text) for text in texts}))
