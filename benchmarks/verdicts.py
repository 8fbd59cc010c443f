"""Benchmark: how often `compare` calls two methods different, with and without a difference.

python benchmarks/verdicts.py

Two methods with an accuracy of 0.86 are trained and compared many times over, by the code that
`compare` uses (bert_glue_tf/evaluation/significance.py). Nothing is trained: an example has a
difficulty that all models share, a model has luck of its own at each example, and an accuracy of
its own that differs between training seeds. Of one and of two seeds the verdict is of the models
at hand, and the spread of the training is no part of it: there "false alarm" means one of methods.
"""

from __future__ import annotations

import math

import numpy as np
from absl import app, flags

from bert_glue_tf.data.problems import Classification
from bert_glue_tf.evaluation import metrics, significance
from bert_glue_tf.evaluation.significance import Difference, Equal

FLAGS = flags.FLAGS
flags.DEFINE_integer("repetitions", 400, "Comparisons for each cell of the table.")
flags.DEFINE_multi_integer("seeds", [1, 2, 3, 5, 10, 20], "Training seeds of each method.")
flags.DEFINE_integer("examples", 408, "Validation examples: 408 are MRPC's.")
flags.DEFINE_multi_float("difference", [0.0, -0.014], "True differences of the accuracies.")
flags.DEFINE_multi_float("spread", [0.0, 0.013], "Standard deviations over the training seeds.")

_ACCURACY = 0.86
_SHARED = 0.8  # Of the variance of an example's luck. Of two models 11.6 % of the answers differ.
_CLASSES = Classification(("no", "yes"))


def compared(
    random: np.random.Generator, seeds: int, examples: int, difference: float, spread: float
) -> Difference:
    """Compare two methods that are trained anew."""
    from scipy import stats

    labels = np.zeros(examples, np.int64)
    difficulty = random.standard_normal(examples) * math.sqrt(_SHARED)

    def answers(accuracy: float) -> np.ndarray:
        luck = difficulty + math.sqrt(1 - _SHARED) * random.standard_normal(examples)
        own = np.clip(accuracy + spread * random.standard_normal(), 0.01, 0.99)
        return (luck > stats.norm.ppf(own)).astype(np.int64)

    first, second = (
        [answers(accuracy) for _ in range(seeds)]
        for accuracy in (_ACCURACY, _ACCURACY + difference)
    )
    return significance.compare(_CLASSES, metrics.accuracy, labels, first, second)


def main(argv: list[str]) -> None:
    """Print a Markdown table of the shares of better or worse, and of equal."""
    del argv
    print(f"{FLAGS.examples:,} examples, {FLAGS.repetitions} comparisons a cell.")
    numbers = " | ".join(map(str, FLAGS.seeds))
    print(f"| true difference | spread over seeds | called | {numbers} |")
    print("|---" * (3 + len(FLAGS.seeds)) + "|")
    for difference in FLAGS.difference:
        for spread in FLAGS.spread:
            found = []
            for seeds in FLAGS.seeds:
                random = np.random.default_rng(seeds)
                settings = (seeds, FLAGS.examples, difference, spread)
                found.append([compared(random, *settings) for _ in range(FLAGS.repetitions)])
            shown = [np.mean([one.is_shown for one in some]) for some in found]
            equal = [
                np.mean([one.equivalence.outcome is Equal.YES for one in some]) for some in found
            ]
            for called, shares in (("better or worse", shown), ("equal within 0.01", equal)):
                cells = " | ".join(f"{share:.2f}" for share in shares)
                print(f"| {difference:g} | {spread:g} | {called} | {cells} |", flush=True)


if __name__ == "__main__":
    app.run(main)
