"""The defaults of an export and of timing its files, for the commands and the functions alike.

It imports nothing, so that a command knows its flags at once.
"""

from __future__ import annotations

LENGTHS = (32, 64, 128)  # In word pieces, where the files of many runs are made and compared.
THREADS = 2  # Of LiteRT.
CALIBRATION_EXAMPLES = 128  # Training sentences from which static recipes take their ranges.
REPETITIONS = 50  # Timed runs of a file.
# The output of a signature.
OUTPUTS = LOGITS, PROBABILITIES = "logits", "probabilities"
