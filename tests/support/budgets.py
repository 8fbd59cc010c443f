"""Records of compressions, written by hand."""

from __future__ import annotations

from typing import Any

from bert_glue_tf.budget.record import Choice, Outcome, Trial
from bert_glue_tf.budget.settings import CompressSettings, Limits

WIDTHS = [{"heads": 2, "neurons": 32}, {"heads": 0, "neurons": 8}]


def trial(run: str, **changed: Any) -> Trial:
    """A file that was tried, with these values."""
    values: dict[str, Any] = {
        "stage": "trained",
        "recipe": "int4",
        "file": f"files/{run}/int4.tflite",
        "sha256": "a" * 64,
        "bytes": 6_000_000,
        "predicted": {"bytes": 5.9e6, "ms": 2.9},
        "widths": WIDTHS,
        "pieces": 12_000,
        "metric": "accuracy",
        "score": 0.79,
        "interval": [0.75, 0.83],
        "loss": 0.4,
        "drop": 0.01,
        "drop_interval": [-0.01, 0.03],
        "rise": 0.0,
        "rise_error": 0.01,
        "examples": 400,
        "was_seen": False,
        "collapsed": "",
    }
    return Trial(run=run, **{**values, **changed})


def choice(run: str, recipe: str = "int4", **changed: Any) -> Choice:
    """The choice of a file."""
    values: dict[str, Any] = {
        "stage": "trained",
        "missed": {},
        "reason": "1 of 2 files keeps the budget.",
        "milliseconds": {"original float32": 25.0, f"{run} {recipe}": 2.6},
        "session": "20260101-000000-abcd",
    }
    return Choice(run=run, recipe=recipe, **{**values, **changed})


def outcome(**changed: Any) -> Outcome:
    """The result of a compression: 90.5 MB to 6.0 MB, 10 times as fast, 0.0049 lost."""
    settings = CompressSettings(limits=Limits(max_mb=6, max_ms=3), at_length=64)
    file = {"bytes": 6_000_000, "ms": 2.5, "score": 0.8039, "interval": [0.76, 0.84]}
    original = {"bytes": 90_500_000, "ms": 25.0, "score": 0.8088, "interval": [0.77, 0.85]}
    values: dict[str, Any] = {
        "stage": "trained",
        "settings": settings.to_json(),
        "original": {"run": "mrpc", "sha256": "b" * 64, **original},
        "file": {
            "run": "trained-int4",
            "recipe": "int4",
            "sha256": "a" * 64,
            "path": "trained-int4/tflite/int4.tflite",
            **file,
        },
        "predicted": {"bytes": 5.9e6, "ms": 2.4},
        "held_out": {
            "original": 0.80,
            "file": 0.79,
            "drop": 0.01,
            "examples": 400,
            "was_seen": False,
        },
        "missed": {},
        "metric": "accuracy",
        "difference": {
            "mean": -0.0049,
            "low": -0.031,
            "high": 0.02,
            "p": 0.7,
            "test": "mcnemar",
            "equal": "unknown",
            "margin": 0.01,
        },
        "examples": 408,
        "length": 64,
        "threads": 2,
        "session": "20260101-000000-abcd",
        "busy": "",
        "source": "tsv",
        "widths": {"before": [{"heads": 12, "neurons": 1536}] * 2, "after": WIDTHS},
        "pieces": [30_522, 12_000],
        "environment": {},
    }
    return Outcome(**{**values, **changed})
