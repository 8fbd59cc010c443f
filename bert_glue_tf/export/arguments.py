"""The flags that the commands over many runs share: which runs, and how their files are timed."""

from __future__ import annotations

import glob
import pathlib
from typing import Any

from absl import flags

from bert_glue_tf.core import cli
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.export.defaults import REPETITIONS, THREADS

# The flags count as those of the command that defines them, so that its --help shows them.
flags.disclaim_key_flags()

_TIMING = ("at_length", "threads", "repetitions")


def define_runs() -> None:
    """Define --runs."""
    flags.DEFINE_multi_string(
        "runs",
        ["runs/*"],
        "Folders of runs, patterns allowed (in quotes); may be given repeatedly",
    )


def define_timing() -> None:
    """Define the flags of a session that times files in turns."""
    flags.DEFINE_integer(
        "at_length",
        0,
        "Length in word pieces at which files are timed; 0: the longest that all of them have, or "
        "all of a task where the tasks share none.",
    )
    flags.DEFINE_integer("threads", THREADS, "Threads of LiteRT.")
    flags.DEFINE_integer("repetitions", REPETITIONS, "Timed runs of each file.")


def folders() -> list[pathlib.Path]:
    """Return the folders that --runs names.

    Raises:
      UserError: there is none.
    """
    patterns = flags.FLAGS["runs"].value
    found = [folder for pattern in patterns for folder in _folders(pattern)]
    if not found:
        has_commas = any("," in pattern for pattern in patterns)
        hint = " Several are given one by one: --runs=FOLDER --runs=OTHER." if has_commas else ""
        raise UserError(
            f"--runs={' '.join(patterns)}: no such folder. Give folders of the train command, "
            f"for example --runs='runs/*' (in quotes).{hint}"
        )
    return found


def _folders(pattern: str) -> list[pathlib.Path]:
    path = cli.path("runs", pattern)
    # A name may hold brackets without being meant as a pattern.
    return [path] if path.exists() else [pathlib.Path(name) for name in glob.glob(str(path))]


def timing() -> dict[str, Any]:
    """Return the options of `benchmark.measure` that the flags give."""
    return {name: flags.FLAGS[name].value for name in _TIMING}


def refuse_timing() -> None:
    """Refuse the flags of a session where no file is timed.

    Raises:
      UserError: naming one of them.
    """
    for name in _TIMING:
        if flags.FLAGS[name].present:
            raise UserError(
                f"--{name}={flags.FLAGS[name].value}: nothing is timed without --time. Give "
                f"--time as well, or leave --{name} out."
            )
