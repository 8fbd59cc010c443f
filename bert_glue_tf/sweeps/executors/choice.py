"""The choice of the executor, made here for every command that makes runs."""

from __future__ import annotations

from typing import Any

from absl import flags

from bert_glue_tf.sweeps.executors import base

# The flags count as those of the command that defines them, so that its --help shows them.
flags.disclaim_key_flags()


def define_flags() -> None:
    """Define the flags that choose the executor."""
    flags.DEFINE_integer(
        "workers",
        1,
        "Runs at a time on this machine. The same command may be given on several machines that "
        "share --runs_dir.",
        lower_bound=1,
    )


def chosen() -> base.Executor[Any]:
    """Return the executor that the flags ask for."""
    return executor(flags.FLAGS["workers"].value)


def executor(workers: int = 1) -> base.Executor[Any]:
    """Return the executor that runs a number of runs at a time; by default one."""
    from bert_glue_tf.sweeps.executors.local import LocalExecutor

    return LocalExecutor(workers)
