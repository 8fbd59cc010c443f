"""Program: time several texts together in one file, beside the same texts one by one, in turns.

python benchmarks/batches.py --run=runs/cola1

Makes a dynamic_int8 file with a batch. Prints milliseconds of all texts
of a batch, the least and the median of the repetitions.
"""

from __future__ import annotations

import pathlib
import time

import numpy as np
from absl import app, flags

from bert_glue_tf.data.preprocessing import INPUTS
from bert_glue_tf.export import convert, quantize
from bert_glue_tf.export.litert import LiteModel
from bert_glue_tf.models.quantization import recipes

FLAGS = flags.FLAGS
flags.DEFINE_string("run", "", "Folder of a finished run.")
flags.DEFINE_list("seq_lengths", ["16", "24", "48"], "Lengths in word pieces.")
flags.DEFINE_integer("batch", 8, "Texts at a time.")
flags.DEFINE_integer("threads", 1, "Threads of LiteRT; predict gives each copy of a file one.")
flags.DEFINE_integer("repetitions", 60, "Timed runs of each way.")


def main(argv: list[str]) -> None:
    """Convert, time and print."""
    del argv
    lengths, batch = sorted(map(int, FLAGS.seq_lengths)), FLAGS.batch
    folder = pathlib.Path(FLAGS.run) / "model"
    rules = recipes.get("dynamic_int8").rules
    files = [
        quantize.quantize(convert.convert(folder, lengths, batches), rules)
        for batches in ((1,), (1, batch))
    ]
    model = LiteModel(files[1], FLAGS.threads)
    plain, with_batch = (len(content) / 1e6 for content in files)
    print(f"without a batch {plain:.1f} MB, with one of {batch} {with_batch:.1f} MB\n")
    print("| length | together, ms | one by one, ms | together, median | one by one, median |")
    print("|---|---|---|---|---|")
    for length in lengths:
        together = {name: np.ones((batch, length), np.int32) for name in INPUTS}
        alone = [{name: row[i : i + 1] for name, row in together.items()} for i in range(batch)]
        found: tuple[list[float], list[float]] = ([], [])
        for _ in range(FLAGS.repetitions):
            for seconds, features in zip(found, ([together], alone), strict=True):
                start = time.perf_counter()
                for one in features:
                    model.predict(one)
                seconds.append(time.perf_counter() - start)
        least = " | ".join(f"{1e3 * min(one):.2f}" for one in found)
        median = " | ".join(f"{1e3 * np.median(one):.2f}" for one in found)
        print(f"| {length} | {least} | {median} |")


if __name__ == "__main__":
    app.run(main)
