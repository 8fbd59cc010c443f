"""What a training starts from, for methods that cut before it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bert_glue_tf.data.readers import Examples
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.models.backbone import Backbone
from bert_glue_tf.models.bert.architecture import by_canonical_name
from bert_glue_tf.models.bert.classifier_weights import SavedWeights
from bert_glue_tf.models.bert.network import build_encoder


@dataclasses.dataclass(frozen=True)
class Start:
    """The encoder and what may decide about it.

    Attributes:
      encoder: with the weights to start from, and the preprocessing that belongs to them.
      classifier: kernel float32 [hidden, classes] and bias float32 [classes] where the run
        starts from a fine-tuned model, else None.
      task: of the run.
      train: the training examples.
      validation: what the run validates on, by the split's name; for reports only.
      held_out: training examples that no training sees, or None.
      sparsity: fraction that a method removes of what it cuts.
      seq_length: of the run.
      seed: of the run.
      is_rehearsal: True where only whether a method can do its work is asked for, before there
        are fine-tuned weights; nothing has to be measured then.
      decide: `decide(name, make)` gives what `make` gave (JSON types) the first time in the run.
    """

    encoder: Backbone
    classifier: tuple[np.ndarray, np.ndarray] | None
    task: TaskSpec
    train: Examples
    validation: Mapping[str, Examples]
    held_out: Examples | None
    sparsity: float
    seq_length: int
    seed: int
    is_rehearsal: bool = False
    decide: Callable[[str, Callable[[], Any]], Any] = lambda name, make: make()

    def weights(self) -> SavedWeights:
        """The native encoder's weights; without a classifier, with one of zeros."""
        architecture = self.encoder.architecture
        assert architecture is not None  # A method that asks needs a native encoder.
        classifier = self.classifier or (
            np.zeros((architecture.hidden_size, self.task.problem.width), np.float32),
            np.zeros(self.task.problem.width, np.float32),
        )
        variables = by_canonical_name(self.encoder.layer.variables)
        values = {name: variable.numpy() for name, variable in variables.items()}
        return SavedWeights(architecture, values, *classifier)

    def with_weights(self, weights: SavedWeights) -> Start:
        """The same with the encoder that `weights` describe."""
        encoder = dataclasses.replace(
            self.encoder,
            layer=build_encoder(weights.architecture, weights.encoder.__getitem__),
            architecture=weights.architecture,
        )
        return dataclasses.replace(self, encoder=encoder)
