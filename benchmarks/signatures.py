"""One file with a signature for each length, or a file for each length: bytes and time.

python benchmarks/signatures.py --run=runs/cola-minilm_l6-glue-none-seed1

All files are dynamic_int8. Each length is timed in the file of that length alone and in the one
with all lengths, in turns; besides, the sentence of the shortest length padded to the longest,
which is what a file that knows only that length has to do. Only ratios mean something on another
machine.
"""

from __future__ import annotations

import functools
import pathlib
import tempfile

from absl import flags, logging

from bert_glue_tf.core import cli
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.preprocessing import INPUTS
from bert_glue_tf.export import convert, measure, quantize
from bert_glue_tf.models.quantization import recipes
from bert_glue_tf.runs import finished

flags.DEFINE_string("run", "", "Folder of a finished run of the train command.")
flags.DEFINE_list("seq_lengths", ["32", "64", "128"], "Lengths in word pieces.")
flags.DEFINE_integer("repetitions", 50, "Timed runs of each.")
flags.DEFINE_integer("threads", 2, "Threads of LiteRT.")
FLAGS = flags.FLAGS


def main() -> None:
    if not FLAGS.run:
        raise UserError("--run is missing. Give the folder of a finished run.")
    import numpy as np

    from bert_glue_tf.evaluation import cost
    from bert_glue_tf.export import litert
    from bert_glue_tf.reports import terminal

    run = finished.Run.read(pathlib.Path(FLAGS.run))
    lengths = tuple(sorted(int(length) for length in FLAGS.seq_lengths))
    rules = recipes.RECIPES["dynamic_int8"].rules
    files = {}
    for some in (*((length,) for length in lengths), lengths):
        logging.info("converting, length %s", ", ".join(map(str, some)))
        files[some] = quantize.quantize(convert.convert(run.folder.model, some), rules)
    models = {some: litert.LiteModel(content, FLAGS.threads) for some, content in files.items()}
    memory = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, (some, content) in enumerate(files.items()):
            path = pathlib.Path(folder) / f"{number}.tflite"
            path.write_bytes(content)
            memory[some] = measure.peak_memory_of_prediction(path, FLAGS.threads)["total"]

    def call(some: tuple[int, ...], length: int) -> functools.partial[np.ndarray]:
        features = {name: np.ones((1, length), np.int32) for name in INPUTS}
        return functools.partial(models[some].predict, features)

    calls = {}
    for length in lengths:
        calls[f"{length}, own file"] = call((length,), length)
        calls[f"{length}, shared file"] = call(lengths, length)
    timed = cost.interleaved_latency(calls, FLAGS.repetitions)
    longest = timed[f"{lengths[-1]}, own file"]["p50"]
    rows = []
    for length in lengths:
        own, shared = (timed[f"{length}, {kind} file"]["p50"] for kind in ("own", "shared"))
        rows.append(
            {
                "length": str(length),
                "own file, MB": f"{len(files[(length,)]) / 1e6:.2f}",
                "own file, ms": f"{own:.2f}",
                "shared file, ms": f"{shared:.2f}",
                "shared / own": f"{shared / own:.2f}",
                f"padded to {lengths[-1]} / shared": f"{longest / shared:.2f}",
            }
        )
    terminal.print_rows(f"{run.path.name}, dynamic_int8, {FLAGS.threads} threads", rows)
    alone = sum(len(files[(length,)]) for length in lengths)
    print(
        f"One file for all lengths: {len(files[lengths]) / 1e6:.2f} MB; a file for each: "
        f"{alone / 1e6:.2f} MB. Peak memory of a process that predicts once: "
        f"{memory[lengths] / 1e6:.0f} MB shared, {memory[(lengths[-1],)] / 1e6:.0f} MB for the "
        f"longest alone."
    )


if __name__ == "__main__":
    cli.run(main, __doc__)
