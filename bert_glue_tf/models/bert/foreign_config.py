"""The configuration of an encoder of another program -> an `Architecture`, without TensorFlow."""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bert_glue_tf.core import strict_json
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.models.bert.architecture import LAYER_NORM_EPSILON, Architecture

CONFIG = "config.json"
TF_CONFIG = "bert_config.json"
# Hugging Face says "gelu" for the exact one. Google's TensorFlow code has meant the
# tanh approximation by the same word since 2019, and so does tf-models-official.
HF_ACTIVATIONS = types.MappingProxyType(
    {
        "gelu": "gelu",
        "gelu_python": "gelu",
        "gelu_new": "gelu_tanh",
        "gelu_fast": "gelu_tanh",  # Another order of its factors.
        "gelu_pytorch_tanh": "gelu_tanh",
        "relu": "relu",
    }
)
TF_ACTIVATIONS = types.MappingProxyType({"gelu": "gelu_tanh", "relu": "relu"})
# model_type -> BERT's key of a setting -> what that model calls it.
MODEL_TYPES: Mapping[str, Mapping[str, str]] = types.MappingProxyType(
    {
        "bert": {},
        "electra": {},
        "distilbert": {
            "hidden_size": "dim",
            "num_hidden_layers": "n_layers",
            "num_attention_heads": "n_heads",
            "intermediate_size": "hidden_dim",
            "hidden_act": "activation",
            "hidden_dropout_prob": "dropout",
            "attention_probs_dropout_prob": "attention_dropout",
        },
    }
)
# Encoders of another kind -> published SavedModels of them: encoder and preprocessing.
_AS_SAVED_MODELS = {
    "albert": (
        "https://tfhub.dev/tensorflow/albert_en_base/3",
        "https://tfhub.dev/tensorflow/albert_en_preprocess/3",
    ),
    "mobilebert": (
        "https://tfhub.dev/tensorflow/mobilebert_en_uncased_L-24_H-128_B-512_A-4_F-4_OPT/1",
        "https://tfhub.dev/tensorflow/bert_en_uncased_preprocess/3",
    ),
    "roberta": (
        "https://tfhub.dev/jeongukjae/roberta_en_cased_L-12_H-768_A-12/1",
        "https://tfhub.dev/jeongukjae/roberta_en_cased_preprocess/1",
    ),
}


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that holds a JSON object.

    Raises:
        UserError: it cannot be read as one.
    """
    try:
        found = strict_json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("not a JSON object")
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as JSON: {error}") from None
    return found


def read_config(path: Path, activations: Mapping[str, str] = HF_ACTIVATIONS) -> Architecture:
    """Read a `config.json` (Hugging Face) or `bert_config.json` (Google).

    Raises:
        UserError: unreadable, no BERT, DistilBERT or ELECTRA, or one that ours cannot compute.
    """
    config = read_json(path)
    model_type = str(config.get("model_type", "bert"))
    _refuse_others(path, config, model_type)
    keys = MODEL_TYPES[model_type]
    activation = config.get(keys.get("hidden_act", "hidden_act"), "gelu")
    if not isinstance(activation, str) or activation not in activations:
        raise UserError(
            f"{path}: {keys.get('hidden_act', 'hidden_act')} is {activation!r}; good values: "
            + ", ".join(activations)
        )

    def number(key: str, default: Any = None) -> Any:
        name = keys.get(key, key)
        return config[name] if default is None else config.get(name, default)

    try:
        found = Architecture(
            vocab_size=int(number("vocab_size")),
            hidden_size=int(number("hidden_size")),
            layers=int(number("num_hidden_layers")),
            heads=int(number("num_attention_heads")),
            inner_dim=int(number("intermediate_size")),
            positions=int(number("max_position_embeddings", 512)),
            type_vocab_size=0 if model_type == "distilbert" else int(number("type_vocab_size", 2)),
            activation=activations[activation],
            output_dropout=float(number("hidden_dropout_prob", 0.1)),
            attention_dropout=float(number("attention_probs_dropout_prob", 0.1)),
            layer_norm_epsilon=_epsilon(path, config, model_type),
        )
        width = int(number("embedding_size")) if model_type == "electra" else found.hidden_size
        found = dataclasses.replace(
            found, embedding_size=width if width != found.hidden_size else 0
        )
    except KeyError as error:
        raise UserError(f"{path}: the key {error} is missing") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{path}: {error}") from None
    _check(path, found)
    return found


def check_model_type(path: Path) -> None:
    """Refuse a `config.json` of an encoder of another kind, whatever its sizes.

    Raises:
        UserError: unreadable, or no BERT, DistilBERT or ELECTRA that can be imported.
    """
    config = read_json(path)
    _refuse_others(path, config, str(config.get("model_type", "bert")))


def _refuse_others(path: Path, config: Mapping[str, Any], model_type: str) -> None:
    if model_type in _AS_SAVED_MODELS:
        encoder, preprocessing = _AS_SAVED_MODELS[model_type]
        raise UserError(
            f"{path}: model_type is {model_type!r}, whose weights are not imported "
            f"({', '.join(MODEL_TYPES)} are). It works as a pair of SavedModels from TF-Hub:\n"
            f"  --encoder={encoder}\n  --preprocessing={preprocessing}"
        )
    if model_type not in MODEL_TYPES:
        raise UserError(
            f"{path}: model_type is {model_type!r}; good values: {', '.join(MODEL_TYPES)}"
        )
    for key, good in (("position_embedding_type", "absolute"), ("is_decoder", False)):
        if config.get(key, good) != good:
            raise UserError(
                f"{path}: {key} is {json.dumps(config[key])}; only {json.dumps(good)} can be "
                "imported"
            )


def _epsilon(path: Path, config: Mapping[str, Any], model_type: str) -> float:
    """Return what is added to a variance; DistilBERT's code has BERT's number in it."""
    if model_type == "distilbert":
        return LAYER_NORM_EPSILON
    epsilon = config.get("layer_norm_eps", LAYER_NORM_EPSILON)
    if isinstance(epsilon, bool) or not isinstance(epsilon, int | float) or not 0 < epsilon < 1:
        raise UserError(
            f"{path}: layer_norm_eps is {json.dumps(epsilon)}; good values: above 0 and below 1"
        )
    return float(epsilon)


def _check(path: Path, found: Architecture) -> None:
    """Refuse sizes that no encoder has."""
    may_be_zero = ("type_vocab_size", "embedding_size")
    for name, value in dataclasses.asdict(found).items():
        if name.endswith("_dropout") and not 0 <= value < 1:
            raise UserError(f"{path}: {name} is {value}; good values: from 0 on, below 1")
        if isinstance(value, int) and value < (0 if name in may_be_zero else 1):
            raise UserError(f"{path}: {name} is {value}; good values: from 1 on")
    if found.hidden_size % found.heads:
        raise UserError(
            f"{path}: hidden_size {found.hidden_size} cannot be shared by "
            f"{found.heads} attention heads in {found.layers} layers"
        )
