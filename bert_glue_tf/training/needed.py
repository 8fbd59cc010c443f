"""The runs that a run needs to be finished before it: found beside it, waited for, or run first."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

import tf_keras
from absl import logging

from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.run_folder import BusyError, RunFolder
from bert_glue_tf.training import devices
from bert_glue_tf.training.checkpoints import newest
from bert_glue_tf.training.job import Job

_FINISHED, _BUSY = "finished", "busy"
# Between two looks at the run of another process, in seconds.
_LOOK = 1.0


def finish_all(
    job: Job,
    rehearse: Callable[[], None],
    train: Callable[[ExperimentConfig, RunFolder], object],
) -> list[RunFolder]:
    """Return the folders of all runs that this one needs, each finished; see `finish`."""
    return [finish(job, config, rehearse, train) for config in job.config.needs]


def finish(
    job: Job,
    config: ExperimentConfig,
    rehearse: Callable[[], None],
    train: Callable[[ExperimentConfig, RunFolder], object],
) -> RunFolder:
    """Return the folder of a run that this one needs, when that run is finished.

    It lies beside this one. It is run first where it is not finished; where another process is
    running it, this one waits, and takes over if the other dies. Of several workers the chief
    looks and waits, and all do what it has found.

    Args:
      job: the run that needs it.
      config: of the run that is needed.
      rehearse: called before the other run is begun, to refuse what cannot be done after it.
      train: does the other run in its folder.

    Raises:
      UserError: as `rehearse` and `train` raise it, or the folder cannot be used.
    """
    run, strategy = job.folder.beside(config), job.strategy
    if devices.decided_by_chief(strategy, lambda: state(run)) != _FINISHED:
        rehearse()
        _make_room()
    is_told = False
    # The chief looks, and all of them sleep: no worker waits for another one longer than a look.
    while (found := devices.decided_by_chief(strategy, lambda: _look_at(run))) != _FINISHED:
        if found == _BUSY:
            if not is_told and run.followed is None:
                logging.info("waiting for %s, which another process is running", run.path)
            is_told = True
            time.sleep(_LOOK)
            continue
        if run.followed is not None:
            run.claim()  # What the chief has; it trains when all say that they have it.
        logging.info("fine-tuning first, in %s", run.path)
        train(config, run)
        logging.info(
            "the fine-tuning is done; now the run that starts from it, in %s", job.folder.path
        )
        _make_room()
    if run.record() is None:
        run.claim()  # The chief has found it finished.
    job.require_agreement(f"run {run.path.name}", state(run))
    return run


def state(run: RunFolder) -> str:
    """Return how far a run is: finished, the name of its newest saved state, or not begun."""
    return _FINISHED if run.record() else newest(run.checkpoints) or "not begun"


def _look_at(run: RunFolder) -> str:
    """Return the state of a run, and claim it for this process unless it is finished or busy."""
    if state(run) == _FINISHED:
        return _FINISHED
    try:
        RunFolder.open(run.path, run.config)
    except BusyError:
        return _BUSY
    return state(run)  # Which has changed if another process has ended just now.


def _make_room() -> None:
    """Let go of the graphs and variables of a model that has done its work."""
    tf_keras.backend.clear_session()
    gc.collect()
