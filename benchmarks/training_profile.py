"""Where the time of a training step goes, by TensorFlow's own profiler.

python benchmarks/training_profile.py --task=cola --data=/folder/with/glue --encoder=minilm_l6

Trains the same model on the same batches as the command, and records some steps after the first
ones, which trace the graph. Prints how much of the time the training waits for its input, and
the operations that take longest (on a CPU they overlap on several threads, so that their times add
up to more than the clock's).
"""

from __future__ import annotations

import collections
import pathlib
import tempfile
import time
from collections.abc import Iterator

from absl import flags

from bert_glue_tf.core import cli
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.models import classifiers, encoders, heads, loading
from bert_glue_tf.reports import terminal
from bert_glue_tf.runs import command_line

# The operation that waits for the next batch, as the profiler calls it.
INPUT = "IteratorGetNextOp::DoCompute"
FLAGS = flags.FLAGS


def main() -> None:
    settings = command_line.from_flags(FLAGS)
    source = encoders.resolve(settings.encoder, settings.preprocessing)
    encoders.check(source, settings.seq_length)

    import tensorflow as tf

    from bert_glue_tf.compression import registry
    from bert_glue_tf.compression.schedule import PruningContext
    from bert_glue_tf.compression.start import Start
    from bert_glue_tf.data import batching, layouts, packing, preprocessing, readers
    from bert_glue_tf.training.optimizer import build_optimizer

    task = tasks.get(settings.task)
    examples = readers.load(task, settings.data, "train", settings.train_examples)
    encoder = loading.load(source, seq_length=settings.seq_length).build(
        None if settings.encoder_dropout < 0 else settings.encoder_dropout
    )
    steps = FLAGS.warmup_steps + FLAGS.steps
    method = registry.build(settings)
    start = Start(
        backbone=encoder,
        classifier=None,
        task=task,
        train=examples,
        validation={},
        held_out=None,
        sparsity=settings.final_sparsity,
        seq_length=settings.seq_length,
        seed=settings.seed,
    )
    encoder = method.reshape(start).backbone
    with classifiers.restorable_dropout():
        model = classifiers.build_classifier(
            encoder.layer, task, dropout=settings.dropout, seed=settings.seed
        )
        method.reshape(
            Start(encoder, None, task, examples, {}, None, 0.0, settings.seq_length, settings.seed)
        )
        model = method.prepare(model, PruningContext.from_config(settings, steps, method.waits))
    preprocessor = preprocessing.build(encoder.preprocessing, task.text_fields, settings.seq_length)
    train = batching.tokenize(preprocessor, "train", examples)
    layout: layouts.Layout = layouts.Padded(lengths=layouts.bucket_lengths(settings.seq_length))
    if settings.packing != "false":
        layout = layouts.Packed(width=packing.row_width(int(train.tokens.lengths.max())))
    model = heads.over(model, layout.inputs)
    model.compile(
        optimizer=method.wrap_optimizer(build_optimizer(settings, steps)),
        loss=task.problem.keras_loss(),
    )
    batches = batching.Batching(settings.batch_size, settings.seed)
    dataset = batching.training_dataset(train, batches, layout, epochs=range(1000))

    def fit(count: int) -> float:
        start = time.perf_counter()
        model.fit(dataset, steps_per_epoch=count, verbose=0, callbacks=method.callbacks())
        return time.perf_counter() - start

    fit(FLAGS.warmup_steps)
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        seconds = fit(FLAGS.steps)
        tf.profiler.experimental.stop()
        (trace,) = pathlib.Path(folder).rglob("*.xplane.pb")
        spent, calls = read(trace)
    if calls[INPUT] < FLAGS.steps:
        raise UserError(
            f"the profiler's record names {INPUT} {calls[INPUT]} times in {FLAGS.steps} steps: "
            "this TensorFlow calls the wait for input something else."
        )
    waiting = spent.pop(INPUT)
    print(
        f"{task.name}, {FLAGS.steps} steps of {settings.batch_size} examples: "
        f"{1e3 * seconds / FLAGS.steps:.1f} ms a step, of which waiting for input "
        f"{1e3 * waiting / FLAGS.steps:.2f} ms ({100 * waiting / seconds:.2f} %)"
    )
    top = sorted(spent, key=lambda name: -spent[name])[: FLAGS.operations]
    terminal.print_rows(
        "operations, ms a step",
        [
            {
                "operation": name,
                "ms": f"{1e3 * spent[name] / FLAGS.steps:.2f}",
                "of the step": f"{100 * spent[name] / seconds:.1f} %",
                "calls": f"{calls[name] / FLAGS.steps:.0f}",
            }
            for name in top
        ],
    )


def events(trace: pathlib.Path) -> Iterator[tuple[str, str, float]]:
    """Yield node, type of operation and seconds of each event of the host's threads.

    The node of the wait for input is empty, and its type is `INPUT`.
    """
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace()
    space.ParseFromString(trace.read_bytes())
    for plane in space.planes:
        if not plane.name.startswith("/host:CPU"):
            continue
        names = {key: event.name for key, event in plane.event_metadata.items()}
        for line in plane.lines:
            for event in line.events:
                # "model/dense/MatMul:MatMul": the node and its operation.
                name = names[event.metadata_id]
                node, _, operation = name.rpartition(":")
                if name == INPUT:
                    yield "", INPUT, event.duration_ps / 1e12
                elif node and "::" not in name and " " not in name:
                    yield node, operation, event.duration_ps / 1e12


def read(trace: pathlib.Path) -> tuple[dict[str, float], dict[str, int]]:
    """Return the seconds and the calls of each type of operation."""
    spent: dict[str, float] = collections.defaultdict(float)
    calls: dict[str, int] = collections.defaultdict(int)
    for _, operation, seconds in events(trace):
        spent[operation] += seconds
        calls[operation] += 1
    return spent, calls


if __name__ == "__main__":
    command_line.define_flags()
    flags.DEFINE_integer("steps", 40, "Steps that are recorded.")
    flags.DEFINE_integer("warmup_steps", 25, "Steps before; each new length allocates.")
    flags.DEFINE_integer("operations", 25, "Operations to list.")
    cli.run(main, __doc__)
