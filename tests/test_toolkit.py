"""tfmot comes without Keras 3, and leaves Keras 3 to whoever wants it."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
import bert_glue_tf.experiment
from bert_glue_tf.toolkit import tfmot
assert "keras" not in sys.modules and "sklearn" not in sys.modules
assert tfmot.sparsity.keras.prune_low_magnitude
import keras
assert keras.Model
"""


def test_a_command_starts_without_keras_3_which_can_be_imported_afterwards():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
