"""Runs that are killed at any moment end as if nothing had happened, bit for bit.

BERT_GLUE_TF_KILLS=20 is how many kills at random moments each run has besides those at chosen ones
(2 without it), and BERT_GLUE_TF_KILL_SEED chooses other moments.
"""

from __future__ import annotations

import csv
import json
import os
import pathlib
import random
import re
import signal
import time
from collections.abc import Callable, Iterator

import interrupted
import pytest
import tiny_bert
import tiny_runs
from slow_fixtures import slow_to_make

from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.run_folder import BusyError, RunFolder

SEED = int(os.environ.get("BERT_GLUE_TF_KILL_SEED", "1"))
MORE_KILLS = int(os.environ.get("BERT_GLUE_TF_KILLS", "2"))
STEPS = 20  # Of an epoch: 160 examples in batches of 8.
EPOCHS = 4
# What the time decides, and nothing else.
TIMES = (
    "seconds",
    "run_seconds",
    "measured_examples",
    "measured_seconds",
    "peak_memory_mb",
)
TIMED = ("speed", "peak_memory_bytes", "finished")


@pytest.fixture(scope="module")
@slow_to_make
def launcher() -> Iterator[interrupted.Launcher]:
    started = interrupted.Launcher()
    yield started
    started.close()


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> dict[str, str]:
    """Flags of the smallest run whose encoder has to be imported."""
    folder = tmp_path_factory.mktemp("inputs")
    shapes = tiny_bert.architecture(layers=2)
    flags = {
        "task": "sst2",
        "encoder": tiny_bert.write_huggingface(folder / "tiny", shapes),
        "data": tiny_runs.write_sst2(folder / "glue"),
        "epochs": EPOCHS,
        "batch_size": 8,
        "learning_rate": 1e-3,
        "seq_length": 16,
        "seed": 5,
    }
    return {name: str(value) for name, value in flags.items()}


class Place:
    """A folder with a run, what it imports, and its log."""

    def __init__(self, launcher, folder: pathlib.Path, flags: dict[str, str]) -> None:
        self.launcher = launcher
        self.folder = folder
        self.run = folder / "run"
        self.flags = {**flags, "workdir": str(self.run)}
        self.log = folder / "log"
        folder.mkdir(parents=True)

    def start(self, **changes: object) -> interrupted.Train:
        flags = {**self.flags, **{name: str(value) for name, value in changes.items()}}
        return self.launcher.start(flags, self.folder / "cache", self.log)

    def told(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def stop(self, when: Callable[[], object], how: Callable[[interrupted.Train], object]) -> int:
        """Starts the command, stops it at a moment, and returns its status."""
        train = self.start()
        until = time.monotonic() + 300
        while train.is_alive() and not when():
            assert time.monotonic() < until, self.told()
            time.sleep(0.001)
        how(train)
        return train.wait()

    def saved(self) -> list[int]:
        found = (self.run / "checkpoints").glob("step-*.index")
        return sorted(int(path.stem.split("-")[1]) for path in found)


def kill(train: interrupted.Train) -> None:
    train.send(signal.SIGKILL)


def outcome(place: Place) -> dict[str, object]:
    """All that a run is asked for: byte for byte, without what the time decides."""
    found: dict[str, object] = {}
    for path in sorted(file.parent for file in place.folder.glob("*/config.json")):
        assert not list(path.rglob(".*[!k]")), "half-written files are left"
        assert not (path / "checkpoints").exists()
        with (path / "history.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        found[f"{path.name} history"] = [
            {name: value for name, value in row.items() if name not in TIMES} for row in rows
        ]
        (line,) = (path / "results.jsonl").read_text().splitlines()
        record = json.loads(line.replace(str(place.folder), "HERE"))
        found[f"{path.name} record"] = {k: v for k, v in record.items() if k not in TIMED}
        for file in sorted([*path.glob("model/**/*"), *path.glob("predictions/*")]):
            if file.is_file():
                found[f"{path.name} {file.relative_to(path)}"] = file.read_bytes()
    return found


def require_same(place: Place, reference: Place) -> None:
    expected, found = outcome(reference), outcome(place)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == value, name


def finish(place: Place) -> None:
    assert place.start().wait() == 0, place.told()


def test_a_run_that_is_stopped_in_every_way_ends_as_if_it_had_not_been(launcher, inputs, tmp_path):
    flags = {**inputs, "pruning_method": "movement", "final_sparsity": "0.5"}
    reference, place = (Place(launcher, tmp_path / name, flags) for name in ("whole", "stopped"))
    begun = time.monotonic()
    finish(reference)
    seconds = time.monotonic() - begun
    chance = random.Random(SEED)

    # While the encoder is imported.
    imports = place.folder / "cache" / "encoders"
    delay = chance.uniform(0.0, 1.0)
    status = place.stop(
        lambda: list(imports.glob(".*")), lambda train: (time.sleep(delay), kill(train))
    )
    assert status == -signal.SIGKILL
    assert list(imports.glob(".*"))

    # Inside of the writing of a state, by the kernel. No other file is as large.
    size = chance.randrange(60_000, 150_000)
    status = place.stop(lambda: place.saved(), lambda train: train.kill_in_a_write(size))
    assert status == -signal.SIGXFSZ
    states = place.run / "checkpoints"
    whole = place.saved()
    assert whole
    assert [path for path in states.iterdir() if "temp" in path.name], list(states.iterdir())

    for number in (signal.SIGTERM, signal.SIGINT):
        interrupt_in_an_epoch(place, number)

    # While the model is written, after the last step.
    status = place.stop(lambda: list(place.run.glob(".model.*")), kill)
    assert status == -signal.SIGKILL
    assert place.saved()[-1] == EPOCHS * STEPS
    for _ in range(MORE_KILLS):
        kill_at_random(place, chance, seconds)

    finish(place)
    require_same(place, reference)

    # Finished, it is shown; another configuration is refused.
    told = len(place.told())
    finish(place)
    assert "this run is finished; these are its results" in place.told()[told:]
    assert "accuracy" in place.told()[told:]
    assert place.start(seed=6).wait() == 2
    assert "holds a run of another configuration: seed is 5 there and 6 here" in place.told()
    require_same(place, reference)


def interrupt_in_an_epoch(place: Place, number: int) -> None:
    """Stops a run by a signal while it trains, with a second process at its door before."""
    before, begun = place.saved()[-1], len(place.told())

    def curves() -> int:
        return sum(p.stat().st_size for p in place.run.glob("tensorboard/steps/*"))

    size = curves()

    def trains() -> bool:
        return curves() > size + 100  # More than the header of a new file.

    def refuse_another_and_stop(train: interrupted.Train) -> None:
        train.send(number)
        config = json.loads((place.run / "config.json").read_text())
        with pytest.raises(BusyError):
            RunFolder.open(place.run, ExperimentConfig.from_json(config))

    status = place.stop(trains, refuse_another_and_stop)
    told = place.told()[begun:]
    assert status == 130, told
    (step,) = re.findall(r"interrupted: saved after step (\d+) of 80", told)
    assert place.saved()[-1] == int(step) > before
    assert f"going on after step {before} of 80" in told
    assert "Interrupted. The same command goes on from the last state that was saved." in told


def kill_at_random(place: Place, chance: random.Random, seconds: float) -> None:
    until = time.monotonic() + chance.uniform(0.0, seconds)
    place.stop(lambda: time.monotonic() > until, kill)


def test_fine_tuning_then_pruning_is_stopped_in_both(launcher, inputs, tmp_path):
    flags = {
        **inputs,
        "pruning_method": "layer,magnitude",
        "pruning_options": "order=greedy layer.final_sparsity=0.5",
        "final_sparsity": "0.5",
        "held_out": "32",
        "finetune_epochs": "2",
        "epochs": "3",
        "pruning_schedule": "one_shot",
    }
    reference, place = (Place(launcher, tmp_path / name, flags) for name in ("whole", "killed"))
    begun = time.monotonic()
    finish(reference)
    seconds = time.monotonic() - begun
    chance = random.Random(SEED)

    def fine_tuned() -> list[pathlib.Path]:
        return [p for p in place.folder.glob("*/history.csv") if p.parent != place.run]

    status = place.stop(fine_tuned, lambda train: train.send(signal.SIGINT))
    assert status == 130, place.told()
    (step,) = re.findall(r"interrupted: saved after step (\d+) of 32", place.told())
    again = "Interrupted. The same command goes on from the last state that was saved."
    assert again in place.told()
    assert not (place.run / "history.csv").exists()
    for when in (
        lambda: f"going on after step {step} of 32" in place.told(),
        lambda: (place.run / "choices.json").exists(),
        lambda: list(place.run.glob("predictions/*")),
    ):
        delay = chance.uniform(0.0, 0.3)
        place.stop(when, lambda train, delay=delay: (time.sleep(delay), kill(train)))
    for _ in range(MORE_KILLS):
        kill_at_random(place, chance, seconds)
    finish(place)
    require_same(place, reference)
    assert len(json.loads((place.run / "choices.json").read_text())["layers"]) == 1
