"""The table of all claims of the four documents, with the answers of all studies."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from bert_glue_tf.reports.tables import Column, Table
from bert_glue_tf.studies.claims import CLAIMS, Answer, Claim, Verdict


@dataclasses.dataclass(frozen=True)
class Row:
    """A claim with its answer; without one it was not run.

    Attributes:
      claim: of a document.
      answer: to it.
      made_by: the command whose runs the answer rests on; empty where it rests on none.
      number: of that command among those of the page, from 1; 0 without one.
    """

    claim: Claim
    answer: Answer
    made_by: str
    number: int = 0


def rows(found: Iterable[tuple[str, Answer]], from_documents: Iterable[Answer] = ()) -> list[Row]:
    """Return the claims in their order, a row for each answer, and one where there is none.

    Args:
      found: commands, and what they answered.
      from_documents: answers that take no run, for claims that no run has answered.
    """
    by_claim: dict[str, list[tuple[str, Answer]]] = {}
    for command, answer in found:
        by_claim.setdefault(answer.claim, []).append((command, answer))
    for answer in from_documents:
        by_claim.setdefault(answer.claim, [("", answer)])
    shown = [
        Row(claim, answer, command)
        for claim in CLAIMS
        for command, answer in by_claim.get(
            claim.name, [("", Answer(claim.name, Verdict.NOT_RUN, _not_run(claim)))]
        )
    ]
    made_by = [command for command in dict.fromkeys(row.made_by for row in shown) if command]
    numbers = {command: number for number, command in enumerate(made_by, start=1)}
    return [dataclasses.replace(row, number=numbers.get(row.made_by, 0)) for row in shown]


def _not_run(claim: Claim) -> str:
    if claim.asked_by:
        return f"{claim.asked_by} would answer it"
    return _UNASKED.get(claim.name, "no command of ours asks it")


# Why no command asks a claim.
_UNASKED = {
    "survey.movement": (
        "no command of ours measures bias, which takes texts that name groups of people; the "
        "survey prints no number of it"
    ),
}


def table(found: Iterable[Row]) -> Table[Row]:
    """Return the table of claims."""
    return Table(_COLUMNS, tuple(found))


def _several(count: int) -> str:
    return f"{count:,}" if count else ""


_COLUMNS: tuple[Column[Row], ...] = (
    Column("document", lambda row: row.claim.document),
    Column("claim", lambda row: row.claim.text, may_wrap=True),
    Column("answer", lambda row: row.answer.verdict.value),
    Column("what was found", lambda row: row.answer.numbers, may_wrap=True),
    Column("examples", lambda row: row.answer.examples, _several),
    Column("seeds", lambda row: row.answer.seeds, _several),
    Column("encoder", lambda row: row.answer.encoder),
    Column("command", lambda row: row.number, _several),
)
