"""A better choice than the sum of single rises: structures are assembled, and judged as a whole.

Rises of single blocks do not add up. As SPDY does (Frantar and Alistarh 2022, "SPDY: Accurate
Pruning with Speedup Guarantees", https://arxiv.org/abs/2201.13096, section 3.2; Kurtic et al. 2023,
"ZipLM", section 3.2), the rises of each block are multiplied by a weight, the knapsack is solved
anew, and the weights whose structure is the best one when assembled are kept and changed further.
"""

from __future__ import annotations

import dataclasses
import time

import numpy as np
from absl import logging

from bert_glue_tf.core.progress import Bar, duration
from bert_glue_tf.search import find
from bert_glue_tf.search.costs import CostTable
from bert_glue_tf.search.defaults import TRIES
from bert_glue_tf.search.find import Budget, Candidate, Problem
from bert_glue_tf.search.levels_record import Levels
from bert_glue_tf.search.session import Search

_SPREAD = 0.7  # Of the logarithms of weights, at first; half of it at the end.


def refine(
    search: Search,
    levels: Levels,
    table: CostTable,
    budget: Budget,
    first: Candidate,
    tries: int = TRIES,
) -> Candidate:
    """Return the best of several structures within the same budget, each judged when assembled.

    Args:
      search: in the run's classifier.
      levels: of its blocks.
      table: of the candidate's recipe.
      budget: that every structure keeps; one that `first` does not keep it is bounded by its cost.
      first: of `find.find`.
      tries: structures that are assembled besides; those that were judged before are not again.

    Returns:
      It with `measured`, and its rise as its levels sum up to.
    """
    if not first.keeps:
        budget = Budget(first.predicted.bytes, first.predicted.ms)
    problem, random = Problem.of(levels, table), np.random.default_rng(0)
    weights, judged = np.ones(len(levels.blocks)), {}
    judged[first.choice] = search.judge(first.structure)
    best, begin = first.choice, time.perf_counter()
    with Bar(tries, "structures judged") as bar:
        for number in range(1, tries + 1):
            spread = _SPREAD * (1 - 0.5 * number / tries)
            changed = weights * np.exp(random.normal(0.0, spread, len(weights)))
            choice = problem.weighted(changed).solve(budget)
            if choice is None:  # The last digits of a cost that is its own bound.
                continue
            if choice not in judged:
                judged[choice] = search.judge(levels.structure(choice))
            if judged[choice] < judged[best]:
                best, weights = choice, changed
            left = (time.perf_counter() - begin) / number * (tries - number)
            bar.show(number, f"best {judged[best]:.3g}; {duration(left)} left")
    logging.info(
        "%d structures were assembled: the answers are off by %.3g, and by %.3g of the first one",
        len(judged),
        judged[best],
        judged[first.choice],
    )
    found = find.candidate(levels, problem, first.recipe, best, budget)
    return dataclasses.replace(found, keeps=first.keeps, measured=judged[best])
