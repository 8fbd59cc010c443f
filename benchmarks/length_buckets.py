"""Training speed of each way to make batches, interleaved in one run.

python benchmarks/length_buckets.py --task=cola --data=/folder/with/glue --encoder=minilm_l6

The same model is trained with random batches padded to --seq_length, the same ones padded to the
smallest bucket that holds them (the default), and with batches of similar length
(--group_by_length). Their rounds take turns, so that a change in the machine's speed meets all.
Only the ratios mean something on another machine.
"""

from __future__ import annotations

import statistics
import time

from absl import flags, logging

from bert_glue_tf.core import cli
from bert_glue_tf.data import tasks
from bert_glue_tf.models import classifiers, encoders, loading
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

    from bert_glue_tf.data import batching, preprocessing, readers
    from bert_glue_tf.training.optimizer import build_optimizer

    task = tasks.get(settings.task)
    examples = readers.load(task, settings.data, "train", settings.train_examples)
    encoder = loading.load(source, seq_length=settings.seq_length)
    model = classifiers.build_classifier(
        encoder.layer, task, dropout=settings.dropout, seed=settings.seed
    )
    model.compile(
        optimizer=build_optimizer(settings, total_steps=10_000),
        loss=task.problem.keras_loss(),
    )
    preprocessor = preprocessing.build(encoder.preprocessing, task.text_fields, settings.seq_length)
    tokens = preprocessing.tokenize(preprocessor, examples.texts)
    assert examples.labels is not None
    split = batching.Split("train", tokens, examples.labels)
    buckets = batching.bucket_lengths(settings.seq_length, True)
    padded = f"padded to {settings.seq_length}"
    drawn, grouped = (
        batching.Batching(settings.batch_size, buckets, settings.seed, by_length).epoch(split, 0)
        for by_length in (False, True)
    )
    plans = {
        padded: [batching.Batch(batch.indices, settings.seq_length) for batch in drawn],
        "length buckets": drawn,
        "grouped by length": grouped,
    }

    def train(batches: list[batching.Batch]) -> float:
        """Examples a second."""
        start = time.perf_counter()
        for batch in batches:
            features = split.tokens.batch(batch.indices, batch.length)
            model.train_on_batch(features, split.labels[batch.indices])
        return sum(len(batch.indices) for batch in batches) / (time.perf_counter() - start)

    if len(drawn) < FLAGS.steps * FLAGS.rounds:
        logging.warning("fewer batches than --steps times --rounds: some are used again")
    for batches in plans.values():  # The first call of a shape traces and allocates.
        whole = [batch for batch in batches if len(batch.indices) == settings.batch_size]
        train(list({batch.length: batch for batch in whole}.values()))
    speeds: dict[str, list[float]] = {name: [] for name in plans}
    for turn in range(FLAGS.rounds):
        steps = range(turn * FLAGS.steps, (turn + 1) * FLAGS.steps)
        for name, batches in plans.items():
            speeds[name].append(train([batches[step % len(batches)] for step in steps]))
            logging.info("round %d, %s: %.1f examples/s", turn + 1, name, speeds[name][-1])
    print(
        f"{task.name}, {len(split):,} examples, mean length {tokens.lengths.mean():.1f} pieces, "
        f"batch {settings.batch_size}, {FLAGS.rounds} rounds of {FLAGS.steps} steps"
    )
    for name, values in speeds.items():
        ratios = np.divide(values, speeds[padded])
        print(
            f"  {name:<18} {statistics.median(values):7.1f} examples/s (median of rounds), "
            f"{np.median(ratios):5.2f} times {padded} ({ratios.min():.2f} to {ratios.max():.2f})"
        )


if __name__ == "__main__":
    cli.run(main, __doc__)
