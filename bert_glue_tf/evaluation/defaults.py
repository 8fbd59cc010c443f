"""The defaults of evaluations, for the commands and the functions alike.

It imports nothing, so that a command knows its flags at once.
"""

from __future__ import annotations

MARGIN = 0.01  # Scores that differ by less are called equal: one point.
TYPOS = 0.2  # Share of the words that can have a typo.
