"""Tiny networks of convolutions over word vectors, and their computation in NumPy alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import tiny_bert

from bert_glue_tf.models.text_cnn import importing, layer
from bert_glue_tf.models.text_cnn.architecture import Architecture, bias_of, kernel_of, table_of
from bert_glue_tf.models.text_cnn.backbone import TextCnnBackbone

# The words of the tiny BERTs, so that the same texts and numbers go with both.
VOCABULARY = tiny_bert.VOCABULARY
# Two convolutions of different widths side by side, as DE-CNN has them, and one behind them.
LAYERS = (((4, 5), (8, 3)), ((16, 3),))


def architecture(layers=LAYERS, dropout: float = 0.0) -> Architecture:
    """Return the shapes of a network over `VOCABULARY`, with two tables."""
    return Architecture(
        rows=len(VOCABULARY),
        tables=(("general", 6), ("domain", 4)),
        layers=layers,
        dropouts=(dropout,) * len(layers),
    )


def weights(shapes: Architecture, seed: int = 0) -> dict[str, np.ndarray]:
    """Return random float32 weights by name, none of which is zero; padding's vectors neither."""
    random = np.random.default_rng(seed)
    return {
        name: random.normal(0.0, 0.5, shape).astype(np.float32)
        for name, shape in shapes.shapes().items()
    }


def forward(
    shapes: Architecture, drawn: dict[str, np.ndarray], batch: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Compute the network in NumPy, float64, word by word."""
    ids, mask = batch["input_word_ids"], batch["input_mask"]
    x = np.concatenate([drawn[table_of(name)][ids] for name, _ in shapes.tables], -1)
    x = x.astype(np.float64) * mask[..., None]
    for number, convolutions in enumerate(shapes.layers, 1):
        made = []
        for _, width in convolutions:
            kernel, reach = drawn[kernel_of(number, width)], width // 2
            around = np.pad(x, ((0, 0), (reach, reach), (0, 0)))
            out = sum(around[:, i : i + ids.shape[1]] @ kernel[i] for i in range(width))
            made.append(np.maximum(out + drawn[bias_of(kernel_of(number, width))], 0.0))
        x = np.concatenate(made, -1) * mask[..., None]
    return {"sequence_output": x, "pooled_output": x.max(1)}


def backbone(built, shapes: Architecture, preprocessing_path: str | Path = "") -> TextCnnBackbone:
    """Return a backbone of a layer with these shapes; its preprocessing is not loaded."""
    return TextCnnBackbone(
        layer=built,
        preprocessing=None,
        preprocessing_path=str(preprocessing_path),
        provenance={"name": "tiny"},
        architecture=shapes,
    )


def built(shapes: Architecture, seed: int = 0) -> layer.TextCnn:
    """Return a layer of these shapes with the weights of `weights`."""
    return layer.build(shapes, weights(shapes, seed).__getitem__)


def write_folder(folder: Path, seed: int = 0, **said: object) -> Path:
    """Write a folder of word vectors and a network of `LAYERS` over them."""
    folder.mkdir(parents=True, exist_ok=True)
    shapes, drawn = architecture(), weights(architecture(), seed)
    told = {"layers": LAYERS, "dropouts": [0.0] * len(LAYERS), "tables": ["general", "domain"]}
    (folder / importing.DESIGN).write_text(json.dumps({**told, **said}))
    (folder / importing.VOCABULARY).write_text("".join(f"{word}\n" for word in VOCABULARY))
    np.savez(folder / importing.VECTORS, **{n: drawn[table_of(n)] for n, _ in shapes.tables})
    return folder


def write_pair(folder: Path, *, seed: int = 0) -> Path:
    """Return the folder of the pair of SavedModels that such a folder is imported to."""
    return importing.import_pair("tiny_cnn", write_folder(folder / "vectors", seed))
