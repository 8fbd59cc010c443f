"""The margin within which two scores are called equal; commands read it before NumPy is needed."""

from __future__ import annotations

MARGIN = 0.01  # Scores that differ by less are called equal: one point.
