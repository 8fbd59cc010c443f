"""Benchmark: the cost of masks in training, a step with a pruning method over one without.

python benchmarks/mask_overhead.py

Models with the embedded encoder, one for each method, train on the same random sentences in turns,
a few steps of each at a time, masks updated as in a training of `--steps` steps. Only the ratios
mean something on another machine.
"""

from __future__ import annotations

import time
from typing import Any

from absl import flags, logging

from bert_glue_tf.compression import names
from bert_glue_tf.core import cli
from bert_glue_tf.data.preprocessing import INPUTS

flags.DEFINE_list("methods", ["magnitude", "movement", "gradient"], "Methods to compare with none.")
flags.DEFINE_integer("batch_size", 32, "Sentences a step.")
flags.DEFINE_integer("length", 64, "Word pieces of a sentence.")
flags.DEFINE_integer("steps", 345, "Steps of the training that is imitated (MRPC, three epochs).")
flags.DEFINE_integer("turns", 8, "Turns of each.")
flags.DEFINE_integer("steps_a_turn", 6, "Steps of a turn.")
FLAGS = flags.FLAGS


def main() -> None:
    import numpy as np

    from bert_glue_tf.compression import registry
    from bert_glue_tf.compression.schedule import PruningContext
    from bert_glue_tf.compression.start import Start
    from bert_glue_tf.data import tasks
    from bert_glue_tf.models import classifiers, encoders, loading
    from bert_glue_tf.reports import terminal
    from bert_glue_tf.runs.config import ExperimentConfig
    from bert_glue_tf.training.optimizer import build_optimizer

    task = tasks.get("mrpc")
    random = np.random.default_rng(0)
    shape = (FLAGS.batch_size, FLAGS.length)
    features = {name: np.ones(shape, np.int32) for name in INPUTS}
    features["input_word_ids"] = random.integers(1000, 30000, shape).astype(np.int32)
    labels = random.integers(0, 2, FLAGS.batch_size).astype(np.int32)
    source = loading.load(encoders.resolve("minilm_l6"))
    models: dict[str, Any] = {}
    drivers: dict[str, list[Any]] = {}

    def train(name: str) -> None:
        models[name].train_on_batch(features, labels)
        for callback in drivers[name]:
            callback.on_train_batch_end(0)

    for name in (names.NO_PRUNING, *FLAGS.methods):
        logging.info("building %s", name)
        config = ExperimentConfig(
            task="mrpc", pruning_method=name, final_sparsity=0.5, encoder_dropout=0.0, begin_step=1
        )
        encoder = source.build(dropout=0.0)
        method = registry.build(config)
        context = PruningContext.from_config(config, FLAGS.steps, method.waits)
        method.reshape(
            Start(source, None, task, None, {}, None, 0.5, FLAGS.length, 1)  # type: ignore[arg-type]
        )
        model = method.prepare(
            classifiers.build_classifier(encoder.layer, task, dropout=0.0, seed=1), context
        )
        model.compile(
            optimizer=method.wrap_optimizer(build_optimizer(config, FLAGS.steps)),
            loss=task.problem.keras_loss(),
        )
        models[name] = model
        drivers[name] = method.callbacks()
        for callback in drivers[name]:
            callback.set_model(model)
            callback.on_train_begin()
        for _ in range(3):  # Traces the graph, and the first updates.
            train(name)
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(FLAGS.turns):
        for name in models:
            start = time.perf_counter()
            for _ in range(FLAGS.steps_a_turn):
                train(name)
            seconds[name].append((time.perf_counter() - start) / FLAGS.steps_a_turn)
    plain = np.array(seconds[names.NO_PRUNING])
    rows = []
    for name, values in seconds.items():
        # Turns that follow each other have met the same neighbours on the machine.
        ratios = np.array(values) / plain
        rows.append(
            {
                "method": name,
                "of none (median)": f"{np.median(ratios):.3f}",
                "of none (fastest turns)": f"{min(values) / plain.min():.3f}",
                "seconds a step (median)": f"{np.median(values):.3f}",
            }
        )
    terminal.print_rows("a step with masks", rows)


if __name__ == "__main__":
    cli.run(main, __doc__)
