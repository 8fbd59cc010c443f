"""The choice of the executor, made here for every command that runs tasks."""

from __future__ import annotations

from typing import Any

from absl import flags, logging

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.sweeps.executors import base

# The flags count as those of the command that defines them, so that its --help shows them.
flags.disclaim_key_flags()


def define_flags(what: str = "Runs", is_carried: bool = True) -> None:
    """Define the flags that choose the executor.

    Args:
      what: is done at a time, as a word that begins a sentence.
      is_carried: whether --storage may carry what the processes read and write.
    """
    flags.DEFINE_integer("workers", 1, f"{what} at a time on this machine.", lower_bound=1)
    flags.DEFINE_string(
        "cluster",
        "",
        "Address of a Dask scheduler, as tcp://host:8786, whose workers do the work in place of "
        "this machine; local:3 starts one here with three workers. Needs the extra `cluster`.",
    )

    if is_carried:
        flags.DEFINE_string(
            "storage",
            "",
            "With --cluster, where its workers do not see the runs' folders: a place in a store "
            "that carries them there and back, as gs://bucket/runs or s3://bucket/runs.",
        )


def chosen() -> base.Executor[Any]:
    """Return the executor that the flags ask for.

    Raises:
      UserError: as `executor`.
    """
    values = flags.FLAGS
    storage = values["storage"].value if "storage" in values else ""
    warn_of_unused()
    return executor(values["workers"].value, values["cluster"].value, storage)


def warn_of_unused() -> None:
    """Warn of --workers beside --cluster."""
    values = flags.FLAGS
    if values["cluster"].value and values["workers"].present:
        logging.warning("--workers: not used; the cluster's workers are those of --cluster")


def executor(workers: int = 1, cluster: str = "", storage: str = "") -> base.Executor[Any]:
    """Return the executor of a cluster, or else of so many processes of this machine.

    Raises:
      UserError: `cluster` is no address, what it needs is not installed, or `storage` is given
        without it.
    """
    if cluster:
        from bert_glue_tf.sweeps.executors.dask_executor import DaskExecutor

        return DaskExecutor(cluster, storage=storage)
    if storage:
        raise UserError(
            f"--storage={storage}: means nothing without --cluster, whose workers it serves."
        )
    from bert_glue_tf.sweeps.executors.local import LocalExecutor

    return LocalExecutor(workers)
