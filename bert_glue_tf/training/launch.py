"""A run from its settings to its record; TensorFlow is imported when everything else is sure."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.progress import doing
from bert_glue_tf.data import readers
from bert_glue_tf.data.examples import Examples
from bert_glue_tf.data.settings import DataSettings
from bert_glue_tf.models import encoders, families
from bert_glue_tf.models.encoders import EncoderSource
from bert_glue_tf.models.foreign_heads import ForeignHead
from bert_glue_tf.runs import config
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.results import ExperimentResult
from bert_glue_tf.runs.run_folder import RunFolder
from bert_glue_tf.training import cluster, task_settings, teachers

# The settings of a run that mean something where nothing is trained.
UNTRAINED = (*DataSettings.names(), "preprocessing", "seq_length", "truncation", "seed")


def untrained(model: pathlib.Path, settings: Mapping[str, Any]) -> ExperimentConfig:
    """Return the settings of the run of a classifier that another program has fine-tuned.

    Args:
      model: its folder.
      settings: values of some of `UNTRAINED`.

    Raises:
      UserError: there is no such folder, or a setting that says how to train.
    """
    if wrong := sorted(set(settings) - set(UNTRAINED)):
        raise UserError(
            f"{wrong[0]}={settings[wrong[0]]!r}: nothing is trained here. Good settings: "
            f"{', '.join(UNTRAINED)}."
        )
    folder = str(model.resolve())
    encoders.resolve(folder, flag="model")
    return ExperimentConfig(encoder=folder, epochs=0, **settings)


class Launch:
    """A run that is shown where it is finished, and else checked and then trained.

    Args:
      settings: of the run.
      workdir: its folder, which is not claimed before `train`.

    Attributes:
      folder: the run's; of a worker that is not the chief a temporary one, once it trains.
      workers: the cluster that this process is part of; None where it runs alone.
    """

    def __init__(self, settings: ExperimentConfig, workdir: pathlib.Path) -> None:
        self.settings = settings
        self.folder = RunFolder(workdir, settings)
        self.workers: cluster.Cluster | None = None
        self._is_claimed = False

    @property
    def is_chief(self) -> bool:
        """Return whether this process writes the run's folder."""
        return self.workers is None or self.workers.is_chief

    @property
    def source(self) -> EncoderSource:
        """Return what the settings name as the encoder.

        Raises:
          UserError: there is no such encoder.
        """
        return encoders.resolve(self.settings.encoder, self.settings.preprocessing)

    def finished(self) -> ExperimentResult | None:
        """Return the record of a finished run; nothing is loaded, reached or asked for.

        Raises:
          UserError: as `RunFolder.record`.
        """
        return self.folder.finished_result()

    def join(self) -> None:
        """Read from the environment which workers train together.

        Raises:
          UserError: the settings do not fit the pruning method, or TF_CONFIG is broken.
        """
        config.check_method(self.settings)
        self.workers = cluster.of(self.settings.strategy)

    def check(self) -> Mapping[str, Examples] | None:
        """Return the examples after a look at all that can be wrong without TensorFlow.

        None: the workers have to be joined before the examples are read, since TFDS uses
        TensorFlow.

        Raises:
          UserError: the encoder or the data cannot be used; an `UnreachableError` where the
            network would be needed.
        """
        task = readers.task_of(self.settings)
        encoders.check(self.source, self.settings.seq_length)
        task_settings.check(self.settings, task)
        teachers.check(self.settings, task)
        readers.check(task, self.settings.data)
        if self.workers is not None:
            return None
        return readers.load_for_training(task, self.settings.data, self.settings.train_examples)

    def train(
        self, examples: Mapping[str, Examples] | None = None, tpu: str = "local"
    ) -> ExperimentResult:
        """Claim the folder and run the experiment, from its last saved state if there is one.

        Args:
          examples: of `check`.
          tpu: value of --tpu, where the strategy is to use one.

        Raises:
          UserError: as `RunFolder.open` and `experiment.train_and_evaluate`.
        """
        claim = RunFolder.open if self.is_chief else RunFolder.follow
        self.folder = claim(self.folder.path, self.settings)
        self._is_claimed = True
        with doing("starting TensorFlow"):
            from bert_glue_tf.training import experiment

        return experiment.train_and_evaluate(self.settings, self.folder, examples, tpu)

    def foreign_head(self, labels: Sequence[str] = ()) -> ForeignHead:
        """Return the head of the classifier whose folder the settings name as the encoder.

        Args:
          labels: value of --labels; see `ForeignHead.for_task`.

        Raises:
          UserError: the folder is of no classifier, or its labels are not the task's.
        """
        source = self.source
        folder = pathlib.Path(source.encoder)
        family = families.importing(source.kind, folder)
        if family is None:
            raise UserError(
                f"--model={source.encoder}: a SavedModel, whose head cannot be found. Give the "
                "folder of a Hugging Face classifier (BertForSequenceClassification, or that of "
                "DistilBert or Electra)."
            )
        head = family.import_head(source.kind, folder)
        head.for_task(readers.task_of(self.settings), labels)
        return head

    def take_over(
        self, head: ForeignHead, labels: Sequence[str], examples: Mapping[str, Examples] | None
    ) -> ExperimentResult:
        """Claim the folder, and score the classifier in it as it came; see `taken_over.score`.

        Raises:
          UserError: as `RunFolder.open` and `taken_over.score`.
        """
        self.folder = RunFolder.open(self.folder.path, self.settings)
        self._is_claimed = True
        with doing("starting TensorFlow"):
            from bert_glue_tf.training import taken_over

        return taken_over.score(self.settings, self.folder, head, labels, examples)

    @property
    def can_go_on(self) -> bool:
        """Return whether this process has claimed the run, and something of it is saved."""
        return self._is_claimed and self.folder.can_go_on
