"""The start of a training, for methods that cut before it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tf_keras

    from bert_glue_tf.data.examples import Examples
    from bert_glue_tf.data.tasks import TaskSpec
    from bert_glue_tf.models.backbone import Backbone, ClassifierWeights


@dataclasses.dataclass(frozen=True)
class Start:
    """The encoder and what may decide about it.

    Attributes:
      backbone: the encoder with the weights to start from, and its preprocessing.
      classifier: kernel float32 [hidden, classes], bias float32 [classes] and the weights of a head
        of words where the run starts from a fine-tuned model, else None.
      task: of the run.
      train: the training examples.
      validation: what the run validates on, by the split's name; for reports only.
      held_out: training examples that no training sees, or None.
      sparsity: fraction that a method removes of what it cuts.
      seq_length: of the run.
      seed: of the run.
      is_rehearsal: True where only whether a method can do its work is asked for, before there
        are fine-tuned weights; nothing has to be measured then.
      truncation: which pieces of longer text are read.
      tagging_head: of the run, where words are tagged.
      decide: `decide(name, make)` gives what `make` gave (JSON types) the first time in the run.
    """

    backbone: Backbone
    classifier: ClassifierWeights | None
    task: TaskSpec
    train: Examples
    validation: Mapping[str, Examples]
    held_out: Examples | None
    sparsity: float
    seq_length: int
    seed: int
    is_rehearsal: bool = False
    truncation: str = "head"
    tagging_head: str = "linear"
    decide: Callable[[str, Callable[[], Any]], Any] = lambda name, make: make()

    def with_backbone(self, backbone: Backbone) -> Start:
        """Return the same with another encoder."""
        return dataclasses.replace(self, backbone=backbone)

    def tokenizer(self) -> Any:
        """Return the function of the run's texts to features; see `Backbone.tokenizer`."""
        return self.backbone.tokenizer(self.task, self.seq_length, self.truncation)

    def classify(self, dropout: float = 0.0) -> tf_keras.Model:
        """Return a classifier of these weights, under the strategy of the scope.

        Args:
          dropout: rate before the head, which is drawn anew where `classifier` is None, with the
            biases that the problem begins with.
        """
        from bert_glue_tf.models import classifiers, heads

        model = classifiers.build_classifier(
            self.backbone.layer,
            self.task,
            dropout=dropout,
            seed=self.seed,
            tagging_head=self.tagging_head,
        )
        if self.classifier is not None:
            heads.set_weights(model, self.classifier)
        elif self.train.labels is not None:
            bias = self.task.problem.first_bias(self.train.labels)
            model.get_layer(heads.CLASSIFIER).bias.assign(bias)
        return model
