"""Positions that the training steps of a task compute, counted for each way to lay out a batch.

python benchmarks/positions.py --data=/folder/with/glue --encoder=minilm_l6

The work of a step grows with its positions, whether they hold a word piece or not. Nothing is
trained here: the batches of all epochs are drawn as a training draws them, and their arrays are
measured. "One shape" is what a TPU gets, where each batch has as many positions as the fullest.
"""

from __future__ import annotations

from absl import flags

from bert_glue_tf.core import cli
from bert_glue_tf.data import tasks
from bert_glue_tf.models import encoders, loading
from bert_glue_tf.reports import terminal
from bert_glue_tf.runs import command_line

command_line.define_flags()
flags.DEFINE_list("tasks", ["cola", "sst2", "mrpc"], "Tasks whose texts are counted.")
FLAGS = flags.FLAGS


def main() -> None:
    import numpy as np

    from bert_glue_tf.data import batching, layouts, preprocessing, readers
    from bert_glue_tf.data.layouts import Layout, Packed, Padded

    settings = command_line.from_flags(FLAGS)
    source = encoders.resolve(settings.encoder, settings.preprocessing)
    encoders.check(source, settings.seq_length)
    encoder = loading.load(source, seq_length=settings.seq_length)
    for name in FLAGS.tasks:
        task = tasks.get(name)
        examples = readers.load(task, settings.data, "train", settings.train_examples)
        preprocessor = preprocessing.build(
            encoder.preprocessing, task.text_fields, settings.seq_length
        )
        tokens = preprocessing.tokenize(preprocessor, examples.texts)
        assert examples.labels is not None
        split = batching.Split("train", tokens, examples.labels)
        lengths = tokens.lengths
        size = settings.batch_size
        drawn = batching.Batching(size, settings.seed)
        first = drawn.epoch(split, 0)
        batches = [batch for epoch in range(settings.epochs) for batch in drawn.epoch(split, epoch)]
        width = settings.packing_width or layouts.best_width(lengths, first, 1, encoder.positions)
        packed = Packed(width=width)
        rows = Packed(width=width, size=size).most_rows(lengths, batches)
        one_shape = Packed(width=width, size=size, rows=rows)
        kinds: dict[str, Layout] = {
            f"padded to {settings.seq_length}, one shape": Padded(
                lengths=(settings.seq_length,), size=size
            ),
            "padded to the batch's longest": Padded(lengths=tuple(range(1, width + 1))),
            f"packed, rows of {width}": packed,
            f"packed, {one_shape.rows} rows of {width}, one shape": one_shape,
        }
        whole = size * settings.seq_length
        table = []
        for kind, layout in kinds.items():
            filled = [layouts.fill_up(one, lengths, 1, layout.size)[0] for one in batches]
            positions = float(np.mean([layout.positions(lengths[batch]) for batch in filled]))
            table.append(
                {
                    "": kind,
                    "positions a batch": f"{positions:,.0f}",
                    f"of {whole:,}": f"1/{whole / positions:.1f}",
                    "used": f"{layouts.share_used(layout, lengths, batches):.0%}",
                }
            )
        terminal.print_rows(
            f"{name}: {len(split):,} texts of {lengths.mean():.1f} pieces, "
            f"{len(batches):,} batches of {size}",
            table,
        )


if __name__ == "__main__":
    cli.run(main, __doc__)
