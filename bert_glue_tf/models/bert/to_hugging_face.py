"""A classifier of ours as a Hugging Face folder has it: the way back of `foreign_huggingface`.

A folder says the sizes of an encoder once for all layers, and which activation the first dense
layer of the head has is part of its model_type; what does not fit is refused.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.models.bert.architecture import LAYER_NORM_EPSILON, Architecture
from bert_glue_tf.models.bert.classifier_weights import SavedWeights
from bert_glue_tf.models.bert.foreign_config import MODEL_TYPES
from bert_glue_tf.models.bert.foreign_huggingface import HEADS, hf_name, hf_shape
from bert_glue_tf.models.foreign_classifiers import ForeignClassifier

# Our names of the activations -> transformers'.
_ACTIVATIONS = {"gelu": "gelu", "gelu_tanh": "gelu_new", "relu": "relu"}
_TYPES = "type_embeddings/embeddings"
_SEGMENTS = 2  # Transformers' tokenizer numbers the texts of a pair 0 and 1.
_INSTEAD = (
    "What works: the run's own model/ (a TensorFlow SavedModel), and the files of export_tflite"
)


def classifier(saved: SavedWeights, what: str, dropout: float) -> ForeignClassifier:
    """Return a saved classifier in the form of transformers.

    Args:
      saved: its weights, which are read one at a time.
      what: names the classifier in messages.
      dropout: rate before its head.

    Raises:
      UserError: that form cannot say how it computes.
    """
    shapes = saved.architecture
    if saved.trained:
        raise UserError(
            f"{what}: it rounds its weights and activations as the file of "
            f"{saved.trained.recipe} does (--quantize_aware), which transformers has no layers "
            f"for. {_INSTEAD}."
        )
    _require_one_width(shapes, what)
    model_type = _model_type(shapes, what)
    segments, notes = _segments(shapes, model_type)
    written = dataclasses.replace(shapes, type_vocab_size=segments)
    tensors = _encoder(saved, written, model_type)
    output = HEADS[model_type].output
    tensors[f"{output}.weight"] = np.ascontiguousarray(saved.kernel.T, np.float32)
    tensors[f"{output}.bias"] = np.asarray(saved.bias, np.float32)
    return ForeignClassifier(
        HEADS[model_type].model, _config(written, model_type, dropout), tensors, notes
    )


def _require_one_width(shapes: Architecture, what: str) -> None:
    """Refuse layers that config.json has no numbers for.

    Raises:
      UserError: naming the widths.
    """
    if not shapes.blocks:
        return
    size = shapes.hidden_size // shapes.heads
    widths = [
        f"layer {number}: {block.heads} heads of {block.key_dim}, {block.inner_dim} neurons"
        for number, block in enumerate(shapes.blocks, start=1)
    ]
    shown = "; ".join(widths[:3]) + ("; ..." if len(widths) > 3 else "")
    raise UserError(
        f"{what}: heads or neurons were cut out of its layers ({shown}). A Hugging Face folder has "
        f"one number for all layers, and its heads fill the layer ({shapes.hidden_size} wide, as "
        f"{shapes.heads} heads of {size}). {_INSTEAD}. Methods that leave zeros, such as "
        "--pruning_method=magnitude, can be exported to it."
    )


def _model_type(shapes: Architecture, what: str) -> str:
    """Return the model_type whose models compute as this encoder does.

    Raises:
      UserError: there is none.
    """
    activation, is_narrow = shapes.pooler_activation, bool(shapes.embedding_size)
    if activation == HEADS["electra"].activation:
        return "electra"
    if activation == HEADS["bert"].activation and not is_narrow:
        return "bert"
    is_distilbert = not (is_narrow or shapes.type_vocab_size)
    if activation == HEADS["distilbert"].activation and is_distilbert:
        if shapes.layer_norm_epsilon == LAYER_NORM_EPSILON:
            return "distilbert"
    embeddings = f"embeddings of width {shapes.embedding_size} and a projection to" * is_narrow
    raise UserError(
        f"{what}: its encoder has {embeddings or 'layers of width'} {shapes.hidden_size}, "
        f"{shapes.type_vocab_size} types of segment, and {activation} behind its pooler. "
        "Of transformers' models Bert has tanh there and no projection, DistilBert ReLU and no "
        f"types, and Electra GELU. {_INSTEAD}."
    )


def _segments(shapes: Architecture, model_type: str) -> tuple[int, tuple[str, ...]]:
    """Return the rows of the table of segments that is written, and what is said of it."""
    if model_type == "distilbert" or shapes.type_vocab_size >= _SEGMENTS:
        return shapes.type_vocab_size, ()
    if shapes.type_vocab_size:
        return _SEGMENTS, (
            "The encoder knows one type of segment; both rows of token_type_embeddings are it.",
        )
    return _SEGMENTS, (
        "The encoder knows no types of segment; the rows of token_type_embeddings are zeros.",
    )


def _encoder(saved: SavedWeights, written: Architecture, model_type: str) -> dict[str, np.ndarray]:
    """Return the tensors of the encoder by their names there."""
    tensors = {}
    for name, shape in written.shapes().items():
        if name == _TYPES and saved.architecture.type_vocab_size < shape[0]:
            value = np.zeros(shape, np.float32)
            if saved.architecture.type_vocab_size:
                value[:] = saved.encoder[name][0]
        else:
            value = np.asarray(saved.encoder[name], np.float32)
        if name.endswith("/kernel"):
            value = value.reshape(hf_shape(name, shape)[::-1]).T
        tensors[hf_name(name, model_type, f"{model_type}.")] = np.ascontiguousarray(
            value.reshape(hf_shape(name, shape))
        )
    return tensors


def _config(shapes: Architecture, model_type: str, dropout: float) -> dict[str, Any]:
    """Return config.json; what a model_type has no key for is left out."""
    keys = MODEL_TYPES[model_type]
    sizes: dict[str, Any] = {
        "vocab_size": shapes.vocab_size,
        "hidden_size": shapes.hidden_size,
        "num_hidden_layers": shapes.layers,
        "num_attention_heads": shapes.heads,
        "intermediate_size": shapes.inner_dim,
        "max_position_embeddings": shapes.positions,
        "hidden_act": _ACTIVATIONS[shapes.activation],
        "hidden_dropout_prob": shapes.output_dropout,
        "attention_probs_dropout_prob": shapes.attention_dropout,
    }
    found = {
        "architectures": [HEADS[model_type].model],
        "model_type": model_type,
        **{keys.get(key, key): value for key, value in sizes.items()},
    }
    if model_type == "distilbert":
        return {**found, "seq_classif_dropout": dropout, "sinusoidal_pos_embds": False}
    found |= {
        "type_vocab_size": shapes.type_vocab_size,
        "layer_norm_eps": shapes.layer_norm_epsilon,
        "classifier_dropout": dropout,
    }
    if model_type == "electra":
        found["embedding_size"] = shapes.embedding_size or shapes.hidden_size
    return found
