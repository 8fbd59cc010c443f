"""A saved model to the float32 file, by TensorFlow's converter."""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bert_glue_tf.core import memory, quiet
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.export import flatbuffer, litert
from bert_glue_tf.models.parts import MASKED, stand_in

if TYPE_CHECKING:
    import tensorflow as tf

    from bert_glue_tf.models.parts import Graph

Table = Callable[[], np.ndarray]  # Reads word embeddings, float32 [pieces, width].


def convert(
    model_folder: pathlib.Path, lengths: Sequence[int], batches: Sequence[int] = (1,)
) -> bytes:
    """Convert a saved model to a float32 file, one signature for each length and batch.

    The signatures (`litert.signature`) share their weights. Inputs int32 [batch, length] by name,
    output `logits` float32 [batch, classes].

    Args:
      model_folder: of the saved model.
      lengths: in word pieces.
      batches: numbers of texts at a time, 1 among them.

    Raises:
      UserError: the folder holds no model, a length is above what the encoder's positions
        allow, or the graph needs operators that LiteRT does not have.
    """
    from bert_glue_tf.models import saving

    what = str(model_folder)
    with tempfile.TemporaryDirectory() as folder:
        keys, table = _save_light(saving.graph(model_folder), lengths, folder, batches)
        # The graph holds the weights twice, which are in the folder then.
        memory.collect(sum(path.stat().st_size for path in pathlib.Path(folder).glob("*/*")))
        return _finished(_converted(folder, keys, what), what, table)


def convert_module(module: Graph, lengths: Sequence[int], what: str, sparse: bool = False) -> bytes:
    """Convert a graph in memory.

    Args:
      module: from `saving.graph`.
      lengths: as for `convert`.
      what: names the graph in messages.
      sparse: whether constants with many zeros are stored sparse
        (`tf.lite.Optimize.EXPERIMENTAL_SPARSITY`). No recipe does: docs/results/sparse_tflite.md
        says what comes of it.

    Raises:
      UserError: as `convert`.
    """
    import tensorflow as tf

    optimizations = [tf.lite.Optimize.EXPERIMENTAL_SPARSITY] if sparse else []
    content = from_converter(module, lengths, what, optimizations)
    return _finished(content, what)


def _finished(content: bytes, what: str, table: Table | None = None) -> bytes:
    """Return the converter's file with the operators and constants that LiteRT likes best.

    Args:
      content: of the file.
      what: names the graph in messages.
      table: reads the word embeddings, where `stand_in` stands for them in the file.
    """
    memory.collect(len(content))  # The converter's own copies.
    model = flatbuffer.read(content)
    del content
    flatbuffer.drop_location(model)
    flatbuffer.require_builtin(model, what)
    flatbuffer.use_embedding_lookup(model)
    flatbuffer.clip_constants(model, MASKED)
    if table is not None:
        words = table()
        flatbuffer.replace_constant(model, stand_in(words.shape[1]), words)
    return flatbuffer.write(model)


def from_converter(
    module: Graph,
    lengths: Sequence[int],
    what: str,
    optimizations: Sequence[tf.lite.Optimize] = (),
    examples: Sequence[Mapping[str, np.ndarray]] = (),
) -> bytes:
    """Return the file as TensorFlow's converter makes it, with its own optimizations.

    Args:
      module: from `saving.graph`.
      lengths: a signature for each.
      what: names the graph in messages.
      optimizations: of the converter; `DEFAULT` quantizes weights to int8.
      examples: with `DEFAULT`: features, int32 [1, one of `lengths`] each, that calibrate static
        int8 activations; none leaves the activations float.

    Raises:
      UserError: the converter refuses the graph.
    """
    with tempfile.TemporaryDirectory() as folder:
        keys = _save(module, lengths, folder)
        return _converted(folder, keys, what, optimizations, examples)


def _save_light(
    module: Graph, lengths: Sequence[int], folder: str, batches: Sequence[int]
) -> tuple[list[str], Table | None]:
    """Write a graph as `_save`, without its word embeddings where it can, and return their reader.

    They are half of the model where the vocabulary is large, and the converter, which does nothing
    with them, has held them five times at its peak.
    """
    light = module.without_table()
    if light is None:
        return _save(module, lengths, folder, batches), None
    return _save(light.graph, lengths, folder, batches), light.table


def _save(
    module: Graph, lengths: Sequence[int], folder: str, batches: Sequence[int] = (1,)
) -> list[str]:
    """Write a graph as a SavedModel, and return its signatures' names."""
    import tensorflow as tf

    functions = {
        litert.signature(length, batch): module.function(length, batch)
        for batch in batches
        for length in lengths
    }
    with quiet.tools():
        tf.saved_model.save(module, folder, signatures=functions)
    return list(functions)


def _converted(
    folder: str,
    keys: Sequence[str],
    what: str,
    optimizations: Sequence[tf.lite.Optimize] = (),
    examples: Sequence[Mapping[str, np.ndarray]] = (),
) -> bytes:
    """Return the file of a SavedModel's signatures; the arguments are those of `from_converter`."""
    import tensorflow as tf

    with quiet.tools():
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=list(keys))
        converter.optimizations = list(optimizations)
        if not optimizations:
            # The converter then leaves out two passes over the file that hold it five times, and
            # change nothing in it: constants of several signatures are shared before them.
            converter._experimental_use_buffer_offset = True
        if examples:
            keyed = [
                (litert.SIGNATURE.format(features["input_mask"].shape[1]), features)
                for features in examples
            ]
            converter.representative_dataset = lambda: iter(keyed)
        try:
            content: bytes = converter.convert()
            return content
        except Exception as error:  # MLIR's errors have many types and long texts.
            reason = str(error).strip().splitlines()[0][:200]
            raise UserError(
                f"{what}: TensorFlow's converter to TFLite refuses it ({reason})."
            ) from None
