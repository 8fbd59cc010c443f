"""Compare rankings by the gradients of few and of many training examples.

python benchmarks/score_agreement.py --run=runs/mrpc1

Of a fine-tuned run, half of the units are ranked lowest by a batch of 32 examples, by a half of the
training split, and by all of it: the share of the units that both of two rankings remove.
"""

from __future__ import annotations

import itertools
import pathlib
from typing import TYPE_CHECKING, Any

from absl import flags

from bert_glue_tf.core import cli
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.progress import doing
from bert_glue_tf.runs import finished

if TYPE_CHECKING:
    import numpy as np

flags.DEFINE_string("run", "", "Folder of a finished run, fine-tuned and not pruned.")
flags.DEFINE_list(
    "methods", ["attention_head", "neuron", "gradient", "movement"], "Pruning methods."
)
flags.DEFINE_integer("examples", 2048, "Training examples of a ranking by many.")
FLAGS = flags.FLAGS
_BATCH, _SPARSITY = 32, 0.5
_SINGLE = 6  # Batches that are compared two by two.


def main() -> None:
    if not FLAGS.run:
        raise UserError("--run is missing. Give the folder of a finished run.")
    from bert_glue_tf.reports import terminal

    run = finished.Run.read(pathlib.Path(FLAGS.run))
    ranking = Ranking(run)
    rows = []
    for method in FLAGS.methods:
        with doing(f"ranking by {method}"):
            rows.append(ranking.agreements(method))
    terminal.print_rows(f"Units that both remove, of half of all; by chance {_SPARSITY}", rows)


class Ranking:
    """A fine-tuned classifier and its training examples.

    Args:
      run: a finished one.
    """

    def __init__(self, run: finished.Run) -> None:
        import numpy as np

        from bert_glue_tf.data import batching, layouts, preprocessing, readers
        from bert_glue_tf.models import heads, saving
        from bert_glue_tf.training import objective

        self._run = run
        self._model = saving.load_classifier(run.folder.model)
        self._family: Any = saving.family_of(run.folder.model)
        self._layout = layouts.Packed()
        folder = str(run.folder.model / "preprocessing")
        tokenizer = preprocessing.build(
            preprocessing.load(folder, folder), run.task.text_fields, run.config.seq_length
        )
        read = readers.load_for_training(run.task, run.config.data, run.config.train_examples)
        self._split = batching.tokenize(tokenizer, "train", read["train"])
        self._objective = objective.build(run.config, run.task)
        self._trainee = objective.Trainee(
            heads.over(self._model, self._layout.inputs), self._objective
        )
        self._trainee.compile(optimizer="sgd", is_filled_up=False)
        order = np.random.default_rng(1).permutation(len(self._split))
        self._batches = [order[i : i + _BATCH] for i in range(0, len(order), _BATCH)]

    def agreements(self, method: str) -> dict[str, Any]:
        """Return the agreement of rankings by the gradients of some batches.

        Args:
          method: name of the pruning method.
        """
        import numpy as np

        whole = self._removed(method, self._batches)
        many = self._batches[: FLAGS.examples // _BATCH]
        some = self._removed(method, many)
        single = [self._removed(method, [batch]) for batch in self._batches[:_SINGLE]]
        halves = [self._removed(method, self._batches[i::2]) for i in (0, 1)]
        pairs = [_share(*pair) for pair in itertools.combinations(single, 2)]
        return {
            "method": method,
            "two batches": f"{np.mean(pairs):.2f}",
            "a batch, all": f"{np.mean([_share(one, whole) for one in single]):.2f}",
            "two halves": f"{_share(*halves):.2f}",
            f"{sum(map(len, many)):,}, all": f"{_share(some, whole):.2f}",
            "examples": f"{len(self._split):,}",
        }

    def _removed(self, method: str, batches: list[Any]) -> np.ndarray:
        """Return which units go, bool over all groups, by the gradients of some batches."""
        import numpy as np
        import tensorflow as tf

        from bert_glue_tf.compression import registry
        from bert_glue_tf.compression.schedule import PruningContext
        from bert_glue_tf.runs.config import ExperimentConfig
        from bert_glue_tf.training.gradients import TrainingGradients

        config = ExperimentConfig(
            task=self._run.config.task,
            pruning_method=method,
            pruning_options="examples=0",
            pruning_schedule="one_shot",
            begin_step=0,
            final_sparsity=_SPARSITY,
        )
        made: Any = registry.build(config)
        made.backbone = self._family
        made.prepare(self._model, PruningContext.from_config(config, 1, made.waits))
        targets = self._objective.targets(self._split)

        def dataset() -> Any:
            for batch in batches:
                learned = {name: values[batch] for name, values in targets.items()}
                yield self._layout.features(self._split.tokens, batch), learned

        sizes = list(map(len, batches))
        strategy = tf.distribute.get_strategy()
        made.learn_from(TrainingGradients(strategy, self._trainee, sizes, dataset))
        made._measure()
        masks = made.choose([made.score(group) for group in made.all_groups], _SPARSITY)
        return np.concatenate([~mask.reshape(-1) for mask in masks])


def _share(one: np.ndarray, other: np.ndarray) -> float:
    return float(other[one].mean())


if __name__ == "__main__":
    cli.run(main, __doc__)
