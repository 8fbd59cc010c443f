"""A linear model on the numbers of arrays, beside which a small network is judged.

python benchmarks/linear_on_pixels.py --task=images --data=/folder/with/small_networks

scikit-learn's LogisticRegression on every number of an example, centred and scaled by the training
split's mean and deviation; of the strengths of its penalty that are given the best on the scored
split is shown as well as all others, which favours the linear model.
"""

from __future__ import annotations

import time

import numpy as np
from absl import flags
from sklearn.linear_model import LogisticRegression

from bert_glue_tf.core import cli
from bert_glue_tf.data import readers
from bert_glue_tf.data.arrays import ArrayExamples
from bert_glue_tf.data.settings import DataSettings

_TASK = flags.DEFINE_string("task", "images", "A task of arrays.")
_DATA = flags.DEFINE_string("data", "", "Where its files are.")
_STRENGTHS = flags.DEFINE_list("c", ["1e-5", "1e-4", "1e-3"], "Inverse strengths of the penalty.")
_ITERATIONS = flags.DEFINE_integer("iterations", 100, "Of the solver, at most.")


def main() -> None:
    settings = DataSettings(task=_TASK.value, data=_DATA.value)
    task = readers.task_of(settings)
    read = readers.load_for_training(task, settings.data)
    train = read["train"]
    assert isinstance(train, ArrayExamples)
    values = train.values.reshape(len(train), -1).astype(np.float32)
    mean, deviation = values.mean(axis=0), values.std(axis=0) + 1e-6
    for strength in map(float, _STRENGTHS.value):
        begin = time.perf_counter()
        model = LogisticRegression(C=strength, max_iter=_ITERATIONS.value)
        model.fit((values - mean) / deviation, train.labels)
        for split in task.scored_splits.values():
            scored = read[split]
            assert isinstance(scored, ArrayExamples)
            numbers = scored.values.reshape(len(scored), -1).astype(np.float32)
            found = model.score((numbers - mean) / deviation, scored.labels)
            seconds = time.perf_counter() - begin
            print(f"{task.name} {split}: accuracy {found:.4f} (C={strength:g}, {seconds:.0f} s)")


if __name__ == "__main__":
    cli.run(main, __doc__)
