"""What a training starts from, for methods that cut before it."""

from __future__ import annotations

import dataclasses

import numpy as np

from bert_glue_tf.data import Examples
from bert_glue_tf.encoders import Encoder
from bert_glue_tf.tasks import TaskSpec


@dataclasses.dataclass(frozen=True)
class Start:
    """The encoder and what may decide about it.

    Attributes:
      encoder: with the weights to start from, and the preprocessing that belongs to them.
      classifier: kernel float32 [hidden, classes] and bias float32 [classes] where the run
        starts from a fine-tuned model, else None.
      task: of the run.
      train: the training examples.
      sparsity: fraction that a method removes of what it cuts.
      seq_length: of the run.
      seed: of the run.
    """

    encoder: Encoder
    classifier: tuple[np.ndarray, np.ndarray] | None
    task: TaskSpec
    train: Examples
    sparsity: float
    seq_length: int
    seed: int
