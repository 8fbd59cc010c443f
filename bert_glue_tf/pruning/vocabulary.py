"""Pruning of the vocabulary."""

from __future__ import annotations

import pathlib
import tempfile
from typing import TYPE_CHECKING

import numpy as np
from absl import logging

from bert_glue_tf.compression.method import PruningMethod
from bert_glue_tf.compression.removed import Removed
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import preprocessing
from bert_glue_tf.data import vocabulary as pieces

if TYPE_CHECKING:
    import tf_keras

    from bert_glue_tf.compression.schedule import PruningContext
    from bert_glue_tf.compression.start import Start


class Vocabulary(PruningMethod):
    """Cuts the rows of word pieces that the task's training text never uses.

    Before the training: the text that the model trains on is tokenized as before (a published
    tokenizer may differ from ours in rare characters, see docs/tokenization.md). Special tokens
    and single characters stay, so that an unseen word splits instead of vanishing, and of the
    other pieces the most frequent ones up to the share `keep`.
    What is removed follows from the text: --final_sparsity does not come into it.

    Source: Abdaoui et al. 2020, "Load what you need: smaller versions of multilingual BERT"
    (https://arxiv.org/abs/2010.05609), for the text of a task in the place of a language.
    """

    name = "vocabulary"
    options = {"keep": (pieces.KEPT_SHARE, "share of the pieces that may stay")}
    unused = (
        "pruning_weights",
        "region_sparsities",
        "ranking",
        "initial_sparsity",
        "begin_step",
        "end_step",
        "pruning_frequency",
    )
    needs = ("vocabulary",)
    takes_sparsity = False
    part = "all word pieces of the vocabulary"
    sparsity_note = (
        "cuts word pieces that the training text never uses: --final_sparsity does not come into it"
    )

    def last_step(self, context: PruningContext) -> int:
        del context
        return 0

    def check_settings(self) -> None:
        if not 0.0 < self.settings["keep"] <= 1.0:
            raise UserError(
                f"--pruning_options: keep={self.settings['keep']}: must be above 0 and at most 1."
            )

    def reshape(self, start: Start) -> Start:
        texts = start.train.texts
        tokenized = preprocessing.tokenize(start.tokenizer(), texts)
        # Kept with the method: the preprocessing is read until the run has saved its model.
        self._folder = tempfile.TemporaryDirectory()
        folder = pathlib.Path(self._folder.name) / "preprocessing"
        before = pathlib.Path(start.backbone.preprocessing_path)
        ids = pieces.prune(before, folder, np.unique(tokenized.ids), self.settings["keep"])
        for split, examples in () if start.is_rehearsal else start.validation.items():
            logging.info("%s:", split)
            for line in pieces.compare(before, folder, examples.texts).lines():
                logging.info("  %s", line)
        table = start.backbone.table
        gone = table.rows - len(ids)
        self._removed = Removed(
            {table.name: gone / table.rows},
            gone * table.width,
            table.rows * table.width,
            within=table.name,
        )
        return start.with_backbone(start.backbone.keep_pieces(ids, folder))

    def measure(self, model: tf_keras.Model) -> Removed:
        del model
        return self._removed
