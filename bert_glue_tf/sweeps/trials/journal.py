"""The journal of a search: Optuna's study in a file, shared by processes and by restarts."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from bert_glue_tf.core.errors import UserError, reason_of
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.sweeps.grid import Settings
from bert_glue_tf.sweeps.trials.space import Space

SAMPLERS = ("tpe", "random", "qmc")
NO_PRUNER = "none"
PRUNERS = ("median", "hyperband", NO_PRUNER)
WHY, RUN = "why", "run"  # Attributes of a trial: why it was stopped or failed, and its run's name.


def require() -> None:
    """Check that Optuna is installed.

    Raises:
      UserError: it is not.
    """
    try:
        import optuna  # noqa: F401  (The extra `search`.)
    except ImportError:
        raise UserError(
            "--search needs optuna, which is not installed. Good: "
            "pip install -c constraints.txt '.[search]'."
        ) from None


def check_pruner(pruner: str, storage: str) -> None:
    """Check that a pruner would see the epochs of runs.

    Args:
      pruner: one of `PRUNERS`.
      storage: value of --storage.

    Raises:
      UserError: it would see none before a run's end, where a store carries the runs' folders.
    """
    if storage and pruner != NO_PRUNER:
        raise UserError(
            f"--storage={storage}: the epochs of a run come back from there only when it has "
            f"ended, so that --pruner={pruner} would stop nothing. Good: --pruner={NO_PRUNER}, or "
            "no --storage and a folder that all machines see under one path."
        )


@dataclasses.dataclass(frozen=True)
class Journal:
    """The trials of a search.

    Attributes:
      path: of the file.
      study: of Optuna.
    """

    path: pathlib.Path
    study: Any

    @classmethod
    def open(
        cls,
        root: pathlib.Path,
        one: ExperimentConfig,
        given: Settings,
        space: Space,
        sampler: str = SAMPLERS[0],
        pruner: str = PRUNERS[0],
    ) -> Journal:
        """Open the journal of a search, begun where it is missing.

        Args:
          root: folder of the runs, in which it lies.
          one: settings of one of its runs.
          given: flag -> text, as given besides the space.
          space: of the search.
          sampler: one of `SAMPLERS`.
          pruner: one of `PRUNERS`.

        Raises:
          UserError: Optuna is not installed, or the file cannot be written or read.
        """
        require()
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        described = {name: values.text for name, values in space.items()}
        text = json.dumps([described, dict(given)], sort_keys=True)
        name = f"search-{one.task}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"
        path = root / f"{name}.journal"
        # Exclusive creation, which works where a file system has no locks.
        lock = JournalFileOpenLock(str(path))
        try:
            root.mkdir(parents=True, exist_ok=True)
            _close_last_line(path, lock)
            backend = JournalFileBackend(str(path), lock)
            study = optuna.create_study(
                storage=JournalStorage(backend),
                study_name=name,
                direction="maximize",
                load_if_exists=True,
            )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise UserError(f"{path}: cannot be used ({reason_of(error)}).") from error
        # A search that goes on does not draw what it has drawn before.
        study.sampler = _sampler(sampler, one.seed + len(study.trials))
        if any(one.state == optuna.trial.TrialState.RUNNING for one in study.trials):
            # Another process may be at work, whose sampler has the same seed.
            study.sampler.reseed_rng()
        study.pruner = _pruner(pruner, one.epochs)
        return cls(path, study)

    @property
    def page(self) -> pathlib.Path:
        """The file of the search's page."""
        return self.path.with_suffix(".html")

    def trials(self) -> list[Any]:
        """Return all trials in their order, as Optuna's `FrozenTrial`."""
        return list(self.study.get_trials(deepcopy=False))

    def begun(self) -> Iterator[Any]:
        """Yield the trials that are neither finished nor stopped nor failed, to go on with."""
        import optuna

        for one in self.trials():
            if one.state == optuna.trial.TrialState.RUNNING:
                yield optuna.trial.Trial(self.study, one._trial_id)

    def failed(self) -> list[tuple[str, str]]:
        """Return the run's name and the reason of each trial that has failed for good."""
        return [
            (one.user_attrs.get(RUN, f"trial {one.number}"), one.user_attrs[WHY])
            for one in self.trials()
            if one.state.name == "FAIL" and WHY in one.user_attrs
        ]

    def ask(self) -> Any:
        """Return a new trial, Optuna's `Trial`."""
        return self.study.ask()

    def tell(self, number: int, value: float | None, *, why: str = "") -> None:
        """Say how a trial has ended, unless another process has said so.

        Args:
          number: of the trial.
          value: of the primary metric; None where it was stopped or has failed.
          why: reason of a stop or a failure; it begins with `stopped` for the first.
        """
        import optuna

        states = optuna.trial.TrialState
        stopped = states.PRUNED if why.startswith("stopped") else states.FAIL
        state = states.COMPLETE if value is not None else stopped
        self.study.tell(number, value, state, skip_if_finished=True)


def _close_last_line(path: pathlib.Path, lock: Any) -> None:
    """Cut off a last line that a killed process has not written to its end.

    Raises:
      OSError: the file cannot be read or written.
    """
    if not path.exists():
        return
    lock.acquire()
    try:
        content = path.read_bytes()
        if content and not content.endswith(b"\n"):
            os.truncate(path, content.rfind(b"\n") + 1)
    finally:
        lock.release()


def importance(study: Any) -> dict[str, float]:
    """Return setting -> its share in how much the metric differs, the largest first (PED-ANOVA).

    Empty where too few trials are finished to tell, or all have one value. Source: Watanabe et al.,
    https://arxiv.org/abs/2304.10255.
    """
    import optuna

    done = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    if len(done) < 3 or len({one.value for one in done}) < 2:
        return {}
    found: Mapping[str, float] = optuna.importance.get_param_importances(study)
    return dict(found)


def _sampler(name: str, seed: int) -> Any:
    import optuna.samplers as samplers

    if name == "random":
        return samplers.RandomSampler(seed)
    if name == "qmc":
        return samplers.QMCSampler(seed=seed, warn_independent_sampling=False)
    return samplers.TPESampler(seed=seed)


def _pruner(name: str, epochs: int) -> Any:
    import optuna.pruners as pruners

    if name == "hyperband":
        return pruners.HyperbandPruner(min_resource=1, max_resource=max(1, epochs))
    return pruners.NopPruner() if name == NO_PRUNER else pruners.MedianPruner(n_startup_trials=4)
