"""Bytes of BERT-base quantized by PyTorch, as in the report, and as our files.

.venv/bin/python benchmarks/base_sizes.py
PYTHONPATH=. .venv-peers/bin/python benchmarks/base_sizes.py --torch

Sizes ask for no trained weights, so that these are random: nothing has to be downloaded. With
`--torch`, in the environment of `make bench-peers`, what the report did: `quantize_dynamic` on the
linear layers, and the size of the saved state. Else our float32 SavedModel and the files of
--recipes. The classifier has two classes, the vocabulary is BERT's own.
"""

from __future__ import annotations

import gzip
import pathlib
import tempfile

import numpy as np
from absl import flags, logging

from bert_glue_tf.core import cli
from bert_glue_tf.export import convert, quantize
from bert_glue_tf.models.bert.architecture import Architecture
from bert_glue_tf.models.quantization import recipes

BERT_BASE = Architecture(
    vocab_size=30522,
    hidden_size=768,
    layers=12,
    heads=12,
    inner_dim=3072,
    positions=512,
    type_vocab_size=2,
    activation="gelu",
)
FLAGS = flags.FLAGS


def define_flags() -> None:
    """Not at import: another benchmark takes the weights from here."""
    flags.DEFINE_boolean("torch", False, "PyTorch's sizes instead of ours.")
    flags.DEFINE_list("recipes", ["float32", "float16", "dynamic_int8", "int4"], "Of our files.")


def weights(
    shapes: Architecture = BERT_BASE,
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """The encoder's by canonical name, the classifier's kernel [hidden, 2] and bias [2]."""
    random = np.random.default_rng(0)

    def some(shape: tuple[int, ...]) -> np.ndarray:
        return 0.02 * random.standard_normal(shape, np.float32)

    encoder = {name: some(shape) for name, shape in shapes.shapes().items()}
    return encoder, some((shapes.hidden_size, 2)), some((2,))


def of_torch(folder: pathlib.Path) -> dict[str, tuple[int, int]]:
    """Name -> bytes plain and gzipped."""
    import torch
    import torch_bert

    encoder, kernel, bias = weights()
    model = torch_bert.build(
        BERT_BASE, {**encoder, "classifier/kernel": kernel, "classifier/bias": bias}
    )
    quantized = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, torch.qint8)
    found = {}
    for name, one in (("PyTorch float32", model), ("PyTorch quantize_dynamic", quantized)):
        torch.save(one.state_dict(), folder / "state")
        found[name] = sizes((folder / "state").read_bytes())
    return found


def of_ours(folder: pathlib.Path) -> dict[str, tuple[int, int]]:
    """Name -> bytes plain and gzipped."""
    from bert_glue_tf.data import tasks
    from bert_glue_tf.evaluation import cost
    from bert_glue_tf.models import encoders, loading, saving
    from bert_glue_tf.models.bert.classifier_weights import SavedWeights, from_weights

    encoder, kernel, bias = weights()
    model = from_weights(SavedWeights(BERT_BASE, encoder, kernel, bias))
    # Gives the tokenizer that is saved beside the model.
    tokenizer = loading.load(encoders.resolve(encoders.EMBEDDED), seq_length=128)
    logging.info("saving")
    saving.save(model, tokenizer, tasks.get("cola"), folder / "model")
    size = cost.size_on_disk(folder / "model")
    found = {"SavedModel": (size["plain"], size["gzip"])}
    logging.info("converting")
    content = convert.convert(folder / "model", (128,))
    for name in FLAGS.recipes:
        logging.info("%s", name)
        found[name] = sizes(quantize.quantize(content, recipes.get(name).rules))
    return found


def sizes(content: bytes) -> tuple[int, int]:
    return len(content), len(gzip.compress(content))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = (of_torch if FLAGS.torch else of_ours)(pathlib.Path(folder))
    whole = next(iter(found.values()))[0]
    print(f"{'BERT-base, random weights':<28}{'MB':>10}{'smaller by':>12}{'gzip MB':>10}")
    for name, (plain, zipped) in found.items():
        smaller = f"{100 * (1 - plain / whole):.2f} %" if plain != whole else ""
        print(f"{name:<28}{plain / 1e6:>10.2f}{smaller:>12}{zipped / 1e6:>10.2f}")


if __name__ == "__main__":
    define_flags()
    cli.run(main, __doc__)
