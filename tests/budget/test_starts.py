"""Who has learned from the texts that a run keeps apart: the run and those that it started from."""

from __future__ import annotations

import dataclasses
import pathlib
from types import SimpleNamespace

import pytest
from messages import refuses

from bert_glue_tf.budget import launch, starts
from bert_glue_tf.budget.checked import Launch
from bert_glue_tf.budget.settings import CompressSettings, Limits
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.runs.config import ExperimentConfig

TRAIN = {"sha256": "a", "split_examples": 1000}


@dataclasses.dataclass(frozen=True)
class Told:
    """A finished run as far as its settings and the provenance of its texts go."""

    path: pathlib.Path
    config: ExperimentConfig
    result: SimpleNamespace
    task: tasks.TaskSpec


def told(name, train=TRAIN, **settings):
    config = ExperimentConfig(task="mrpc", **settings)
    result = SimpleNamespace(
        data={"train": train},
        bytes={"plain": 90_000_000},
        speed={"seconds": 300.0},
        parameters={"total": 1_000_000},
        widths={},
    )
    return Told(pathlib.Path(name), config, result, tasks.get("mrpc"))


@pytest.fixture
def there(monkeypatch):
    """Return a function that says which runs are there."""
    found: dict[pathlib.Path, Told] = {}

    def read(path, flag="run"):
        if path not in found:
            raise UserError(f"--{flag}={path}: no such folder.")
        return found[path]

    monkeypatch.setattr(starts.Run, "read", read)
    return lambda *runs: found.update({one.path: one for one in runs})


LATER = told("later", start="first", held_out=100)


@pytest.mark.parametrize(
    ("first", "learned"),
    [
        (told("first", held_out=100), False),
        (told("first", held_out=200), False),  # A larger part contains a smaller one.
        (told("first", held_out=50), True),
        (told("first"), True),
        (told("first", {"sha256": "other", "split_examples": 9}), False),  # Another task's texts.
        (told("first", {"sha256": "other", "split_examples": 9}, epochs=0), False),
        (told("first", epochs=0, held_out=100), True),  # Another program's.
        (told("first", held_out=100, train_examples=500), True),  # Of others it has kept some.
        # The same file, divided in another way.
        (told("first", {**TRAIN, "sha256": "b", "file_sha256": "a"}, held_out=100), True),
    ],
)
def test_a_start_that_has_not_kept_the_same_texts_apart_may_know_them(there, first, learned):
    there(first)
    assert starts.who_learned(LATER, 100) == (pathlib.Path("first") if learned else None)


def test_the_starts_of_starts_are_followed_and_one_that_is_gone_may_know_everything(there):
    there(told("first", start="zeroth", held_out=100))
    assert starts.who_learned(LATER, 100) == pathlib.Path("zeroth")
    there(told("zeroth"))
    assert starts.who_learned(LATER, 100) == pathlib.Path("zeroth")
    there(told("zeroth", held_out=100))
    assert starts.who_learned(LATER, 100) is None


def test_a_run_without_a_start_knows_what_it_has_not_kept_apart_and_a_foreign_one_all():
    assert starts.who_learned(told("own"), 100) is None
    assert starts.who_learned(told("foreign", epochs=0), 100) == pathlib.Path("foreign")


def asked(run, **changed):
    """A compression of a run with 1,000 training texts."""
    settings = CompressSettings(limits=Limits(**{"max_drop": 0.01, **changed}))
    return Launch(run, settings, pathlib.Path("c"), {"train": range(1000)}, (64,))


def test_a_loss_by_texts_that_a_start_knows_is_refused_and_without_a_limit_it_is_said(there):
    there(told("first"))
    with refuses(UserError, "--max_drop=0.01", "later started from first", "--held_out=100"):
        asked(LATER)._require_held_out()
    free = asked(LATER, max_drop=None, max_mb=6)
    free._require_held_out()
    assert free.was_seen
    assert "later has held out 100 training texts, but first may" in launch._told_seen(free)
    there(told("first", held_out=100))
    kept = asked(LATER)
    kept._require_held_out()
    assert not kept.was_seen
    assert not kept.is_trained_again


def test_a_run_that_would_be_trained_again_from_a_start_that_knows_all_is_refused(there):
    there(told("first"))
    with refuses(UserError, "--max_drop=0.01", "later started from first"):
        asked(told("later", start="first"))._require_held_out()


def test_a_searched_run_is_not_taken_for_one_of_another_program(there):
    there(told("first"))
    with refuses(UserError, "--max_drop=0.01", "small was made of first", "--run=first"):
        asked(told("small", start="first", epochs=0))._require_held_out()
    there(told("first", held_out=100))
    asked(told("small", start="first", epochs=0, held_out=100))._require_held_out()


def test_no_run_is_trained_again_where_nothing_is_to_be_trained():
    run = told("own")
    asked(run)._require_held_out()
    search = dataclasses.replace(asked(run), is_search_only=True)
    with refuses(UserError, "--max_drop=0.01", "--search_only"):
        search._require_held_out()
    kept = dataclasses.replace(asked(told("own", held_out=100)), is_search_only=True)
    kept._require_held_out()


def test_how_long_trainings_take_is_not_known_of_a_run_that_nobody_has_trained_here(tmp_path):
    def planned(run, **changed):
        launch = dataclasses.replace(asked(run, **changed), folder=tmp_path / "c")
        return {one.name: one for one in launch.planned()}

    # 100 s an epoch, of which a smaller network takes 60: 2 networks and 3 files each for 10
    # epochs, and 2 epochs for the grids.
    own = planned(told("own", finetune_epochs=2))
    assert own["trainings"].seconds == pytest.approx(2 * 10 * 60 + 2 * 3 * 25)
    assert own["quantize-aware"].seconds == pytest.approx(2 * 60 + 25)
    assert own["held-out"].seconds == pytest.approx((3 + 2) * 100)
    assert "learning_rate" not in own["trainings"].text
    foreign = planned(told("foreign", epochs=0), max_drop=None, max_mb=6)
    assert foreign["trainings"].seconds is None
    assert foreign["quantize-aware"].seconds is None
    assert foreign["costs"].seconds > 0
    assert "--learning_rate=2e-05, the default" in foreign["trainings"].text
