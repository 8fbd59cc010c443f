"""A process of benchmarks/training_steps.py that trains with this project, a few steps when told.

It builds the training as the command `train` does, and runs the function that `fit` calls for each
step. It reads a JSON object a line from standard input, and answers with one on standard output:

{"do": "begin"}               -> the batches of the first epoch, as lists of examples
{"do": "steps", "count": 6}   -> seconds, positions and pieces of these steps, and memory
{"do": "products"}            -> seconds of the matrix products of all steps so far, by themselves
{"do": "profile", "count": 6} -> seconds of each type of operation
{"do": "epochs", "count": 6, "steps": 20} -> memory after each epoch, with its validation
"""

from __future__ import annotations

import collections
import dataclasses
import json
import pathlib
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import training_products

from bert_glue_tf.data import batching, layouts, packing
from bert_glue_tf.runs import config
from bert_glue_tf.runs.run_folder import RunFolder


class _Grouped(batching.Batching):
    """Batches of similar length, in random order: what packing makes needless."""

    def epoch(self, split: batching.Split, epoch: int) -> list[np.ndarray]:
        """Return the batches of one epoch."""
        layout = layouts.Padded(lengths=layouts.bucket_lengths(512))
        random = np.random.default_rng([self.seed, epoch])
        order = random.permutation(len(split))
        batches = layout.batches(split.tokens.lengths[order], self.size)
        random.shuffle(batches)
        return [order[batch] for batch in batches]


class Worker:
    """A training that stands still between its steps."""

    def __init__(
        self, settings: config.ExperimentConfig, folder: pathlib.Path, is_grouped: bool
    ) -> None:
        """Build the training.

        Args:
          settings: of it.
          folder: becomes a run's.
          is_grouped: whether a batch has sentences of similar length.
        """
        from bert_glue_tf.training import devices, inputs, laying_out, loop, network, plan
        from bert_glue_tf.training.job import Job

        job = Job(settings, RunFolder.open(folder, settings), devices.build("cpu"))
        data = inputs.read(job, None)
        self._plan = plan.make(job, data)
        self._network = network.build(job, data, self._plan, None)
        backbone = self._network.backbone
        self._split, self._validation = data.tokenize(backbone.preprocessing)
        if is_grouped:
            grouped = _Grouped(self._plan.batching.size, self._plan.batching.seed)
            self._plan = dataclasses.replace(self._plan, batching=grouped)
        self._layouts = laying_out.choose(job, self._plan, backbone, self._split, self._validation)
        self._trainee = loop._compile(
            job, data, self._plan, self._network, self._layouts, self._split
        )
        self._task = data.task
        self._dataset = loop._dataset(
            job,
            self._plan,
            self._layouts,
            self._split,
            loop._Position(0, 0),
            self._trainee.objective,
        )
        self._steps, self._shapes = iter(self._dataset), iter(self._dataset)
        self._seen: list[training_products.Shape] = []
        self._train = self._trainee.make_train_function()
        self._callbacks = self._plan.method.callbacks()
        for callback in self._callbacks:
            callback.set_model(self._trainee)
            callback.on_train_begin()

    def begin(self) -> dict[str, Any]:
        """Return the examples of each batch of the first epoch."""
        batches = self._plan.batching.epoch(self._split, 0)
        return {"batches": [batch.tolist() for batch in batches]}

    def steps(self, count: int) -> dict[str, Any]:
        """Train some steps, and return what they took."""
        positions = pieces = 0
        for _ in range(count):
            features = next(self._shapes)[0]
            # Of padded features 1 where there is a piece, of packed ones its text's number.
            mask = features.get("input_mask", features.get(packing.TEXTS)).numpy()
            pooled = len(features[packing.FIRSTS]) if packing.FIRSTS in features else 0
            self._seen.append(training_products.Shape(len(mask), mask.shape[1], pooled))
            positions += mask.size
            pieces += int((mask != 0).sum())
        start = time.perf_counter()
        for _ in range(count):
            self._step()
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "positions": positions, "pieces": pieces, **memory()}

    def _step(self) -> None:
        self._train(self._steps)
        for callback in self._callbacks:
            callback.on_train_batch_end(0)

    def products(self) -> dict[str, Any]:
        """Return the seconds of a step's matrix products, and their operations."""
        import tensorflow as tf

        def multiply(left: Any, right: Any) -> Any:
            squeeze = left[0], right[0]  # As a dense layer has it: without a leading axis.
            a, b = (tf.constant(one) for one in (squeeze if len(left) == 1 else (left, right)))
            product = tf.function(tf.linalg.matmul)
            return lambda: product(a, b).numpy()

        backbone: Any = self._network.backbone
        seconds, operations = training_products.seconds(self._seen, backbone.architecture, multiply)
        return {"seconds": seconds, "operations": operations}

    def profile(self, count: int) -> dict[str, Any]:
        """Return the seconds of each type of operation in a step, by TensorFlow's profiler."""
        import tensorflow as tf
        import training_profile

        with tempfile.TemporaryDirectory() as folder:
            tf.profiler.experimental.start(folder)
            start = time.perf_counter()
            for _ in range(count):
                self._step()
            seconds = time.perf_counter() - start
            tf.profiler.experimental.stop()
            (trace,) = pathlib.Path(folder).rglob("*.xplane.pb")
            spent: dict[str, float] = collections.defaultdict(float)
            for node, operation, taken in training_profile.events(trace):
                spent[f"{node}:{operation}"] += taken
        return {
            "seconds": seconds / count,
            "operations": {name: value / count for name, value in spent.items()},
        }

    def epochs(self, count: int, steps: int) -> dict[str, Any]:
        """Return the resident bytes after each of some epochs of Keras's `fit`."""
        import tf_keras

        from bert_glue_tf.training import callbacks, scoring

        resident: list[int] = []
        scores = scoring.Scoring(self._task, self._validation, self._layouts.scoring)
        noted = tf_keras.callbacks.LambdaCallback(
            on_epoch_end=lambda *_: resident.append(memory()["resident"])
        )
        self._trainee.fit(
            self._dataset,
            epochs=count,
            steps_per_epoch=steps,
            verbose=0,
            callbacks=[
                *self._plan.method.callbacks(),
                callbacks.Validate(
                    scores.while_training(
                        scores.predict_fn(self._network.model), self._network.model
                    )
                ),
                noted,
            ],
        )
        return {"resident": resident}


def memory() -> dict[str, int]:
    """Return the bytes that the process holds now and the most that it has held."""
    import psutil

    from bert_glue_tf.evaluation import cost

    return {"resident": psutil.Process().memory_info().rss, "peak": cost.peak_memory_bytes()}


def serve(worker: Any) -> None:
    """Answer the requests on standard input until it ends."""
    for line in sys.stdin:
        request: Mapping[str, Any] = json.loads(line)
        arguments = {name: value for name, value in request.items() if name != "do"}
        print(json.dumps(getattr(worker, request["do"])(**arguments)), flush=True)


def main() -> None:
    settings = config.ExperimentConfig.from_json(json.loads(sys.argv[1]))
    with tempfile.TemporaryDirectory() as folder:
        serve(Worker(settings, pathlib.Path(folder) / "run", sys.argv[2] == "grouped"))


if __name__ == "__main__":
    main()
