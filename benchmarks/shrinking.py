"""Bytes and time of a shrunk classifier beside the whole one, dynamic_int8, interleaved in one run.

python benchmarks/shrinking.py --encoder=minilm_l6

Sets some heads and neurons of every layer to zero, cuts them out, and exports both: the masked
network, which is as slow as the whole one, and the small one. Which of them are cut makes no
difference to the time, so that a classifier that was never trained will do. Only ratios mean
something on another machine.
"""

from __future__ import annotations

import functools
import pathlib
import tempfile

from absl import flags, logging

from bert_glue_tf.core import cli
from bert_glue_tf.data import tasks
from bert_glue_tf.data.preprocessing import INPUTS
from bert_glue_tf.export import convert, quantize
from bert_glue_tf.models import classifiers, encoders, loading, saving
from bert_glue_tf.models.bert.backbone import BertBackbone
from bert_glue_tf.models.bert.classifier_weights import from_weights, weights_of
from bert_glue_tf.models.probing import probe
from bert_glue_tf.models.quantization import recipes

flags.DEFINE_string("encoder", encoders.EMBEDDED, "As for the train command.")
flags.DEFINE_float("heads", 0.5, "Fraction of each layer's heads that is cut out.")
flags.DEFINE_float("neurons", 0.5, "Fraction of each layer's neurons that is cut out.")
flags.DEFINE_list("seq_lengths", ["32", "128"], "Lengths in word pieces.")
flags.DEFINE_integer("repetitions", 100, "Timed runs of each.")
flags.DEFINE_integer("threads", 2, "Threads of LiteRT.")
FLAGS = flags.FLAGS


def main() -> None:
    lengths = tuple(sorted(int(length) for length in FLAGS.seq_lengths))
    source = encoders.resolve(FLAGS.encoder)
    encoders.check(source, lengths[-1])

    import numpy as np

    from bert_glue_tf.evaluation import cost
    from bert_glue_tf.export import litert
    from bert_glue_tf.models.bert import shrinking
    from bert_glue_tf.reports import terminal

    task = tasks.get("sst2")
    encoder = loading.load(source, family="bert", seq_length=lengths[-1])
    assert isinstance(encoder, BertBackbone)
    model = classifiers.build_classifier(encoder.layer, task, dropout=0.0, seed=1)
    masked = weights_of(model, encoder.architecture)
    random = np.random.default_rng(1)

    def some(number: int, fraction: float) -> np.ndarray:
        return random.choice(number, round(fraction * number), replace=False)

    for index, block in enumerate(masked.architecture.each_block()):
        at = f"transformer/layer_{index}"
        heads = some(block.heads, FLAGS.heads)
        masked.encoder[f"{at}/self_attention/attention_output/kernel"][heads] = 0
        masked.encoder[f"{at}/output/kernel"][some(block.inner_dim, FLAGS.neurons)] = 0
    small, report = shrinking.shrink(masked)
    print("\n".join(report.lines()))

    models, sizes = {}, {}
    features = probe(masked.architecture.vocab_size, batch=3, length=lengths[0])
    logits = {}
    for name, weights in (("masked", masked), ("shrunk", small)):
        logging.info("exporting the %s network", name)
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "model"
            saving.save(from_weights(weights), encoder, task, path)
            content = convert.convert(path, lengths)
        logits[name] = litert.LiteModel(content, FLAGS.threads).predict(features)
        content = quantize.quantize(content, recipes.get("dynamic_int8").rules)
        models[name], sizes[name] = litert.LiteModel(content, FLAGS.threads), len(content)
    gap = np.abs(logits["shrunk"] - logits["masked"]).max()
    print(f"largest difference of the float32 files' logits: {gap:.1e}")

    rows = []
    for length in lengths:
        inputs = {name: np.ones((1, length), np.int32) for name in INPUTS}
        timed = cost.interleaved_latency(
            {name: functools.partial(model.predict, inputs) for name, model in models.items()},
            FLAGS.repetitions,
        )
        for name in models:
            ratios = {key: timed["masked"][key] / timed[name][key] for key in ("min", "p50")}
            rows.append(
                {
                    "length": str(length),
                    "network": name,
                    "file, MB": f"{sizes[name] / 1e6:.2f}",
                    "min, ms": f"{timed[name]['min']:.2f}",
                    "p50, ms": f"{timed[name]['p50']:.2f}",
                    "times faster, min": f"{ratios['min']:.2f}",
                    "times faster, p50": f"{ratios['p50']:.2f}",
                }
            )
    terminal.print_rows(f"{FLAGS.encoder}, dynamic_int8, {FLAGS.threads} threads", rows)


if __name__ == "__main__":
    cli.run(main, __doc__)
