"""A search in a finished classifier: levels that are measured, structures that are judged.

The classifier is loaded, its texts are read and its blocks are looked into when they are needed
for the first time, so that a search whose levels are all known asks for none of it.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from bert_glue_tf.core import records
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import reason
from bert_glue_tf.core.progress import Bar, doing, duration
from bert_glue_tf.data.batching import Split
from bert_glue_tf.data.examples import Examples
from bert_glue_tf.data.problems import Problem
from bert_glue_tf.models import imported, saving
from bert_glue_tf.models.blocks import KINDS, BlockCut, Blocks, Cuts
from bert_glue_tf.runs.finished import Run
from bert_glue_tf.search import fitting, importance, levels_record
from bert_glue_tf.search import texts as search_texts
from bert_glue_tf.search.answers import Answers
from bert_glue_tf.search.costs import PIECES
from bert_glue_tf.search.defaults import Effort
from bert_glue_tf.search.fitting import Fit, Moments
from bert_glue_tf.search.levels_record import FILE_NAME, Basis, Block, BlockRecord, Level, Levels
from bert_glue_tf.search.pieces import Vocabularies
from bert_glue_tf.search.structure import Structure
from bert_glue_tf.search.texts import Texts

GRID = 4  # Version of the levels that are measured; raised when they are chosen in another way.
# Shares of a block's units that are levels.
_HEADS = (0, 1 / 12, 1 / 6, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 5 / 6, 1)
_NEURONS = (0, 1 / 48, 1 / 24, 1 / 12, 1 / 8, 1 / 4, 3 / 8, 1 / 2, 5 / 8, 3 / 4, 1)
# Kernels read so many inputs at a time, and int4 shares a step among them.
_MULTIPLE = 32


Place = tuple[int, str]  # The layer of a block, from 0, and its kind.


@dataclasses.dataclass(frozen=True)
class Looked:
    """The blocks of the whole network, looked into on some texts.

    Attributes:
      fits: block -> the fit of its own outputs.
      weights: of each batch, block -> float32 [tokens], how much each token counts.
      means: block -> float32 [hidden], the mean of its outputs where all tokens count alike.
    """

    fits: Mapping[Place, Fit]
    weights: Sequence[Mapping[Place, np.ndarray]]
    means: Mapping[Place, np.ndarray]


class Search:
    """A search in the classifier of a finished run.

    Args:
      run: the run.
      read: split -> examples, as `readers.load_for_training` gives them for the run.
      folder: of what is found, which is made where it is missing.
      effort: how much is computed; None for what fits the size of the network.

    Raises:
      UserError: the folder cannot be made.
    """

    def __init__(
        self,
        run: Run,
        read: Mapping[str, Examples],
        folder: pathlib.Path,
        effort: Effort | None = None,
    ) -> None:
        self.run = run
        self.folder = folder
        self.read = read
        self._effort = effort
        self._biases: dict[Place, BlockCut] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"{folder}: cannot be made ({reason(error)}), and a search keeps there what it has "
                "measured. Move away what stands in its place, or give a run in a folder that you "
                "may write."
            ) from None

    @functools.cached_property
    def blocks(self) -> Blocks:
        """The classifier as a row of blocks.

        Raises:
          UserError: it cannot be loaded, or its blocks cannot be told apart.
        """
        with doing("loading the classifier"):
            return saving.family_of(self.run.folder.model).blocks(self.run.folder.model)

    @functools.cached_property
    def texts(self) -> Texts:
        """The texts that outputs are fitted on, and those that levels are judged by."""
        sizes = self.blocks.sizes
        effort = self._effort or Effort.for_weights(sizes.weights)
        with doing("tokenizing the training texts"):
            return search_texts.choose(self.run, self.read, effort, sizes.pieces)

    @functools.cached_property
    def answers(self) -> Answers:
        """The answers to the texts that levels are judged by."""
        judged = self.texts.judged
        with doing(f"answers of the whole network to {len(judged):,} texts"):
            return Answers(self.run, self.blocks, judged)

    @functools.cached_property
    def looked(self) -> Looked:
        """The blocks of the whole network on the texts that outputs are fitted on."""
        fitted = self.texts.fitted
        with doing(f"looking into the blocks on {len(fitted):,} training texts"):
            return look(self.blocks, fitted, self.run.task.problem)

    @functools.cached_property
    def vocabularies(self) -> Vocabularies:
        """The smaller vocabularies of the run's classifier."""
        preprocessing = self.run.folder.model / "preprocessing"
        return Vocabularies(self.run, preprocessing, self.texts.used)

    @functools.cached_property
    def basis(self) -> Basis:
        """The classifier and the texts that the levels are measured on."""
        return Basis(
            run=self.run.path.name,
            weights_sha256=imported.folder_sha256(self.run.folder.model / "variables"),
            data_sha256=str(self.read["train"].provenance["sha256"]),
            fitted=len(self.texts.fitted),
            examples=len(self.texts.judged),
            held_out=self.texts.held_out,
            loss=self.answers.loss,
            grid=GRID,
        )

    def levels(self) -> Levels:
        """Return the levels of all blocks, measured now where they are not known.

        Each block's line is written as soon as it is measured, so that a search that was killed
        goes on where it stopped.

        Raises:
          UserError: the classifier, its data or the folder cannot be used.
        """
        known = levels_record.known(levels_record.load(self.folder), self.basis)
        wanted = [(kind, layer) for layer in range(len(self.blocks.sizes.layers)) for kind in KINDS]
        wanted.append((PIECES, -1))
        lacking = [one for one in wanted if one not in known]
        if lacking:
            logging.info(
                "measuring %d blocks on %s texts: by how much answers change with so many units",
                len(lacking),
                len(self.texts.judged),
            )
            with Bar(len(lacking), "blocks") as bar:
                self._measure(lacking, known, bar)
        return Levels(tuple(known[one] for one in wanted))

    def _measure(
        self,
        lacking: Sequence[tuple[str, int]],
        known: dict[tuple[str, int], Block],
        bar: Bar,
    ) -> None:
        """Measure blocks, and add them to those that are known and to the folder."""
        weight = {one: len(self.blocks.sizes.layers) - one[1] for one in lacking}
        begin, done = time.perf_counter(), 0
        for number, one in enumerate(lacking, start=1):
            start = time.perf_counter()
            kind, layer = one
            found = self.vocabulary_levels() if kind == PIECES else self._levels_of(layer, kind)
            known[one] = Block(kind, layer, tuple(found))
            seconds = round(time.perf_counter() - start, 2)
            line = BlockRecord.describe(self.basis, known[one], seconds)
            records.append(self.folder / FILE_NAME, line)
            done += weight[one]
            left = (time.perf_counter() - begin) / done * (sum(weight.values()) - done)
            bar.show(number, f"{duration(left)} left")
            logging.info("%s", _told(known[one], seconds, left))

    def _levels_of(self, layer: int, kind: str) -> Iterator[Level]:
        """Yield the levels of a block, from no unit to all."""
        size = self.blocks.sizes.layers[layer]
        units = size.units(kind)
        order = fitting.removal_order(self.looked.fits[layer, kind], size.unit_size(kind))
        for count in level_counts(kind, units):
            kept = tuple(sorted(order[units - count :]))
            if count == units:
                yield Level(kept, 0.0)
                continue
            cut = {(layer, kind): self.fitted(layer, kind, kept)}
            found = self.answers.cut(cut)
            yield Level(kept, found.rise, found.rise_error, found.loss_rise)

    def vocabulary_levels(self) -> Iterator[Level]:
        """Yield the levels of the vocabulary, from the pieces that no text can do without."""
        for ids in self.vocabularies.levels():
            if len(ids) == self.blocks.sizes.pieces:
                yield Level(tuple(ids), 0.0)
                continue
            split = self.vocabularies.tokenized(ids, self.texts.examples)
            found = self.answers.of(split, np.asarray(ids), {})
            yield Level(tuple(ids), found.rise, found.rise_error, found.loss_rise)

    def fitted(self, layer: int, kind: str, units: Sequence[int]) -> BlockCut:
        """Return a block with some of its units, its product fitted to its own outputs."""
        if not len(units):
            return self._empty(layer, kind)
        columns = columns_of(units, self.blocks.sizes.layers[layer].unit_size(kind))
        return BlockCut(tuple(units), self.looked.fits[layer, kind].output(columns))

    def _empty(self, layer: int, kind: str) -> BlockCut:
        """Return a block without units: its bias is the one of three that the answers say is best.

        What a first-order weight of tokens tells of small errors it does not tell of so large one.
        """
        if (layer, kind) not in self._biases:
            kernel, mean = self.looked.fits[layer, kind].output(np.zeros(0, np.int64))
            biases = (mean, self.looked.means[layer, kind], np.zeros_like(mean))
            cuts = [BlockCut((), (kernel, bias)) for bias in biases]
            rises = [self.answers.cut({(layer, kind): cut}).rise for cut in cuts]
            self._biases[layer, kind] = cuts[int(np.argmin(rises))]
        return self._biases[layer, kind]

    def cuts(self, structure: Structure) -> dict[tuple[int, str], BlockCut]:
        """Return the cuts of a structure, each block fitted to its own outputs."""
        found = {}
        for layer, kind, units in kept_units(structure):
            if len(units) < self.blocks.sizes.layers[layer].units(kind):
                found[layer, kind] = self.fitted(layer, kind, units)
        return found

    def judge(self, structure: Structure, cuts: Cuts | None = None) -> float:
        """Return how far the answers of an assembled structure are from those of the whole.

        Args:
          structure: what stays.
          cuts: of its blocks; None for those of `cuts`.
        """
        cuts = self.cuts(structure) if cuts is None else cuts
        if len(structure.pieces) == self.blocks.sizes.pieces:
            return self.answers.cut(cuts).rise
        split = self.vocabularies.tokenized(structure.pieces, self.texts.examples)
        return self.answers.of(split, np.asarray(structure.pieces), cuts).rise


def kept_units(structure: Structure) -> Iterator[tuple[int, str, tuple[int, ...]]]:
    """Yield layer, kind and the units that stay of each block, in the order of computing."""
    for layer, both in enumerate(zip(structure.heads, structure.neurons, strict=True)):
        for kind, units in zip(KINDS, both, strict=True):
            yield layer, kind, units


def level_counts(kind: str, units: int) -> list[int]:
    """Return how many units the levels of a block have, ascending, from 0 to all."""
    if kind == KINDS[0]:
        return sorted({round(units * share) for share in _HEADS})
    multiple = _MULTIPLE if units >= 8 * _MULTIPLE else 1
    return sorted({min(units, round(units * share / multiple) * multiple) for share in _NEURONS})


def columns_of(units: Sequence[int], size: int) -> np.ndarray:
    """Return the columns of a product's inputs that units of a size give."""
    first = np.asarray(units, np.int64)[:, None] * size
    return (first + np.arange(size)).ravel()


def look(blocks: Blocks, split: Split, problem: Problem) -> Looked:
    """Return what the blocks of a network are fitted by.

    Args:
      blocks: of the whole network.
      split: texts to fit on.
      problem: of the task.
    """
    sums: dict[Place, Moments] = {}
    plain: dict[Place, list[Any]] = {}
    weights: list[dict[Place, np.ndarray]] = []
    for _, features in search_texts.batches(split):
        found = blocks.gradients(features, lambda logits: importance.direction(problem, logits))
        weights.append({})
        for one, (seen, slopes) in found.items():
            weights[-1][one] = importance.weights(seen, slopes)
            if one not in sums:
                sums[one] = Moments.empty(seen.inputs.shape[1], seen.total.shape[1])
                plain[one] = [0.0, 0.0]
            sums[one].add(seen.inputs, weights[-1][one])
            same = importance.alike(seen)
            plain[one][0] += float(same.sum())
            plain[one][1] += same.astype(np.float64) @ seen.inputs
    fits, means = {}, {}
    for one in list(sums):
        kernel, bias = blocks.output(*one)
        fits[one] = Fit.of(fitting.own(sums.pop(one), (kernel, bias)), kernel)
        count, total = plain[one]
        means[one] = (total / count @ kernel + bias).astype(np.float32)
    return Looked(fits, weights, means)


def _told(block: Block, seconds: float, left: float) -> str:
    """Return a line of the log on a block: what three of its levels cost. All are in the record."""
    name = PIECES if block.kind == PIECES else f"layer {block.layer + 1}, {block.kind}"
    parts = [one for one in block.levels if one.units]
    shown = sorted({round(at * (len(parts) - 1)) for at in (0, 0.5, 0.8)})
    rises = ", ".join(f"{len(parts[at].units)}: {parts[at].rise:.2g}" for at in shown)
    return (
        f"{name.replace('_', '-')}: {rises} ({seconds:.0f} s; {duration(left)} of this step left)"
    )
