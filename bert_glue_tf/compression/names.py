"""The names of methods that the engine itself has to know; all others are found by their files."""

from __future__ import annotations

NO_PRUNING = "none"
# The method of --prune alone: tfmot's magnitude pruning of the dense classifier, as in the report.
DEFAULT_METHOD = "classifier_magnitude"
