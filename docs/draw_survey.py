"""Program: draw the plots of the survey on CoLA anew from the records in docs/results.

python docs/draw_survey.py

The runs themselves are not in the repository; the records say all that the plots show. The times
are those of the one session in which the survey timed its files in turns.
"""

from __future__ import annotations

import json
import pathlib

from bert_glue_tf.core import records
from bert_glue_tf.evaluation.collapse import Marked
from bert_glue_tf.export.record import ExportResult
from bert_glue_tf.export.timings import Timing
from bert_glue_tf.reports import plots
from bert_glue_tf.reports.groups import Group
from bert_glue_tf.reports.measured import Model, Time

RESULTS = pathlib.Path(__file__).parent / "results"
RECIPE, UNPRUNED, SESSION = "dynamic_int8", "unpruned", "survey"


def model(record: ExportResult, times: Timing, base: Timing) -> Model:
    """Return what the plots ask of a file: its score, its size and its time."""
    length = max(times.latency, key=int)
    milliseconds = times.latency[length]["p50"]
    return Model(
        run=record.run,
        recipe=record.recipe,
        config=record.config,
        data=record.data,
        encoder=record.encoder["name"],
        encoder_digest=record.encoder["sha256"],
        metrics=record.metrics,
        intervals=record.intervals,
        marked=Marked(record.collapsed, record.at_chance or ""),
        flips=record.flips,
        sparsity=None,
        parameters=record.parameters,
        bytes=record.bytes,
        peak_memory_bytes=None,
        predictions={},
        history=(),
        widths={},
        folder=RESULTS,
        timings=(times,),
        time=Time(
            session=SESSION,
            length=length,
            milliseconds=milliseconds,
            speed=base.latency[length]["p50"] / milliseconds,
            reference=UNPRUNED,
            base=base,
        ),
    )


def groups() -> list[Group]:
    """Return the survey's files, the unpruned one first."""
    measured = json.loads((RESULTS / "survey_cola_measured.json").read_text())["latency"]
    key, latency = measured["key"], measured["value"]
    files = {
        record.sha256: record
        for record in records.load(RESULTS / "survey_cola_files.jsonl", ExportResult)
        if record.recipe == RECIPE
    }
    # Several rows may have one pruning method: a row is known by the file that was timed.
    found = {name: files[digest] for name, digest in key["sha256"].items() if name}
    times = {
        name: Timing(
            session=SESSION,
            started=record.finished,
            machine={},
            threads=key["threads"],
            load={},
            files=len(latency),
            repetitions=key["repetitions"],
            run=record.run,
            recipe=RECIPE,
            sha256=record.sha256,
            latency=latency[name],
        )
        for name, record in found.items()
    }
    names = [UNPRUNED, *(name for name in latency if name != UNPRUNED)]
    return [Group((model(found[name], times[name], times[UNPRUNED]),), name) for name in names]


def main() -> None:
    """Write docs/results/survey_cola_size.svg and survey_cola_latency.svg."""
    for cost in ("size", "latency"):
        figure = plots.score_against(groups(), cost)
        (RESULTS / f"survey_cola_{cost}.svg").write_text(plots.svg(figure) + "\n")


if __name__ == "__main__":
    main()
