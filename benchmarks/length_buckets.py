"""Training speed of each way to make batches, interleaved in one run.

python benchmarks/length_buckets.py --task=cola --data=/folder/with/glue --encoder=minilm_l6

The same model is trained with random batches padded to --seq_length, the same ones padded to the
smallest of a few lengths that holds them (--nopacking), batches of similar length, padded, and the
random ones packed (the default). Their rounds take turns, so that a change in the machine's speed
meets all.
Only the ratios mean something on another machine.
"""

from __future__ import annotations

import statistics
import time

from absl import flags, logging

from bert_glue_tf.core import cli
from bert_glue_tf.data import tasks
from bert_glue_tf.models import classifiers, encoders, heads, loading
from bert_glue_tf.runs import command_line

command_line.define_flags()
flags.DEFINE_integer("rounds", 5, "Rounds of each kind that are measured.")
flags.DEFINE_integer("steps", 12, "Training steps a round.")
FLAGS = flags.FLAGS


def main() -> None:
    settings = command_line.from_flags(FLAGS)
    source = encoders.resolve(settings.encoder, settings.preprocessing)
    encoders.check(source, settings.seq_length)

    import numpy as np
    import tensorflow as tf

    from bert_glue_tf.data import batching, layouts, preprocessing, readers
    from bert_glue_tf.data.layouts import Layout, Packed, Padded
    from bert_glue_tf.training.optimizer import build_optimizer

    task = tasks.get(settings.task)
    examples = readers.load(task, settings.data, "train", settings.train_examples)
    encoder = loading.load(source, seq_length=settings.seq_length)
    model = classifiers.build_classifier(
        encoder.layer, task, dropout=settings.dropout, seed=settings.seed
    )
    preprocessor = preprocessing.build(encoder.preprocessing, task.text_fields, settings.seq_length)
    tokens = preprocessing.tokenize(preprocessor, examples.texts)
    assert examples.labels is not None
    split = batching.Split("train", tokens, examples.labels)
    padded = f"padded to {settings.seq_length}"
    drawn = batching.Batching(settings.batch_size, settings.seed).epoch(split, 0)
    buckets = Padded(lengths=layouts.bucket_lengths(settings.seq_length))
    grouped = buckets.batches(tokens.lengths, settings.batch_size)
    np.random.default_rng(settings.seed).shuffle(grouped)
    width = settings.packing_width or layouts.best_width(
        tokens.lengths, drawn, 1, encoder.positions
    )
    plans: dict[str, tuple[list[np.ndarray], Layout]] = {
        padded: (drawn, Padded(lengths=(settings.seq_length,))),
        "length buckets": (drawn, buckets),
        "grouped by length": (grouped, buckets),
        f"packed, rows of {width}": (drawn, Packed(width=width)),
    }
    optimizer = build_optimizer(settings, total_steps=10_000)
    models = {}
    for name, (_, layout) in plans.items():
        models[name] = heads.over(model, layout.inputs)
        models[name].compile(optimizer=optimizer, loss=task.problem.keras_loss())

    def train(name: str, batches: list[np.ndarray]) -> float:
        """Return the examples a second."""
        layout = plans[name][1]
        labels = tf.TensorSpec([None], tf.as_dtype(split.labels.dtype))
        # Not `train_on_batch`, which wants as many rows of every feature as there are labels.
        dataset = tf.data.Dataset.from_generator(
            lambda: ((layout.features(tokens, one), split.labels[one]) for one in batches),
            output_signature=(layout.signature(), labels),
        )
        start = time.perf_counter()
        models[name].fit(dataset.prefetch(2), verbose=0)
        return sum(map(len, batches)) / (time.perf_counter() - start)

    if len(drawn) < FLAGS.steps * FLAGS.rounds:
        logging.warning("fewer batches than --steps times --rounds: some are used again")
    for name, (batches, _) in plans.items():  # The first calls trace and allocate.
        train(name, batches[: FLAGS.steps // 2])
    speeds: dict[str, list[float]] = {name: [] for name in plans}
    for turn in range(FLAGS.rounds):
        steps = range(turn * FLAGS.steps, (turn + 1) * FLAGS.steps)
        for name, (batches, _) in plans.items():
            speeds[name].append(train(name, [batches[step % len(batches)] for step in steps]))
            logging.info("round %d, %s: %.1f examples/s", turn + 1, name, speeds[name][-1])
    print(
        f"{task.name}, {len(split):,} examples, mean length {tokens.lengths.mean():.1f} pieces, "
        f"batch {settings.batch_size}, {FLAGS.rounds} rounds of {FLAGS.steps} steps"
    )
    for name, values in speeds.items():
        used = layouts.share_used(plans[name][1], tokens.lengths, plans[name][0])
        ratios = np.divide(values, speeds[padded])
        print(
            f"  {name:<22} {100 * used:3.0f} % used, "
            f"{statistics.median(values):7.1f} examples/s (median of rounds), "
            f"{np.median(ratios):5.2f} times {padded} ({ratios.min():.2f} to {ratios.max():.2f})"
        )


if __name__ == "__main__":
    cli.run(main, __doc__)
