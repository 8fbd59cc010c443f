"""The lines on a labelling for a person."""

from __future__ import annotations

from collections.abc import Iterator

from bert_glue_tf.core import progress, quantities
from bert_glue_tf.labelling.launch import Outcome

_MOST = 10  # Labels that are listed.


def lines(outcome: Outcome) -> Iterator[str]:
    """Yield the lines that say what was labelled, how fast, and what was not."""
    if outcome.new_rows:
        speed = outcome.new_rows / max(outcome.seconds, 1e-9)
        yield (
            f"Labelled {outcome.new_rows:,} rows in {progress.duration(outcome.seconds)}: "
            f"{quantities.significant(speed)} a second, with what it took to load the model."
        )
    yield f"In {outcome.folder}: {outcome.rows:,} rows in {len(outcome.states):,} part(s)."
    shown = list(outcome.labels.items())[:_MOST]
    if shown:
        more = len(outcome.labels) - len(shown)
        listed = ", ".join(f"{name} {count / outcome.rows:.1%}" for name, count in shown)
        yield f"Labels: {listed}" + (f", and {more} others." if more else ".")
    empty = sum(state.empty for state in outcome.states.values())
    if empty:
        yield f"Warning: {empty:,} row(s) hold no text, and their labels mean nothing."
    for name, message in outcome.failures.items():
        yield f"FAILED: {name}"
        yield f"  {message}"
