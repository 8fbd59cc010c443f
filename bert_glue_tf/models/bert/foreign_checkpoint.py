"""TensorFlow checkpoints of a BERT: Google's, by name, and tf-models-official's, by object."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from bert_glue_tf.core.errors import UserError, reason_of
from bert_glue_tf.models.bert.architecture import Architecture, by_canonical_name
from bert_glue_tf.models.bert.foreign_config import TF_CONFIG
from bert_glue_tf.models.bert.network import Reader, build_network

# `bert_model.ckpt.index`, `model.ckpt-1000.index`, and `ckpt-100.index` of a CheckpointManager.
INDICES = "*ckpt*.index"
STATE = "checkpoint"  # TensorFlow's own text file, which names the newest of several.


def find(folder: Path) -> str:
    """Return the prefix of the checkpoint in a folder; of several, of the one that is named.

    Raises:
        UserError: there is none, or none of several is named by the file `checkpoint`.
    """
    prefixes = [path.name.removesuffix(".index") for path in sorted(folder.glob(INDICES))]
    if len(prefixes) == 1:
        return str(folder / prefixes[0])
    if not prefixes:
        raise UserError(f"{folder}: holds no checkpoint ({INDICES})")
    named = _named(folder / STATE)
    if named not in prefixes:
        told = f"names {named!r}" if named else "is not there, or names none"
        raise UserError(
            f"{folder}: holds {len(prefixes)} checkpoints, and its file {STATE!r}, which says "
            f'which one is meant, {told}. Good: a line model_checkpoint_path: "{prefixes[-1]}" '
            "in it, or a folder with one of them."
        )
    return str(folder / named)


def _named(path: Path) -> str:
    """Return the name of the checkpoint that TensorFlow's text file says is the newest, or ""."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
    found = re.search(r'^model_checkpoint_path: *"(.*)"', text, re.MULTILINE)
    # It may be the path where it was written, on another machine.
    return re.split(r"[/\\]", found[1])[-1] if found else ""


def reader(prefix: str, architecture: Architecture) -> Reader:
    """Return what reads a name-based checkpoint (Google's) or an object-based one.

    Args:
        prefix: of the checkpoint.
        architecture: with as many rows of word embeddings as the checkpoint has.

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
