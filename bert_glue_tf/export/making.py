"""The files of a finished run, made and not measured: float32, and what recipes make of it."""

from __future__ import annotations

import functools
import pathlib
import re
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from bert_glue_tf.core import memory
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import write_atomically
from bert_glue_tf.core.progress import doing
from bert_glue_tf.data.examples import Examples
from bert_glue_tf.export import (
    calibration,
    convert,
    flatbuffer,
    integers,
    quantize,
    signatures,
    trained,
)
from bert_glue_tf.export.calibration import Features
from bert_glue_tf.export.quantize import Range
from bert_glue_tf.export.selection import (
    Selection,
    conclusion,
    extremes,
    report,
    select,
    summary,
)
from bert_glue_tf.models import saving
from bert_glue_tf.models.quantization import recipes
from bert_glue_tf.models.quantization.recipes import FLOAT32, QuantizationRecipe, Rule
from bert_glue_tf.runs.finished import Run

PROBE_EXAMPLES = 64  # Training sentences on which int8's selection measures noise.


class Maker:
    """Makes the files of one run; what several of them need is made once.

    Args:
      run: a finished one.
      lengths: in word pieces at which the files can run, ascending.
      train: the training split, whose sentences static recipes are calibrated on.
      calibration_examples: how many of them.
      tokenizer: folder of the preprocessing that the files' clients use.
      batches: numbers of texts at a time, 1 among them.
    """

    def __init__(
        self,
        run: Run,
        lengths: Sequence[int],
        train: Examples,
        calibration_examples: int,
        tokenizer: pathlib.Path,
        batches: Sequence[int] = (1,),
    ) -> None:
        self._run, self._lengths, self._train = run, tuple(lengths), train
        self._calibration_examples, self._batches = calibration_examples, tuple(batches)
        self._modality = run.task.modality
        self.preprocessor = self._modality.reader(
            self._modality.load(str(tokenizer), str(tokenizer)),
            run.task,
            self._lengths[-1],
            run.config.truncation,
        )
        # float32 without metadata, of which the others are made; each reads it when it needs it.
        self._scratch = tempfile.TemporaryDirectory()
        self._plain = pathlib.Path(self._scratch.name) / FLOAT32
        self._trained = saving.trained_grids(run.folder.model)

    def convert(self) -> None:
        """Make the float32 file, without metadata.

        Raises:
          UserError: the converter refuses the model.
        """
        with doing(f"converting to TFLite, lengths {', '.join(map(str, self._lengths))}"):
            content = convert.convert(self._run.folder.model, self._lengths, self._batches)
        self._plain.write_bytes(content)
        memory.collect(len(content))

    def take(self, content: bytes) -> None:
        """Take a float32 file that was made before; each gets its own metadata and output."""
        model = flatbuffer.read(content)
        flatbuffer.drop_metadata(model)
        signatures.drop_probabilities(model)
        self._plain.write_bytes(flatbuffer.write(model))
        memory.collect(len(content))

    def make(
        self, recipe: QuantizationRecipe, int8_report: pathlib.Path | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Return the file of a recipe as `flatbuffer.read` gives it, and what a record says of it.

        Args:
          recipe: of the file.
          int8_report: file for the findings of a recipe that is selected by measurement; None
            writes none.

        Raises:
          UserError: `ai-edge-quantizer` cannot make it, it needs an operator of TensorFlow's, or
            its recipe names a layer that the network has not.
        """
        require_halves(self._plain.read_bytes(), recipe)
        rules, ranges, found = self._rules(recipe, int8_report)
        with doing(f"{recipe.name}: quantizing"):
            model = flatbuffer.read(quantize.quantize(self._plain.read_bytes(), rules, ranges))
        flatbuffer.require_builtin(model, recipe.name)
        if recipe.is_whole:
            integers.require(model, recipe.name)
        return model, found

    def is_trained(self, recipe: QuantizationRecipe) -> bool:
        """Tell if the run was trained on the grids of a recipe."""
        return self._trained is not None and self._trained.recipe == recipe.name

    def close(self) -> None:
        """Remove the float32 file without metadata: everything is made."""
        self._scratch.cleanup()

    @property
    def plain_bytes(self) -> int:
        """The size of the float32 file without metadata."""
        return self._plain.stat().st_size

    def _rules(
        self, recipe: QuantizationRecipe, int8_report: pathlib.Path | None
    ) -> tuple[Sequence[Rule], Mapping[str, Range] | None, dict[str, Any]]:
        """Return the rules, the ranges, and what the record says of them."""
        if self._trained and self.is_trained(recipe):
            return trained.rules_and_ranges(self._plain.read_bytes(), self._trained)
        if recipe.selects:
            if int8_report is not None:
                write_atomically(int8_report, report(self._selection))
            return self._selection.rules, self._selection.ranges, summary(self._selection)
        return recipe.rules, self._extremes if recipe.needs_calibration else None, {}

    @functools.cached_property
    def _sentences(self) -> tuple[list[Features], list[Features], int]:
        """The calibration and probe sentences, and the exported length that holds them all."""
        number = min(len(self._train), self._calibration_examples + PROBE_EXAMPLES)
        if number < 2:
            raise UserError("calibration needs at least 2 training sentences.")
        chosen = np.random.default_rng(0).choice(len(self._train), number, replace=False)
        tokens = self._modality.encode(self.preprocessor, self._train.choose(chosen).columns)
        length = next(n for n in self._lengths if n >= tokens.lengths.max())
        features: list[Features] = [tokens.batch([i], length) for i in range(number)]
        # Too few training sentences for both: two thirds for the ranges.
        cut = min(self._calibration_examples, max(1, number * 2 // 3))
        return features[:cut], features[cut:], length

    @functools.cached_property
    def _selection(self) -> Selection:
        calibration, probe, length = self._sentences
        with doing(
            f"int8: calibrating on {len(calibration)} training examples, then each operator "
            f"by itself on {len(probe)} others at length {length} (a minute or two)"
        ):
            found = select(self._plain.read_bytes(), length, calibration, probe)
        logging.info("int8: %s", conclusion(found))
        return found

    @functools.cached_property
    def _extremes(self) -> calibration.Ranges:
        calibration, _, length = self._sentences
        with doing(f"calibrating on {len(calibration)} training examples"):
            return extremes(self._plain.read_bytes(), length, calibration)


def require_halves(model: bytes, recipe: QuantizationRecipe) -> None:
    """Refuse a mixed recipe that names halves of layers which a file does not have.

    Args:
      model: float32 file.
      recipe: any.

    Raises:
      UserError: naming the recipe and the half.
    """
    halves = recipes.halves_of(recipe.name)
    if not halves:
        return
    content = flatbuffer.read(model)
    graph, operators = content.subgraphs[0], flatbuffer.operators(content)[0]
    products = [
        flatbuffer.output_name(graph, place)
        for place, operation in enumerate(operators)
        if operation == recipes.PRODUCT
    ]
    for (layer, half), rule in zip(halves, recipe.rules[-len(halves) :], strict=True):
        if not any(re.search(rule.scope, name) for name in products):
            raise UserError(
                f"--recipes={recipe.name}: the network has no {layer}{half}: layers count from 1, "
                "a is the attention of one and f its feed-forward."
            )
