"""The names of methods and schedules that the engine itself has to know."""

from __future__ import annotations

NO_PRUNING = "none"
# The method of --prune alone: tfmot's magnitude pruning of the dense classifier, as in the report.
DEFAULT_METHOD = "classifier_magnitude"
# The schedule that prunes after each epoch and lets weights grow back between.
SOFT = "soft"
