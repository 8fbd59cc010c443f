"""Count what a labelling asks of its folder while it is at work."""

from __future__ import annotations

import pytest

from bert_glue_tf.labelling import folder, launch, plan
from bert_glue_tf.sweeps.executors import base


class Here(base.Executor):
    """Does a part of each share at each look, in this process."""

    workers = 2

    def check(self, tasks):
        pass

    def begin(self, task):
        task.open()
        return Parts(task)

    def collect(self, job):
        return base.settled(job.task, 0, 1.0, lambda: "not all parts are done")

    def stop(self, jobs):
        assert not jobs

    def close(self):
        pass


class Parts(base.Job):
    def __init__(self, task):
        self.task, self.left = task, list(task.parts)

    def seconds(self):
        return 0.0

    def is_over(self):
        if self.left:
            part = self.left.pop(0)
            target = self.task.folder.target(part)
            target.write_text(part.name)
            seen = (part.size, part.changed)
            self.task.folder.keep(part, folder.State(seen, size=len(part.name), rows=1))
        return not self.left


@pytest.fixture
def looks(monkeypatch):
    """Names of parts that were looked at, in a labelling that looks whenever it can."""
    looked: list[str] = []
    state = folder.LabelFolder.state
    monkeypatch.setattr(
        folder.LabelFolder,
        "state",
        lambda self, part: looked.append(part.name) or state(self, part),
    )
    monkeypatch.setattr(launch, "_TICK", 0.0)
    monkeypatch.setattr(launch, "_LOOK", 0.0)
    return looked


@pytest.mark.parametrize("number", [20, 80])
def test_each_part_is_looked_at_a_few_times_however_many_there_are(
    number, looks, tmp_path, monkeypatch, capsys
):
    settings = plan.LabelSettings("model", "1", root=f"{tmp_path}/texts")
    monkeypatch.setattr(plan.LabelSettings, "of", lambda *_: settings)
    (tmp_path / "texts").mkdir()
    for place in range(number):
        (tmp_path / "texts" / f"{place}.csv").write_text("sentence\n")
    outcome = launch.label("model", f"{tmp_path}/texts/*", tmp_path / "labelled", executor=Here())
    assert outcome.rows == number
    # Before and after, when its share has ended, as one that is done, and as one that is not yet.
    assert len(looks) <= 6 * number
    told = capsys.readouterr()
    lines = [line for line in (told.out + told.err).splitlines() if ".csv: 1 rows" in line]
    assert [line.split()[0] for line in lines] == [
        f"{place + 1}/{number}" for place in range(number)
    ]


class Leaving(Here):
    """Has no place for the first share that it is given, as where a worker has just left."""

    def __init__(self):
        self.refused = 0

    def begin(self, task):
        if not self.refused:
            self.refused += 1
            return None
        return super().begin(task)


def test_a_share_that_finds_no_place_is_begun_later(tmp_path, monkeypatch):
    settings = plan.LabelSettings("model", "1", root=f"{tmp_path}/texts")
    monkeypatch.setattr(plan.LabelSettings, "of", lambda *_: settings)
    monkeypatch.setattr(launch, "_TICK", 0.0)
    (tmp_path / "texts").mkdir()
    for place in range(4):
        (tmp_path / "texts" / f"{place}.csv").write_text("sentence\n")
    executor = Leaving()
    outcome = launch.label("model", f"{tmp_path}/texts/*", tmp_path / "labelled", executor=executor)
    assert executor.refused == 1
    assert (outcome.rows, outcome.failures) == (4, {})
