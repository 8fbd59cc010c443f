"""The defaults of a sensitivity, for the command and the function alike; it imports nothing."""

from __future__ import annotations

EXAMPLES = 512  # Of the training split.
RECIPES = ("int8", "int4")
