"""Hugging Face's folders: safetensors in one file or in several, judged by their headers.

Names and shapes are judged without importing TensorFlow, so that a bad folder answers at once;
weights are read one tensor at a time.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from bert_glue_tf.core.errors import UserError, reason_of
from bert_glue_tf.models.bert import structure
from bert_glue_tf.models.bert.architecture import Architecture
from bert_glue_tf.models.bert.foreign_config import CONFIG, read_json
from bert_glue_tf.models.bert.network import Reader

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
_DTYPES = ("F64", "F32", "F16", "BF16")
_WORDS = "embeddings.word_embeddings.weight"
POOLER = "pooler_transform"


@dataclasses.dataclass(frozen=True)
class Head:
    """The two dense layers between an encoder's first token and the logits of a classifier.

    The first one is what BERT calls its pooler, and what our encoders have as theirs.

    Attributes:
        dense: name of the first one; behind the encoder's prefix where `is_pooler`, else outside
            of the encoder.
        is_pooler: the encoder has it, with or without a classifier.
        activation: behind it, as `Architecture.pooler_activation` has it.
        output: name of the second one, outside of the encoder.
        model: Hugging Face's class of the whole.
    """

    dense: str
    is_pooler: bool
    activation: str
    output: str
    model: str


# model_type -> its head in Hugging Face's models.
HEADS: Mapping[str, Head] = MappingProxyType(
    {
        "bert": Head("pooler.dense", True, "tanh", "classifier", "BertForSequenceClassification"),
        "distilbert": Head(
            "pre_classifier", False, "relu", "classifier", "DistilBertForSequenceClassification"
        ),
        "electra": Head(
            "classifier.dense",
            False,
            "gelu",
            "classifier.out_proj",
            "ElectraForSequenceClassification",
        ),
    }
)
# What stands in a file in front of BERT's own names is that of the module that holds the encoder.
_EMBEDDINGS = {
    "word_embeddings": "embeddings.word_embeddings",
    "position_embedding": "embeddings.position_embeddings",
    "type_embeddings": "embeddings.token_type_embeddings",
    "embeddings/layer_norm": "embeddings.LayerNorm",
    "embedding_projection": "embeddings_project",
}
_BERT = {
    **_EMBEDDINGS,
    "layer": "encoder.layer",
    "self_attention/query": "attention.self.query",
    "self_attention/key": "attention.self.key",
    "self_attention/value": "attention.self.value",
    "self_attention/attention_output": "attention.output.dense",
    "self_attention_layer_norm": "attention.output.LayerNorm",
    "intermediate": "intermediate.dense",
    "output": "output.dense",
    "output_layer_norm": "output.LayerNorm",
}
# model_type -> part of a canonical name -> what the file calls it.
_PARTS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "bert": _BERT,
        "electra": _BERT,
        "distilbert": {
            **_EMBEDDINGS,
            "layer": "transformer.layer",
            "self_attention/query": "attention.q_lin",
            "self_attention/key": "attention.k_lin",
            "self_attention/value": "attention.v_lin",
            "self_attention/attention_output": "attention.out_lin",
            "self_attention_layer_norm": "sa_layer_norm",
            "intermediate": "ffn.lin1",
            "output": "ffn.lin2",
            "output_layer_norm": "output_layer_norm",
        },
    }
)


@dataclasses.dataclass(frozen=True)
class Stored:
    """A tensor of a safetensors file: its dtype as the file spells it ("F32"), and its shape."""

    dtype: str
    shape: tuple[int, ...]
    path: Path = Path()


def read_safetensors_header(path: Path) -> dict[str, Stored]:
    """Return the tensors of a file by name, without reading any.

    Raises:
        UserError: no safetensors file, or one that is not whole.
    """
    import safetensors

    try:
        with safetensors.safe_open(str(path), framework="np") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}
            return {
                name: Stored(one.get_dtype(), tuple(one.get_shape()), path)
                for name, one in slices.items()
            }
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise UserError(f"{path}: not a whole safetensors file: {reason_of(error)}") from None


def files(folder: Path) -> list[Path]:
    """Return the safetensors files of a folder: one, or those that an index names.

    Raises:
        UserError: the index cannot be read, or names what is no file beside it.
    """
    index = folder / INDEX
    if (folder / WEIGHTS).exists() or not index.exists():
        return [folder / WEIGHTS]
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise UserError(f"{index}: has no weight_map, which names the file of each tensor")
    found = []
    for name in sorted(set(map(str, names.values()))):
        if Path(name).name != name or not (folder / name).is_file():
            raise UserError(f"{index}: names the file {name!r}, which does not stand beside it")
        found.append(folder / name)
    return found


def read_header(folder: Path) -> dict[str, Stored]:
    """Return the tensors of all safetensors files of a folder."""
    header: dict[str, Stored] = {}
    for path in files(folder):
        header |= read_safetensors_header(path)
    return header


def find_prefix(folder: Path, header: Mapping[str, Stored]) -> str:
    """Return what stands in front of the encoder's names: "", "bert.", "0.auto_model.", ...

    Raises:
        UserError: there are several encoders in the file.
    """
    found = sorted(name.removesuffix(_WORDS) for name in header if name.endswith(_WORDS))
    own = [prefix for prefix in found if not prefix or prefix.endswith(".")]
    if len(own) > 1:
        raise UserError(
            f"{folder}: holds {len(own)} encoders, whose tensors begin with {', '.join(own)}; "
            "expected one"
        )
    return own[0] if own else ""


def find_tensors(
    folder: Path, header: Mapping[str, Stored], architecture: Architecture, model_type: str
) -> dict[str, str]:
    """Return the tensor's name in the file for each variable; without a pooler where none is.

    Raises:
        UserError: naming the tensor that is missing or does not fit.
    """
    prefix = find_prefix(folder, header)
    shapes = architecture.shapes()
    names = {name: hf_name(name, model_type, prefix) for name in shapes}
    poolers = [name for name in shapes if name.startswith(POOLER)]
    if not any(names[name] in header for name in poolers):
        shapes = {name: shape for name, shape in shapes.items() if name not in poolers}
    found = {}
    for name, shape in shapes.items():
        tensor, expected = names[name], hf_shape(name, shape)
        if tensor not in header:
            # The first published conversions kept TensorFlow's names in layer norms.
            older = tensor.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
                "LayerNorm.bias", "LayerNorm.beta"
            )
            if older not in header:
                raise UserError(
                    f"{_file(folder)}: no tensor {tensor!r}; expected one of shape {list(expected)}"
                )
            tensor = older
        check_tensor(header[tensor], tensor, expected)
        found[name] = tensor
    return found


def check_tensor(entry: Stored, tensor: str, expected: tuple[int, ...]) -> None:
    """Refuse a tensor of another shape, or of a type that holds no weights.

    Raises:
        UserError: naming the file, the tensor, and both shapes or types.
    """
    if entry.shape != expected:
        raise UserError(
            f"{entry.path}: tensor {tensor!r} has shape {list(entry.shape)}, "
            f"expected {list(expected)} from {CONFIG}"
        )
    if entry.dtype not in _DTYPES:
        raise UserError(
            f"{entry.path}: tensor {tensor!r} is stored as "
            f"{entry.dtype}; good values: {', '.join(_DTYPES)}"
        )


def hf_name(name: str, model_type: str, prefix: str) -> str:
    """Return what a canonical name is called in a file whose encoder has a prefix."""
    parts, head = _PARTS[model_type], HEADS[model_type]
    part, leaf = name.rsplit("/", 1)
    end = "bias" if leaf in ("bias", "beta") else "weight"
    if part == POOLER:
        return f"{prefix if head.is_pooler else outside(prefix, model_type)}{head.dense}.{end}"
    layer = re.fullmatch(r"transformer/layer_(\d+)/(.+)", part)
    start = f"{parts['layer']}.{layer.group(1)}." if layer else ""
    return f"{prefix}{start}{parts[layer.group(2) if layer else part]}.{end}"


def outside(prefix: str, model_type: str) -> str:
    """Return the prefix of what stands beside an encoder with that prefix: a classifier's head."""
    return prefix.removesuffix(f"{model_type}.")


def hf_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape in PyTorch: a dense kernel is [out, in], its heads in one dimension."""
    if name.endswith("/attention_output/kernel"):
        return shape[2], shape[0] * shape[1]
    if name.endswith("/kernel"):
        return int(np.prod(shape[1:])), shape[0]
    return (int(np.prod(shape)),) if name.endswith("/bias") else shape


def read_tensor(entry: Stored, tensor: str, rows: int | None = None) -> np.ndarray:
    """Return float32 of one tensor, or of its first rows.

    Raises:
        UserError: the file cannot be read.
    """
    import ml_dtypes  # noqa: F401  (NumPy knows bfloat16 from it alone)
    import safetensors

    try:
        with safetensors.safe_open(str(entry.path), framework="np") as file:
            array = file.get_slice(tensor)[:rows] if rows else file.get_tensor(tensor)
    except (OSError, safetensors.SafetensorError) as error:
        raise UserError(
            f"{entry.path}: cannot be read as safetensors: {reason_of(error)}"
        ) from None
    return np.asarray(array).astype(np.float32, copy=False)


def reader(header: Mapping[str, Stored], tensors: Mapping[str, str], pieces: int) -> Reader:
    """Return what reads one tensor at a time, so that no second copy of the weights is held.

    Args:
        header: of the files.
        tensors: canonical name -> the tensor's name.
        pieces: rows of the word embeddings that are read.
    """

    def read(name: str) -> np.ndarray:
        tensor = tensors[name]
        rows = pieces if name == structure.TABLE else None
        array = read_tensor(header[tensor], tensor, rows)
        return array.T if name.endswith("/kernel") else array

    return read


def _file(folder: Path) -> Path:
    """Return the file to name where a tensor is in none."""
    return folder / (WEIGHTS if (folder / WEIGHTS).exists() else INDEX)
