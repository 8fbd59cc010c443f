"""The defaults of evaluations, for the commands and the functions alike.

It imports nothing, so that a command knows its flags at once.
"""

from __future__ import annotations

MARGIN = 0.01  # Scores that differ by less are called equal: one point.
# What a model is compared with: the unpruned one of the same training, or the one it was made of.
UNPRUNED = "unpruned"
START = "start"
AGAINST = (UNPRUNED, START)
TYPOS = 0.2  # Share of the words that can have a typo.
# Precision and recall at a threshold that was chosen for one of them, in the order of tables.
OPERATING_POINTS = (
    "precision_at_recall",
    "recall_at_recall",
    "precision_at_precision",
    "recall_at_precision",
)
