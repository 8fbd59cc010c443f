"""Training speed with and without length buckets, interleaved in one run.

python benchmarks/length_buckets.py --task=cola --data=/folder/with/glue --encoder=minilm_l6

Both ways train the same model on the same examples: rounds of bucketed batches and of
batches padded to --seq_length take turns, so that a change in the machine's speed meets both.
Only the ratio means something on another machine.
"""

from __future__ import annotations

import statistics
import time

from absl import flags, logging

from bert_glue_tf import cli, config, encoders, tasks

config.define_flags()
flags.DEFINE_integer("rounds", 5, "Rounds of each kind that are measured.")
flags.DEFINE_integer("steps", 12, "Training steps a round.")
FLAGS = flags.FLAGS


def main() -> None:
    settings = config.from_flags(FLAGS)
    source = encoders.resolve(settings.encoder, settings.preprocessing)
    encoders.check(source, settings.seq_length)

    import numpy as np

    from bert_glue_tf import batching, data, modeling, optimization, preprocessing

    task = tasks.get(settings.task)
    examples = data.load(task, settings.data, "train", settings.train_examples)
    encoder = encoders.load(source, seq_length=settings.seq_length)
    model = modeling.build_classifier(
        encoder.layer, task, dropout=settings.dropout, seed=settings.seed
    )
    model.compile(
        optimizer=optimization.build_optimizer(settings, total_steps=10_000),
        loss=modeling.build_loss(task),
    )
    preprocessor = preprocessing.build(encoder.preprocessing, task.text_fields, settings.seq_length)
    tokens = preprocessing.tokenize(preprocessor, examples.texts)
    assert examples.labels is not None
    split = batching.Split("train", tokens, examples.labels)
    plans = {
        "length buckets": batching.bucket_lengths(settings.seq_length, True),
        f"padded to {settings.seq_length}": batching.bucket_lengths(settings.seq_length, False),
    }

    def train(buckets: tuple[int, ...], batches: list[batching.Batch]) -> float:
        """Examples a second over the batches, each padded to a bucket of `buckets`."""
        start = time.perf_counter()
        for batch in batches:
            fitting = min(length for length in buckets if length >= batch.length)
            features = split.tokens.batch(batch.indices, fitting)
            model.train_on_batch(features, split.labels[batch.indices])
        return sum(len(batch.indices) for batch in batches) / (time.perf_counter() - start)

    bucketed, padded = plans
    grouped = batching.epoch_batches(
        split, settings.batch_size, plans[bucketed], settings.seed, epoch=0
    )
    if len(grouped) < FLAGS.steps * FLAGS.rounds:
        logging.warning("fewer batches than --steps times --rounds: some are used again")
    for buckets in plans.values():  # The first call of a shape traces and allocates.
        train(buckets, grouped[: FLAGS.steps])
    speeds: dict[str, list[float]] = {name: [] for name in plans}
    for turn in range(FLAGS.rounds):
        chosen = [
            grouped[(turn * FLAGS.steps + step) % len(grouped)] for step in range(FLAGS.steps)
        ]
        for name, buckets in plans.items():
            speeds[name].append(train(buckets, chosen))
            logging.info("round %d, %s: %.1f examples/s", turn + 1, name, speeds[name][-1])
    ratios = np.divide(speeds[bucketed], speeds[padded])
    print(
        f"{task.name}, {len(split):,} examples, mean length {tokens.lengths.mean():.1f} pieces, "
        f"batch {settings.batch_size}, {FLAGS.rounds} rounds of {FLAGS.steps} steps"
    )
    for name, values in speeds.items():
        print(f"  {name:<16} {statistics.median(values):8.1f} examples/s (median of rounds)")
    print(
        f"  ratio            {np.median(ratios):8.2f} (median; {ratios.min():.2f} to "
        f"{ratios.max():.2f})"
    )


if __name__ == "__main__":
    cli.run(main, __doc__)
