"""Which algorithm and block size cost int4 the least: size, noise, flipped labels.

python benchmarks/int4_algorithms.py --run=runs/cola-minilm_l6-glue-none-seed1

Needs the run's export (python -m bert_glue_tf.export_tflite --run=...): its float32 file is what
is quantized here, its float32 predictions what is compared with.
"""

from __future__ import annotations

import pathlib

from absl import flags

from bert_glue_tf.core import cli
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import batching
from bert_glue_tf.data.layouts import Padded
from bert_glue_tf.evaluation import predictions
from bert_glue_tf.export import quantize
from bert_glue_tf.export.folder import FOLDER, ExportFolder
from bert_glue_tf.models.quantization import recipes
from bert_glue_tf.runs import finished

flags.DEFINE_string("run", "", "Folder of a finished run with an export.")
FLAGS = flags.FLAGS
_VARIANTS = (
    (0, "min_max_uniform_quantize"),
    (0, "MSE"),
    (0, "OCTAV"),
    *((block, name) for block in (32, 64, 128) for name in ("min_max_uniform_quantize", "OCTAV")),
)


def main() -> None:
    if not FLAGS.run:
        raise UserError("--run is missing. Give the folder of a finished run with an export.")
    import numpy as np

    from bert_glue_tf.data import preprocessing, readers, tasks
    from bert_glue_tf.evaluation import evaluator, metrics
    from bert_glue_tf.export import litert
    from bert_glue_tf.reports import terminal

    run = finished.Run.read(pathlib.Path(FLAGS.run))
    folder = ExportFolder(run.path / FOLDER)
    if "float32" not in folder.records():
        raise UserError(f"{folder.path}: no float32 file. Export the run first.")
    task = tasks.get(run.config.task)
    float32 = folder.model("float32").read_bytes()
    lengths = litert.LiteModel(float32).lengths
    tokenizer = str(folder.preprocessing)
    preprocessor = preprocessing.build(
        preprocessing.load(tokenizer, tokenizer), task.text_fields, lengths[-1]
    )
    name = next(iter(task.validation_splits.values()))
    examples = readers.load(task, run.config.data, name)
    split = batching.tokenize(preprocessor, name, examples)
    expected = predictions.read(folder.predictions_file("float32", name), task).logits
    metric = task.primary_metric
    rows = []
    for block, algorithm in _VARIANTS:
        rule = recipes.Rule(
            "FULLY_CONNECTED", r"layer_\d", weight_bits=4, block=block, algorithm=algorithm
        )
        content = quantize.quantize(float32, (*recipes.DYNAMIC_RULES, rule))
        logits = evaluator.predict(
            litert.LiteModel(content).predict, split.tokens, 64, Padded(lengths=tuple(lengths))
        )
        score = metrics.compute(task, split.labels, logits)[metric]
        noise = np.mean(np.square(logits - expected)) / expected.var()
        rows.append(
            {
                "weights a scale": str(block or "a row"),
                "algorithm": algorithm,
                "MB": f"{len(content) / 1e6:.2f}",
                metric: f"{score:.4f}",
                "flips": str(task.problem.flips(expected, logits)),
                "noise": f"{noise:.4f}",
            }
        )
    float_score = metrics.compute(task, split.labels, expected)[metric]
    terminal.print_rows(f"{run.path.name}, int4; float32 has {metric} {float_score:.4f}", rows)


if __name__ == "__main__":
    cli.run(main, __doc__)
