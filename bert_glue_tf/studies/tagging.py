"""End-to-end aspect sentiment by BERT and five heads, beside the published scores."""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from bert_glue_tf.compression.names import NO_PRUNING
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.reports import formats, reading, tables, verdicts
from bert_glue_tf.reports.groups import Group
from bert_glue_tf.reports.measured import Interval
from bert_glue_tf.reports.tables import Column, Table
from bert_glue_tf.reports.verdicts import Comparison, Outcome
from bert_glue_tf.runs.settings import BEST
from bert_glue_tf.studies import claims, columns, printed, words
from bert_glue_tf.studies.cells import Cell, cell
from bert_glue_tf.studies.claims import Answer, Verdict
from bert_glue_tf.studies.local_global_models import OF_A_BERT, SHORTER, STEPS_OF_A_BERT
from bert_glue_tf.studies.study import Section
from bert_glue_tf.studies.swept import SweptStudy

HEADS = tuple(printed.HEADS.values())
BASE = "linear"  # That the other heads are compared with.
RATES = ("2e-5", "2e-4")  # The published one, and one that suits a small encoder.
# Epochs of at least 1,500 steps: of the training files' 2,741, 2,736 and 1,799 sentences.
_EPOCHS = {"laptop14": 18, "rest14": 9, "rest16": 14}
DATA_SETS = tuple(_EPOCHS)


@dataclasses.dataclass(frozen=True)
class Row:
    """A head at a learning rate on a data set.

    Attributes:
      data_set: its folder.
      head: name of the head.
      rate: the learning rate.
      theirs: the published score as a fraction, at the published rate; None without one.
      group: the finished models; None where there is none.
      majority: score of the best answer that is always the same; None where it is not known.
      difference: to the linear head at the same rate; None for that one.
      epochs: whose weights were taken, of each seed.
      reason: why runs failed; empty where none did.
    """

    data_set: str
    head: str
    rate: float
    theirs: float | None
    group: Group | None
    majority: float | None
    difference: Comparison | None
    epochs: tuple[int, ...]
    reason: str

    @property
    def distance(self) -> float | None:
        """Ours minus the published score."""
        if self.theirs is None or self.group is None:
            return None
        return self.group.mean - self.theirs


def _interval(row: Row) -> Interval | None:
    return row.group.interval if row.group else None


def _short(rate: float) -> str:
    """Return a rate as one writes it, `2e-5`."""
    mantissa, exponent = f"{rate:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


COLUMNS: tuple[Column[Row], ...] = (
    Column("data", lambda row: row.data_set),
    Column("head", lambda row: row.head),
    Column("rate", lambda row: row.rate, _short),
    Column("published", lambda row: row.theirs, formats.number),
    columns.score("ours", lambda row: row.group),
    columns.spread("range", lambda row: row.group),
    Column("score's interval", _interval, formats.span),
    Column("majority", lambda row: row.majority, formats.number),
    Column("ours - published", lambda row: row.distance, formats.signed),
    Column("seeds", lambda row: row.group.seeds if row.group else (), formats.listed),
    Column("best epoch", lambda row: row.epochs, formats.listed),
    *columns.difference(lambda row: row.difference),
    Column("why it failed", lambda row: row.reason),
)
# The columns of the two tables that a terminal shows of a data set.
_SCORES = ("head", "rate", "published", "ours", "range", "score's interval", "majority")
_AGAINST = ("head", "rate", "difference", "95 % interval", "p", "verdict")


class Tagging(SweptStudy):
    """Heads by learning rates, on the three data sets of end-to-end aspect sentiment.

    The recipe is that of the published scores: 1,500 steps, the best on the dev file among those
    after step 1,000, scored on the test file. Settings that somebody gives go before it.

    Args:
      data_sets: names of folders, of `DATA_SETS`.
      heads: of `HEADS`.
      rates: learning rates.
      given: settings that somebody has chosen, `data` and `encoder` among them.
      seeds: of each.

    Raises:
      UserError: there is no such data set or head, a rate is none, or a setting is none of a run.
    """

    name = "tagging"

    def __init__(
        self,
        data_sets: Sequence[str],
        heads: Sequence[str],
        rates: Sequence[str],
        given: Mapping[str, str],
        seeds: Sequence[int],
    ) -> None:
        _require("data_sets", data_sets, DATA_SETS)
        _require("heads", heads, HEADS)
        if not rates:
            raise UserError(f"--rates=: give learning rates, as in {','.join(RATES)}.")
        self.by_place: dict[tuple[str, float, str], Cell] = {}
        for data_set in dict.fromkeys(data_sets):
            for rate in dict.fromkeys(map(_rate, rates)):
                for head in dict.fromkeys(heads):
                    own = _settings(data_set, head, rate, given)
                    one = cell(f"{head}, {_short(rate)}", own, NO_PRUNING, seeds)
                    self.by_place[data_set, rate, head] = one
        super().__init__(list(self.by_place.values()))
        self._facts = printed.document(self.name)

    def read(self, folders: Iterable[pathlib.Path]) -> None:
        super().read(folders)
        self._models = {key: reading.on_test_splits(one) for key, one in self._models.items()}

    @property
    def data_sets(self) -> list[str]:
        """The data sets, in the order in which they are given."""
        return list(dict.fromkeys(data_set for data_set, _, _ in self.by_place))

    def compared(self, data_set: str) -> dict[tuple[float, str], Comparison | None]:
        """Return (rate, head) -> that head minus the linear one, tested together.

        Empty where the linear head is not among the heads.
        """
        places = [
            (rate, head)
            for found, rate, head in self.by_place
            if found == data_set and head != BASE and (found, rate, BASE) in self.by_place
        ]
        pairs = [
            (self.by_place[data_set, rate, head], self.by_place[data_set, rate, BASE])
            for rate, head in places
        ]
        return dict(zip(places, self.compare_together(pairs), strict=True))

    def tables(self) -> dict[str, Table[Row]]:
        """Return one table: a row for each data set, rate and head."""
        rows = [row for data_set in self.data_sets for row in self._rows(data_set)]
        return {self.name: Table(COLUMNS, tuple(rows))}

    def _rows(self, data_set: str) -> Iterator[Row]:
        theirs, against = printed.taggers(data_set), self.compared(data_set)
        done = [
            g for (d, *_), one in self.by_place.items() if d == data_set and (g := self.group(one))
        ]
        majority = verdicts.constant_answer(done[0].first, done[0].metric) if done else None
        for (found, rate, head), one in self.by_place.items():
            if found == data_set:
                yield Row(
                    data_set=data_set,
                    head=head,
                    rate=rate,
                    theirs=theirs.get(head),
                    group=self.group(one),
                    majority=majority,
                    difference=against.get((rate, head)),
                    epochs=tuple(record.epoch or 0 for record in self.records_of(one)),
                    reason=self.reason(one),
                )

    def findings(self) -> list[str]:
        """Return the order of our heads, the better rate, and the distance to what is published."""
        return [line for data_set in self.data_sets for line in self._finding(data_set)]

    def _finding(self, data_set: str) -> Iterator[str]:
        rows = [row for row in self._rows(data_set) if row.group is not None]
        if not rows:
            yield f"{data_set}: no run of it was finished."
            return
        ours = sorted(rows, key=lambda row: row.group.mean if row.group else 0.0, reverse=True)
        listed = ", ".join(
            f"{row.head} at {_short(row.rate)} {columns.score_text(columns.group_score(row.group))}"
            for row in ours
        )
        yield f"{data_set}: ours, best first: {listed}."
        best: dict[str, Row] = {}  # Of each head that at the better rate.
        for row in ours:
            if row.theirs is not None:
                best.setdefault(row.head, row)
        if best:
            told = ", ".join(f"{head} {row.distance:+z.3f}" for head, row in best.items())
            yield f"{data_set}: ours at the better rate minus published: {told}."

    def answers(self) -> list[Answer]:
        """Return the answer to the claim that the heads are better than a linear layer."""
        told: dict[Outcome, list[str]] = {one: [] for one in Outcome}
        examples, seeds, encoder = 0, 0, ""
        least: list[float] = []
        for data_set in self.data_sets:
            found = {place: one for place, one in self.compared(data_set).items() if one}
            examples += max((one.examples for one in found.values()), default=0)
            for (rate, head), one in found.items():
                seeds, encoder = max(seeds, len(one.difference.by_seed)), one.encoder
                # Of two models that answer alike nothing is known of what could be shown.
                least += [half] if (half := claims.smallest(one)) > 0 else []
                kind = Outcome.UNDEFINED if one.is_of_collapsed else one.outcome
                told[kind].append(f"{data_set}, {head} at {_short(rate)} {words.interval(one)}")
        if not any(told.values()):
            return []
        if told[Outcome.WORSE]:
            verdict = Verdict.DOES_NOT_HOLD
        elif told[Outcome.NO_DIFFERENCE] or told[Outcome.UNDEFINED]:
            verdict = Verdict.CANNOT_BE_TOLD
        else:
            verdict = Verdict.HOLDS
        numbers = ". ".join(
            f"{_KINDS[kind]}: {'; '.join(some)}" for kind, some in told.items() if some
        )
        if least:
            numbers += f". Shown four times of five would be {min(least):.3f} to {max(least):.3f}"
        return [Answer("tagging.heads", verdict, numbers, examples, seeds, encoder)]

    def sections(self) -> Iterator[Section]:
        """Yield for each data set the scores and the differences to the linear head."""
        whole = self.tables()[self.name]
        for data_set in self.data_sets:
            own = _of_data_set(whole, data_set)
            title = f"{data_set}, test file{self.sample_mark}"
            yield Section(title, own.pick(*_SCORES))
            against = own.where(lambda row: row.difference is not None).pick(*_AGAINST)
            yield Section(f"{title}: against the linear head at the same rate", against)
        yield Section(lines=(*self.findings(), *self.notes()))

    def text(self) -> str:
        """Return the whole study in Markdown."""
        mark = self.sample_mark
        whole = self.tables()[self.name]
        lines = [
            f"# Aspects and their polarity by BERT and five heads{mark}",
            "",
            f"published: {self._facts['source']} {self._facts['metric']}; its "
            f"learning rate is {_short(self._facts['settings']['learning_rate'])}, and it takes "
            f"{self._facts['settings']['chosen']}.",
            "",
            self.settings_line(unused=("learning_rate", "tagging_head")),
            "",
            "Ours: micro F1 of spans with their polarity on the test file, mean over the seeds "
            f"with their range; {self._chosen()} (best epoch). score's interval: 95 %, over the "
            "sentences. majority: of the best tag that all words get. "
            "Differences: to the linear head at the same rate. "
            + words.tests("those of a data set"),
            "",
        ]
        for data_set in self.data_sets:
            own = _of_data_set(whole, data_set).filled()
            lines += [f"## {data_set}{mark}", "", *self._made(data_set)]
            lines += [tables.markdown(own.pick(*(head for head in own.heads if head != "data")))]
        lines += [f"## What was found{mark}", "", *(f"- {line}" for line in self.findings()), ""]
        lines += [*(f"- {line}" for line in self.notes()), "", *self.failed_section()]
        return "\n".join(lines)

    def _chosen(self) -> str:
        """Return which epoch of a training is scored."""
        config = self.cells[0].configs[0]
        if config.keep != BEST:
            return "of the last epoch"
        after = f" after step {config.keep_after:,}" if config.keep_after else ""
        return f"of the epochs{after} the best on the dev file"

    def _made(self, data_set: str) -> list[str]:
        """Return how many sentences a data set's runs were trained and scored on."""
        cells = [one for (found, *_), one in self.by_place.items() if found == data_set]
        record = next((r for one in cells for r in self.records_of(one)), None)
        if record is None:
            return []
        task, train = tasks.of(record), record.data["train"]
        scored = sum(record.data[split]["examples"] for split in task.test_splits.values())
        used, config = train["examples"], cells[0].configs[0]
        return [
            f"Trained on {used:,} of its {train['split_examples']:,} sentences, epochs "
            f"{config.epochs}, batches of {config.batch_size}; scored on {scored:,} of the test "
            "file.",
            "",
        ]


def _settings(data_set: str, head: str, rate: float, given: Mapping[str, str]) -> dict[str, str]:
    facts = printed.document("tagging")["settings"]
    own = {
        **OF_A_BERT,
        "epochs": str(_EPOCHS[data_set]),
        "batch_size": str(facts["batch_size"][data_set]),
    }
    if not SHORTER & set(given):
        own["keep_after"] = str(STEPS_OF_A_BERT)
    named = {"task": f"{data_set}_e2e", "tagging_head": head, "learning_rate": str(rate)}
    return {**own, **given, **named}


def _of_data_set(table: Table[Row], data_set: str) -> Table[Row]:
    return table.where(lambda row: row.data_set == data_set)


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 < rate <= 1:
        raise UserError(
            f"--rates={text}: no learning rate, a number above 0 and up to 1. Give them as in "
            f"{','.join(RATES)}."
        )
    return rate


def _require(flag: str, names: Sequence[str], good: Sequence[str]) -> None:
    if not names or not set(names) <= set(good):
        raise UserError(f"--{flag}={','.join(names)}: give some of {', '.join(good)}.")


_KINDS = {
    Outcome.BETTER: "better",
    Outcome.WORSE: "worse",
    Outcome.NO_DIFFERENCE: "not shown",
    Outcome.UNDEFINED: "undefined",
}
