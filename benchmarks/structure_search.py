"""Compare a structure that was searched with one-shot pruning by single scores, without training.

python benchmarks/structure_search.py --run=runs/mrpc1

Of a fine-tuned run, half of all heads and half of all neurons go: those that the search finds, with
its outputs fitted by least squares, and those with the lowest scores, in each layer and over all
layers, with zeros in their place. Printed are the scores on the validation split.
"""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from absl import flags

from bert_glue_tf.core import cli
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.runs import finished

if TYPE_CHECKING:
    import numpy as np

    from bert_glue_tf.search.structure import Structure

flags.DEFINE_string("run", "", "Folder of a finished run, fine-tuned and not pruned.")
flags.DEFINE_integer("examples", 256, "Training examples whose gradients rank units.")
FLAGS = flags.FLAGS
SCORES = ("gradient", "movement", "magnitude", "random")
_OUTPUTS = {"attention": "self_attention/attention_output", "feed_forward": "output"}
_BEFORE = {
    "attention": [f"self_attention/{part}" for part in ("query", "key", "value")],
    "feed_forward": ["intermediate"],
}


def main() -> None:
    if not FLAGS.run:
        raise UserError("--run is missing. Give the folder of a finished run.")
    from bert_glue_tf.reports import terminal

    with tempfile.TemporaryDirectory() as folder:
        compared = Compared(finished.Run.read(pathlib.Path(FLAGS.run)), pathlib.Path(folder))
        rows = list(compared.rows())
    terminal.print_rows("Half of all heads and half of all neurons, without training", rows)


class Compared:
    """A fine-tuned classifier whose structures are compared.

    Args:
      run: a finished one.
      folder: of what the search finds.
    """

    def __init__(self, run: finished.Run, folder: pathlib.Path) -> None:
        from bert_glue_tf.data import batching
        from bert_glue_tf.search import texts, writing
        from bert_glue_tf.search.session import Search

        self._run = run
        self._read = writing.examples_of(run)
        self._search = Search(run, self._read, folder)
        tokenizer = texts.tokenizer(run, str(run.folder.model / "preprocessing"))
        self._splits = {
            suffix: batching.tokenize(tokenizer, split, self._read[split])
            for suffix, split in run.task.scored_splits.items()
        }

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield a row for each way to choose what stays."""
        yield self._row("unpruned", {})
        found = self._found()
        yield self._row("searched", self._search.cuts(found))
        for score in SCORES:
            for each in (True, False):
                where = "in each layer" if each else "over all layers"
                yield self._row(f"one shot by {score}, {where}", self._plain(score, each))

    def _row(self, name: str, cuts: Any) -> dict[str, Any]:
        return {"structure": name, **self._scores(cuts), "off": self._search.answers.cut(cuts).rise}

    def _scores(self, cuts: Any) -> dict[str, float]:
        """Return the primary metric of each validation split."""
        import numpy as np

        from bert_glue_tf.evaluation import metrics
        from bert_glue_tf.search import texts

        blocks, task, found = self._search.blocks, self._run.task, {}
        for suffix, split in self._splits.items():
            logits = np.zeros((len(split), task.problem.width), np.float32)
            for some, features in texts.batches(split):
                state = blocks.begin(features)
                for layer in range(len(blocks.sizes.layers)):
                    state = blocks.layer(layer, state, cuts)
                logits[some] = blocks.logits(state)
            name = f"{task.primary_metric}{suffix}"
            found[name] = float(metrics.compute(task, split.labels, logits)[task.primary_metric])
        return found

    def _found(self) -> Structure:
        """Return the best structure with half of the heads and half of the neurons."""
        from bert_glue_tf.search import find

        levels = self._search.levels()
        layers = self._search.blocks.sizes.layers
        problem = find.Problem(
            [_rises(block) for block in levels.blocks],
            [_counts(block) for block in levels.blocks],
            _counts(levels.blocks[-1])[0] * 0.0,
        )
        half = find.Budget(sum(x.heads for x in layers) / 2, sum(x.neurons for x in layers) / 2)
        choice = problem.solve(half)
        assert choice is not None
        return levels.structure(choice)

    def _plain(self, score: str, each: bool) -> Any:
        """Return the cuts of the units with the lowest scores, of which nothing is fitted."""
        import numpy as np

        from bert_glue_tf.models.blocks import KINDS, BlockCut
        from bert_glue_tf.search.session import columns_of

        blocks, cuts = self._search.blocks, {}
        for kind in KINDS:
            scores = list(getattr(self, f"_{score}")(kind))
            bar = np.median(np.concatenate(scores))
            for layer, own in enumerate(scores):
                stay = own >= (np.median(own) if each else bar)
                stay[np.argmax(own)] = True
                units = tuple(np.flatnonzero(stay).tolist())
                kernel, bias = blocks.output(layer, kind)
                columns = columns_of(units, blocks.sizes.layers[layer].unit_size(kind))
                cuts[layer, kind] = BlockCut(units, (kernel[columns], bias))
        return cuts

    def _random(self, kind: str) -> Iterator[np.ndarray]:
        import numpy as np

        for number, layer in enumerate(self._search.blocks.sizes.layers):
            yield np.random.default_rng(number).random(layer.units(kind))

    def _magnitude(self, kind: str) -> Iterator[np.ndarray]:
        """Yield the squared norm of each unit's weights, layer by layer."""
        import numpy as np

        for layer, size in enumerate(self._search.blocks.sizes.layers):
            units = size.units(kind)
            last = self._probe.variables[f"transformer/layer_{layer}/{_OUTPUTS[kind]}/kernel"]
            total = np.square(last.numpy()).reshape(units, -1).sum(axis=1)
            for name in _BEFORE[kind]:
                first = self._probe.variables[f"transformer/layer_{layer}/{name}/kernel"].numpy()
                total += np.square(first).reshape(len(first), units, -1).sum(axis=(0, 2))
            yield total

    def _gradient(self, kind: str) -> Iterator[np.ndarray]:
        """Yield the mean over batches of |sum of weight times gradient| of each unit's output."""
        import numpy as np

        for shares, products in self._multiplied(kind):
            yield shares @ np.abs(products)

    def _movement(self, kind: str) -> Iterator[np.ndarray]:
        """Yield minus that sum over its root mean square, as Adam takes the steps of the scores.

        It is the score of movement pruning (Sanh et al. 2020) for weights that stand still.
        """
        import numpy as np

        for shares, products in self._multiplied(kind):
            root = np.sqrt(shares @ np.square(products))
            yield -(shares @ products) / np.maximum(root, np.finfo(np.float32).tiny)

    @property
    def _probe(self) -> Any:
        if not hasattr(self, "_loaded"):
            from bert_glue_tf.analysis import texts
            from bert_glue_tf.analysis.probe import Probe

            chosen = texts.choose(self._run, self._read, FLAGS.examples)
            self._loaded = Probe(self._run, chosen.tokenize(self._run))
        return self._loaded

    def _multiplied(self, kind: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield by layer the shares of batches [n] and weight times gradient [n, units]."""
        import numpy as np

        if not hasattr(self, "_products"):
            layers = range(len(self._search.blocks.sizes.layers))
            names = [
                f"transformer/layer_{i}/{name}/kernel" for i in layers for name in _OUTPUTS.values()
            ]
            now = {name: self._probe.variables[name].numpy() for name in names}
            self._shares: list[float] = []
            self._products: dict[str, list[np.ndarray]] = {name: [] for name in names}
            for share, gradients in self._probe.gradients(names):
                self._shares.append(share)
                for name, gradient in gradients.items():
                    product = (gradient * now[name]).reshape(len(now[name]), -1).sum(axis=1)
                    self._products[name].append(product)
        for layer, size in enumerate(self._search.blocks.sizes.layers):
            found = np.array(self._products[f"transformer/layer_{layer}/{_OUTPUTS[kind]}/kernel"])
            yield np.array(self._shares), found.reshape(len(found), size.units(kind))


def _rises(block: Any) -> np.ndarray:
    import numpy as np

    return np.array([level.rise for level in block.levels])


def _counts(block: Any) -> np.ndarray:
    """Return heads in the place of bytes and neurons in that of milliseconds, [levels, 2]."""
    import numpy as np

    counts = np.array([len(level.units) for level in block.levels], float)
    kinds = np.array([block.kind == "attention", block.kind == "feed_forward"])
    return counts[:, None] * kinds


if __name__ == "__main__":
    cli.run(main, __doc__)
