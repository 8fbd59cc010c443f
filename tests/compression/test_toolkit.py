"""Keras 3 is not imported, and left to whoever wants it."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
import bert_glue_tf.training.experiment
from bert_glue_tf.models import loading
from bert_glue_tf.models import encoders
from bert_glue_tf.compression.toolkit import tfmot
assert loading.load(encoders.resolve(sys.argv[1], ""), seq_length=16).family == "bert"
assert "keras" not in sys.modules and "sklearn" not in sys.modules
assert tfmot.sparsity.keras.prune_low_magnitude
import keras
assert keras.Model
"""


def test_a_command_starts_without_keras_3_which_can_be_imported_afterwards(tiny_encoder):
    command = [sys.executable, "-c", CODE, tiny_encoder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
