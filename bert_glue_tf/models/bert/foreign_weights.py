"""BERT weights of other programs: judged without TensorFlow, read one tensor at a time.

Two kinds of folder: Hugging Face's (config.json, model.safetensors, vocab.txt) and
Google's (bert_config.json, a TensorFlow checkpoint, vocab.txt). Configuration,
vocabulary, and names and shapes of a safetensors file are judged without importing
TensorFlow, so that a bad folder answers at once.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bert_glue_tf.core import strict_json
from bert_glue_tf.core.errors import UserError, reason_of
from bert_glue_tf.data.vocabulary import SPECIAL_TOKENS
from bert_glue_tf.models.bert.architecture import (
    LAYER_NORM_EPSILON,
    Architecture,
    by_canonical_name,
)
from bert_glue_tf.models.bert.network import Reader, build_network

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
TF_CONFIG = "bert_config.json"
VOCABULARY = "vocab.txt"
TOKENIZER_CONFIG = "tokenizer_config.json"
# Hugging Face says "gelu" for the exact one. Google's TensorFlow code has meant the
# tanh approximation by the same word since 2019, and so does tf-models-official.
HF_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
}
TF_ACTIVATIONS = {"gelu": "gelu_tanh", "relu": "relu"}
_HF_PARTS = {
    "word_embeddings": "embeddings.word_embeddings",
    "position_embedding": "embeddings.position_embeddings",
    "type_embeddings": "embeddings.token_type_embeddings",
    "embeddings/layer_norm": "embeddings.LayerNorm",
    "pooler_transform": "pooler.dense",
    "self_attention/query": "attention.self.query",
    "self_attention/key": "attention.self.key",
    "self_attention/value": "attention.self.value",
    "self_attention/attention_output": "attention.output.dense",
    "self_attention_layer_norm": "attention.output.LayerNorm",
    "intermediate": "intermediate.dense",
    "output": "output.dense",
    "output_layer_norm": "output.LayerNorm",
}


def read_config(path: Path, activations: Mapping[str, str] = HF_ACTIVATIONS) -> Architecture:
    """Read a `config.json` (Hugging Face) or `bert_config.json` (Google).

    Raises:
        UserError: unreadable, no BERT, or a BERT that ours cannot compute.
    """
    try:
        config = strict_json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ValueError("not a JSON object")
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as JSON: {error}") from None
    for key, good in (("model_type", "bert"), ("position_embedding_type", "absolute")):
        if config.get(key, good) != good:
            raise UserError(f"{path}: {key} is {config[key]!r}; only {good!r} can be imported")
    epsilon = config.get("layer_norm_eps", LAYER_NORM_EPSILON)
    if epsilon != LAYER_NORM_EPSILON:
        raise UserError(
            f"{path}: layer_norm_eps is {json.dumps(epsilon)}; this "
            f"project's BERT computes with {LAYER_NORM_EPSILON} only"
        )
    activation = config.get("hidden_act", "gelu")
    if not isinstance(activation, str) or activation not in activations:
        raise UserError(
            f"{path}: hidden_act is {activation!r}; good values: " + ", ".join(activations)
        )
    try:
        found = Architecture(
            vocab_size=int(config["vocab_size"]),
            hidden_size=int(config["hidden_size"]),
            layers=int(config["num_hidden_layers"]),
            heads=int(config["num_attention_heads"]),
            inner_dim=int(config["intermediate_size"]),
            positions=int(config.get("max_position_embeddings", 512)),
            type_vocab_size=int(config.get("type_vocab_size", 2)),
            activation=activations[activation],
            output_dropout=float(config.get("hidden_dropout_prob", 0.1)),
            attention_dropout=float(config.get("attention_probs_dropout_prob", 0.1)),
        )
    except KeyError as error:
        raise UserError(f"{path}: the key {error} is missing") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{path}: {error}") from None
    for name, value in dataclasses.asdict(found).items():
        if name.endswith("_dropout") and not 0 <= value < 1:
            raise UserError(f"{path}: {name} is {value}; good values: from 0 on, below 1")
        if isinstance(value, int) and value < 1:
            raise UserError(f"{path}: {name} is {value}; good values: from 1 on")
    if found.hidden_size % found.heads:
        raise UserError(
            f"{path}: hidden_size {found.hidden_size} cannot be shared by "
            f"{found.heads} attention heads in {found.layers} layers"
        )
    return found


def check_vocabulary(path: Path, vocab_size: int) -> None:
    """Refuse a WordPiece vocabulary that does not fit `vocab_size` rows.

    Raises:
        UserError: it does not fit, or is no BERT vocabulary.
    """
    try:
        pieces = path.read_bytes().removesuffix(b"\n").decode("utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as UTF-8 text: {error}") from None
    if len(pieces) != vocab_size:
        raise UserError(
            f"{path}: {len(pieces)} pieces do not fit an encoder with "
            f"{vocab_size} rows of word embeddings"
        )
    missing = [token for token in SPECIAL_TOKENS if token not in pieces]
    if missing:
        raise UserError(f"{path}: no line {', '.join(missing)}: not a BERT vocabulary")
    seen: set[str] = set()
    for piece in pieces:
        if piece in seen:
            raise UserError(f"{path}: the piece {piece!r} stands twice")
        seen.add(piece)


@dataclasses.dataclass(frozen=True)
class Stored:
    """A tensor of a safetensors file: its dtype as the file spells it ("F32"), and its shape."""

    dtype: str
    shape: tuple[int, ...]


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
                name: Stored(one.get_dtype(), tuple(one.get_shape()))
                for name, one in slices.items()
            }
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise UserError(f"{path}: not a whole safetensors file: {reason_of(error)}") from None


def check_huggingface(folder: Path) -> tuple[Architecture, dict[str, str]]:
    """Judge config.json, vocab.txt and the safetensors header of a folder.

    Returns:
        The architecture, and the tensor's name in the file for each of its variables.

    Raises:
        UserError: naming the file and what does not fit.
    """
    architecture = read_config(folder / CONFIG)
    lower_case("huggingface", folder)
    check_vocabulary(folder / VOCABULARY, architecture.vocab_size)
    header = read_safetensors_header(folder / WEIGHTS)
    prefix = "bert." if any(name.startswith("bert.") for name in header) else ""
    found = {}
    for name, shape in architecture.shapes().items():
        tensor, expected = prefix + _hf_name(name), _hf_shape(name, shape)
        if tensor not in header:
            # The first published conversions kept TensorFlow's names in layer norms.
            older = tensor.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
                "LayerNorm.bias", "LayerNorm.beta"
            )
            if older not in header:
                raise UserError(
                    f"{folder / WEIGHTS}: no tensor {tensor!r}; expected one of "
                    f"shape {list(expected)}"
                )
            tensor = older
        entry = header[tensor]
        if entry.shape != expected:
            raise UserError(
                f"{folder / WEIGHTS}: tensor {tensor!r} has shape {list(entry.shape)}, "
                f"expected {list(expected)} from {CONFIG}"
            )
        if entry.dtype not in ("F64", "F32", "F16"):
            raise UserError(
                f"{folder / WEIGHTS}: tensor {tensor!r} is stored as "
                f"{entry.dtype}; good values: F64, F32, F16"
            )
        found[name] = tensor
    return architecture, found


def check_tf_checkpoint(folder: Path) -> tuple[Architecture, str]:
    """Judge bert_config.json and vocab.txt, and return the architecture and the prefix."""
    architecture = read_config(folder / TF_CONFIG, TF_ACTIVATIONS)
    check_vocabulary(folder / VOCABULARY, architecture.vocab_size)
    indices = sorted(folder.glob("*.ckpt*.index"))
    if len(indices) != 1:
        raise UserError(f"{folder}: holds {len(indices)} checkpoints (*.ckpt*.index), expected one")
    return architecture, str(indices[0]).removesuffix(".index")


def lower_case(kind: str, folder: Path) -> bool:
    """Return whether a folder's vocabulary is of lower-cased text ("uncased").

    Raises:
        UserError: tokenizer_config.json asks for what the reference tokenizer cannot do.
    """
    if kind == "tf_checkpoint":
        # Google's checkpoints say it only in their folder's name.
        name = folder.resolve().name
        return "cased" not in name or "uncased" in name
    path = folder / TOKENIZER_CONFIG
    if not path.exists():
        return True
    try:
        config = strict_json.loads(path.read_text(encoding="utf-8"))
        lower = bool(config.get("do_lower_case", True))
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: cannot be read as JSON: {error}") from None
    for key, good in (("strip_accents", lower), ("tokenize_chinese_chars", True)):
        if config.get(key) not in (None, good):
            raise UserError(
                f"{path}: {key} is {config[key]!r}; only {good!r} can be imported "
                f"with do_lower_case {lower!r}"
            )
    return lower


def _hf_name(name: str) -> str:
    part, leaf = name.rsplit("/", 1)
    layer = re.fullmatch(r"transformer/layer_(\d+)/(.+)", part)
    start = f"encoder.layer.{layer.group(1)}." if layer else ""
    end = "bias" if leaf in ("bias", "beta") else "weight"
    return f"{start}{_HF_PARTS[layer.group(2) if layer else part]}.{end}"


def _hf_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape in PyTorch: a dense kernel is [out, in], its heads in one dimension."""
    if name.endswith("/attention_output/kernel"):
        return shape[2], shape[0] * shape[1]
    if name.endswith("/kernel"):
        return int(np.prod(shape[1:])), shape[0]
    return (int(np.prod(shape)),) if name.endswith("/bias") else shape


def huggingface_reader(folder: Path, tensors: Mapping[str, str]) -> Reader:
    """Return what reads one tensor at a time, so that no second copy of the weights is held."""
    import safetensors

    try:
        file = safetensors.safe_open(str(folder / WEIGHTS), framework="np")
    except (OSError, safetensors.SafetensorError) as error:
        raise UserError(
            f"{folder / WEIGHTS}: cannot be read as safetensors: {reason_of(error)}"
        ) from None

    def read(name: str) -> np.ndarray:
        array = file.get_tensor(tensors[name]).astype(np.float32)
        return array.T if name.endswith("/kernel") else array

    return read


def tf_checkpoint_reader(prefix: str, architecture: Architecture) -> Reader:
    """Return what reads a name-based checkpoint (Google's) or an object-based one.

    Raises:
        UserError: unreadable, or a variable is missing (by the reader, too).
    """
    import tensorflow as tf
    from official.nlp.tools.tf1_bert_checkpoint_converter_lib import BERT_V2_NAME_REPLACEMENTS

    try:
        checkpoint = tf.train.load_checkpoint(prefix)
        names = list(checkpoint.get_variable_to_shape_map())
    except ValueError as error:
        raise _unreadable(prefix, error) from None
    except _damaged() as error:
        raise _unreadable(prefix, error) from None
    if "_CHECKPOINTABLE_OBJECT_GRAPH" in names:
        return _object_based_reader(prefix, architecture)
    renamed = {}
    for name in names:
        new = name
        for old_part, new_part in BERT_V2_NAME_REPLACEMENTS:
            new = new.replace(old_part, new_part)
        renamed[new] = name

    def read(name: str) -> np.ndarray:
        if name not in renamed:
            raise UserError(
                f"{prefix}: no variable for {name!r}; expected shape "
                f"{list(architecture.shapes()[name])}"
            )
        try:
            return checkpoint.get_tensor(renamed[name])
        except _damaged() as error:
            raise _unreadable(prefix, error) from None

    return read


def _object_based_reader(prefix: str, architecture: Architecture) -> Reader:
    """Return what reads a checkpoint of tf-models-official's objects."""
    import tensorflow as tf
    from official.nlp.modeling import networks

    for network in (networks.BertEncoder, networks.BertEncoderV2):
        encoder = build_network(network, architecture)
        try:
            restore = tf.train.Checkpoint(model=encoder, encoder=encoder).read(prefix)
            restore.assert_existing_objects_matched().expect_partial()
        except (AssertionError, ValueError):
            continue
        except tf.errors.ResourceExhaustedError:
            raise
        except _damaged() as error:
            raise _unreadable(prefix, error) from None
        restored = by_canonical_name(encoder.variables)
        return lambda name: restored[name].numpy()
    raise UserError(
        f"{prefix}: its objects are not those of a tf-models-official BERT "
        f"encoder of the shapes in {TF_CONFIG}"
    )


def _damaged() -> tuple[type[Exception], ...]:
    """Return what a truncated, missing or altered file of a checkpoint raises."""
    import tensorflow as tf

    # LookupError is the checkpoint reader's for a shard that is too short.
    return (tf.errors.OpError, LookupError, RuntimeError, OSError)


def _unreadable(prefix: str, error: Exception) -> UserError:
    return UserError(f"{prefix}: cannot be read as a TensorFlow checkpoint: {reason_of(error)}")
