"""The smaller networks of a run as its folder keeps them: without a copy of the weights.

A size (`compression.sizes`) is saved as any classifier, in a folder of its own; then `detach` takes
away its variables, which are parts of those of the run's model:

    value = whole[:n, :m, ...] where the number of the weight's smallest network is <= its own,
            else 0

`restore` writes them again, the same numbers, when somebody needs the network. The numbers of the
smallest networks stand once for all sizes in `masks.safetensors`, packed into as few bits as their
largest needs.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from absl import logging

from bert_glue_tf.core import files, layout, lazy, strict_json
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import write_atomically
from bert_glue_tf.models.transformer_names import canonical_name

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy.module("numpy")  # Whoever reads a run imports this module.

MASKS = "masks.safetensors"
_ABOUT = "size.json"
_OWN = "own.safetensors"
_VARIABLES, _VALUE = "variables", "/.ATTRIBUTES/VARIABLE_VALUE"
_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_SHAPES, _SHA256 = "shapes", "sha256"
_DAMAGED = (OSError, ValueError, LookupError)


def bits_of(networks: int) -> int:
    """Return the bits that tell the smallest network of a weight, or that none has it."""
    return max(1, networks.bit_length())


@dataclasses.dataclass(frozen=True)
class Masks:
    """The number of the smallest network that has each weight.

    Attributes:
      networks: how many there are.
      first: name of a weight -> uint8 of its shape; `networks` where none has it.
    """

    networks: int
    first: Mapping[str, np.ndarray]

    def write(self, path: pathlib.Path) -> None:
        """Write the file: for each weight its bits, one plane after the other."""
        from safetensors.numpy import save

        bits = range(bits_of(self.networks))
        planes = {
            name: np.stack([np.packbits(values.reshape(-1) >> bit & 1) for bit in bits])
            for name, values in self.first.items()
        }
        shapes = {name: list(values.shape) for name, values in self.first.items()}
        about = {"networks": str(self.networks), _SHAPES: json.dumps(shapes)}
        write_atomically(path, save(planes, about))

    @classmethod
    def read(cls, path: pathlib.Path) -> Masks:
        """Read the file.

        Raises:
          OSError, ValueError, KeyError: it is missing or damaged.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "numpy") as file:
                about = file.metadata()
                planes = {name: file.get_tensor(name) for name in file.keys()}
        except SafetensorError as error:
            raise ValueError(str(error)) from None
        if not about:
            raise ValueError(f"{path.name} does not say whose masks it holds")
        first = {}
        for name, shape in strict_json.loads(about[_SHAPES]).items():
            count = int(np.prod(shape))
            bits = (
                np.unpackbits(plane, count=count) << bit for bit, plane in enumerate(planes[name])
            )
            first[name] = np.sum(list(bits), axis=0, dtype=np.uint8).reshape(shape)
        return cls(int(about["networks"]), first)


def plain_name(name: str) -> str:
    """Return the name of a variable that is the same in all networks of a run."""
    own = name.split(":")[0]
    return canonical_name(own) or own


@dataclasses.dataclass(frozen=True)
class Parts:
    """The weights of a network, as parts of those of the whole one.

    Attributes:
      number: of the network.
      masks: of the run.
      sources: part of a name here -> the same part of the name in the whole network.
    """

    number: int
    masks: Masks
    sources: Mapping[str, str]

    def source(self, name: str) -> str:
        """Return the name in the whole network of a weight here."""
        for own, whole in self.sources.items():
            if own in name:
                return name.replace(own, whole)
        return name

    def part(self, name: str, whole: np.ndarray, shape: Sequence[int]) -> np.ndarray:
        """Return a weight.

        Args:
          name: of the weight, in the whole network.
          whole: its values there.
          shape: of the part: the first elements along each axis.
        """
        part = tuple(slice(length) for length in shape)
        values = whole[part]
        if name not in self.masks.first:
            return values
        return np.where(self.masks.first[name][part] <= self.number, values, values.dtype.type(0))


def detach(folder: pathlib.Path, whole: Mapping[str, np.ndarray], parts: Parts, size: str) -> None:
    """Take away the variables of a saved network that are parts of the whole one's.

    Variables that are not, as statistics of its own, stay in a file. The masks' file stands beside
    it already.

    Args:
      folder: of the saved network: `sizes/<name>/model` in the run's folder.
      whole: `plain_name` -> values of the whole network.
      parts: how they come about.
      size: the network's name.
    """
    import tensorflow as tf
    from safetensors.numpy import save

    reader = tf.train.load_checkpoint(str(folder / _VARIABLES / _VARIABLES))
    graph = reader.get_tensor(_GRAPH)
    keys = _keys(graph)
    if more := set(reader.get_variable_to_shape_map()) - {_GRAPH, *keys.values()}:
        logging.info("%s keeps a copy of its weights: it holds %s too", folder, ", ".join(more))
        return
    own = {_GRAPH: np.frombuffer(graph, np.uint8)}
    shapes = {}
    for name, key in keys.items():
        values = reader.get_tensor(key)
        shapes[key] = list(values.shape)
        source = parts.source(name)
        if source not in whole or not np.array_equal(
            parts.part(source, whole[source], values.shape), values
        ):
            own[key] = values
    write_atomically(folder / _OWN, save(own))
    about = {
        "size": size,
        "number": parts.number,
        _SHAPES: shapes,
        "sources": dict(parts.sources),
        _SHA256: {file.name: files.sha256(file) for file in _kept(folder)},
    }
    write_atomically(folder / _ABOUT, json.dumps(about) + "\n")
    shutil.rmtree(folder / _VARIABLES)


def _kept(folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Return the files that a detached network is made of, besides the whole one's variables."""
    return folder.parent.parent / MASKS, folder / _OWN


def own_variables(folder: pathlib.Path) -> list[str]:
    """Return the names of the variables of a detached network that are no parts of the whole."""
    keys, own = _own(folder)
    return sorted(name for name, key in keys.items() if key in own)


def own_weights(folder: pathlib.Path) -> int:
    """Return how many numbers the variables of `own_variables` hold.

    Raises:
      OSError, ValueError, LookupError: the network is not detached, or a file is damaged.
    """
    keys, own = _own(folder)
    return sum(own[key].size for key in keys.values() if key in own)


def restore(folder: pathlib.Path) -> None:
    """Write the variables of a network that was detached, if they are not there.

    A folder that is none of a size is left alone.

    Args:
      folder: `sizes/<name>/model` in the run's folder.

    Raises:
      UserError: the weights that it is a part of are missing, or the folder cannot be written.
    """
    if not (folder / _ABOUT).is_file() or (folder / _VARIABLES).is_dir():
        return
    run = folder.parent.parent.parent
    logging.info(
        "%s: writing the weights of this size, which are parts of those of %s",
        layout.near(folder),
        layout.near(run),
    )
    try:
        tensors = _restored(folder, run)
    except _DAMAGED as error:
        raise UserError(
            f"{folder}: the weights of this size are parts of those of the run {run}, which are "
            f"not whole ({_told(error)}). Copy the whole folder of that run, or train again."
        ) from None
    try:
        _write(folder, tensors)
    except OSError as error:
        raise UserError(
            f"{folder}: the weights of this size cannot be written there ({error.strerror}). Copy "
            "the run into a folder that you may write."
        ) from None


def _told(error: Exception) -> str:
    """Return what is wrong with a file, without where in TensorFlow it was noticed."""
    return f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)


def _about(folder: pathlib.Path) -> dict[str, Any]:
    """Return what is known of a detached network, whose files are those that were written.

    Raises:
      OSError, ValueError, LookupError: a file is missing or damaged.
    """
    about = strict_json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
    kinds = {"number": int, _SHAPES: dict, "sources": dict, _SHA256: dict}
    if not isinstance(about, dict):
        raise ValueError(f"{_ABOUT} holds no object")
    about.setdefault(_SHA256, {})  # Sizes of an earlier version have no checksums.
    for name, kind in kinds.items():
        if not isinstance(about[name], kind):
            raise ValueError(f"{_ABOUT}: {name} is {about[name]!r}")
    for file in _kept(folder):
        if file.name in about[_SHA256] and files.sha256(file) != about[_SHA256][file.name]:
            raise ValueError(f"{file.name} has another SHA-256 than when it was written")
    return about


def _restored(folder: pathlib.Path, run: pathlib.Path) -> dict[str, Any]:
    """Return the tensors of a network's checkpoint, by their keys.

    Raises:
      OSError, ValueError, LookupError: a file is missing or damaged.
    """
    import tensorflow as tf

    about = _about(folder)
    parts = Parts(about["number"], Masks.read(folder.parent.parent / MASKS), about["sources"])
    whole = run / "model" / _VARIABLES / _VARIABLES
    if not whole.with_name(f"{whole.name}.index").is_file():
        raise FileNotFoundError(f"{whole}.index is missing")
    try:
        return _tensors(folder, tf.train.load_checkpoint(str(whole)), parts, about[_SHAPES])
    except tf.errors.OpError as error:
        raise ValueError(f"{whole}: {error.message}") from None


def _tensors(
    folder: pathlib.Path, reader: Any, parts: Parts, shapes: Mapping[str, Sequence[int]]
) -> dict[str, Any]:
    """Return the same of a reader of the whole one's checkpoint.

    Args:
      folder: of the saved network.
      reader: of the checkpoint.
      parts: how the weights come about.
      shapes: key -> the shape of a variable.
    """
    of_whole = _keys(reader.get_tensor(_GRAPH))
    keys, own = _own(folder)
    tensors: dict[str, Any] = {_GRAPH: own[_GRAPH].tobytes()}
    for name, key in keys.items():
        source = parts.source(name)
        tensors[key] = (
            own[key]
            if key in own
            else parts.part(source, reader.get_tensor(of_whole[source]), shapes[key])
        )
    return tensors


def _own(folder: pathlib.Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """Return name -> key of a detached network's variables, and the tensors that it keeps."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        own = load((folder / _OWN).read_bytes())
    except SafetensorError as error:
        raise ValueError(str(error)) from None
    return _keys(own[_GRAPH].tobytes()), own


def _keys(graph: bytes) -> dict[str, str]:
    """Return the names of a checkpoint's variables and the keys of their values."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import trackable_object_graph_pb2

    try:
        nodes = trackable_object_graph_pb2.TrackableObjectGraph.FromString(graph).nodes
    except DecodeError as error:
        raise ValueError(f"the graph of its variables: {error}") from None
    found = (saved for node in nodes for saved in node.attributes)
    return {
        plain_name(saved.full_name): saved.checkpoint_key
        for saved in found
        if saved.checkpoint_key.endswith(_VALUE)
    }


def _write(folder: pathlib.Path, tensors: Mapping[str, Any]) -> None:
    """Write a checkpoint as the variables of a SavedModel."""
    import tensorflow as tf

    outer = pathlib.Path(tempfile.mkdtemp(prefix=f".{_VARIABLES}.", dir=folder))
    temporary = outer / _VARIABLES  # Inside, since what `mkdtemp` makes nobody else may read.
    try:
        temporary.mkdir()
        names = sorted(tensors)
        try:
            tf.raw_ops.SaveV2(
                prefix=str(temporary / _VARIABLES),
                tensor_names=names,
                shape_and_slices=[""] * len(names),
                tensors=[tf.constant(tensors[name]) for name in names],
            )
        except tf.errors.OpError as error:
            raise OSError(0, error.message) from None
        try:
            os.replace(temporary, folder / _VARIABLES)
        except OSError:
            if not (folder / _VARIABLES).is_dir():  # Else another reader was quicker.
                raise
    finally:
        shutil.rmtree(outer, ignore_errors=True)
