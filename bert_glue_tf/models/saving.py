"""A classifier in a folder: written with its preprocessing, described, and loaded to predict."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from bert_glue_tf.core import saved_models, strict_json
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import packing
from bert_glue_tf.data.layouts import Layout, Packed, Padded
from bert_glue_tf.data.modality import TEXTS as MODALITY
from bert_glue_tf.data.modality import Modality
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.evaluation.evaluator import PredictFn
from bert_glue_tf.models import families, heads
from bert_glue_tf.models.backbone import Backbone
from bert_glue_tf.models.classifiers import PACKED_FEATURES
from bert_glue_tf.models.examples_of import TEXT_INPUTS
from bert_glue_tf.models.parts import Graph
from bert_glue_tf.models.quantization.imitation import Trained

PREPROCESSING = "preprocessing"  # Of a saved classifier.
_ARCHITECTURE = "architecture.json"
TAGGING_HEAD = "tagging_head"  # In it, the name of a head of words.
# The SavedModel's functions of padded and of packed features.
_PADDED, _PACKED = "serve", "serve_packed"

# The signature that a server answers by where it is not told another.
SERVING = "serving_default"
TEXTS = TEXT_INPUTS


@dataclasses.dataclass(frozen=True)
class Reading:
    """The way a saved classifier reads texts.

    Attributes:
      seq_length: the longest, in word pieces.
      truncation: which pieces of longer texts are read.
    """

    seq_length: int
    truncation: str


def save(
    model: tf_keras.Model,
    backbone: Backbone,
    task: TaskSpec,
    folder: pathlib.Path,
    reading: Reading | None = None,
) -> None:
    """Write `folder` as a whole: SavedModel, preprocessing, and how to build the model again.

    The architecture that is written is that of the model's own weights, which may be smaller
    than `backbone`'s; the preprocessing is the folder that `backbone` names.

    The SavedModel's signature is int32 [batch, length] features in, `logits` out. Where the encoder
    can keep packed texts apart it has a second one, `serve_packed`, of `data.packing.INPUTS`. With
    `reading` it has `serving_default` for servers: string [batch] in, one or two as the task takes
    texts, and what `Problem.served` gives out. It holds the operators of TensorFlow Text, which
    `tensorflow_model_server` is built with; Python has to import tensorflow_text before it loads

    Keras's own `model.save` is not used: a BERT encoder makes its weights when it is first
    called, and loaded that way it comes back with random ones, silently (tf-keras 2.20).
    """
    for leftover in folder.parent.glob(f".{folder.name}.*"):  # Of a process that was killed.
        shutil.rmtree(leftover, ignore_errors=True)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        _write(model, backbone, task, temporary, reading)
        if folder.exists():  # Left by an attempt that did not come to its result record.
            shutil.rmtree(folder)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write(
    model: tf_keras.Model,
    backbone: Backbone,
    task: TaskSpec,
    folder: pathlib.Path,
    reading: Reading | None,
) -> None:
    archive = _Archive()
    archive.track(model)
    archive.add_endpoint(
        name=_PADDED,
        fn=lambda inputs: {"logits": model(inputs, training=False)},
        input_signature=[Padded(modality=task.modality).signature()],
    )
    if not backbone.why_not("packing"):
        packed = heads.over(model, packing.INPUTS)
        archive.add_endpoint(
            name=_PACKED,
            fn=lambda inputs: {"logits": packed(inputs, training=False)},
            input_signature=[PACKED_FEATURES],
        )
    if reading:
        _add_texts(archive, backbone, task, reading)
    with contextlib.redirect_stdout(io.StringIO()):  # It prints each captured variable.
        archive.write_out(str(folder))
    backbone.write_preprocessing(folder / PREPROCESSING)
    saved_models.remove_chance(folder)
    description = {
        "task": task.name,
        "labels": task.problem.labels,
        "num_classes": task.problem.width,
        **backbone.describe(model),
    }
    if word_head := heads.word_head_name(model):
        description[TAGGING_HEAD] = word_head
    (folder / _ARCHITECTURE).write_text(json.dumps(description, indent=2) + "\n")


def _add_texts(archive: _Archive, backbone: Backbone, task: TaskSpec, reading: Reading) -> None:
    """Add the signature from examples to labels, which goes through the function of features."""
    signature, features = backbone.served(task, reading.seq_length, reading.truncation)
    if backbone.preprocessing_path:
        archive.track(backbone.preprocessing)  # Its vocabulary.
    serve = getattr(archive, _PADDED)

    def answer(*examples: tf.Tensor) -> dict[str, tf.Tensor]:
        logits = serve(features(*examples))["logits"]
        return task.problem.served(tf.cast(logits, tf.float32))

    archive.add_endpoint(name=SERVING, fn=answer, input_signature=signature)


class _Archive(tf_keras.export.ExportArchive):
    """Keras's archive, with the variables in the order of the model instead of a set's."""

    _all_variables: list[tf.Variable]

    def _filter_and_track_resources(self) -> None:
        super()._filter_and_track_resources()
        order = {id(variable): number for number, variable in enumerate(self.variables)}
        self._all_variables = sorted(
            self._all_variables, key=lambda variable: order.get(id(variable), len(order))
        )


def load_saved(folder: pathlib.Path) -> Any:
    """Return a saved classifier as TensorFlow loads it.

    Raises:
      UserError: the folder holds no model.
    """
    require_model(folder)
    import tensorflow_text  # noqa: F401  (registers the operators of `serving_default`)

    return tf.saved_model.load(str(folder))


def require_model(folder: pathlib.Path) -> None:
    """Refuse a folder that is no saved classifier.

    Raises:
      UserError: it holds no model.
    """
    if not (folder / "saved_model.pb").is_file():
        raise UserError(f"{folder}: holds no model. Give the model folder of a finished run.")


@dataclasses.dataclass(frozen=True)
class SavedClassifier:
    """A saved classifier as TensorFlow runs it, without Keras."""

    saved: Any

    @classmethod
    def load(cls, folder: pathlib.Path) -> SavedClassifier:
        """Load the model of a folder.

        Raises:
          UserError: the folder holds no model, or a damaged one.
        """
        try:
            return cls(load_saved(folder))
        except UserError:
            raise
        except Exception as error:  # A damaged SavedModel fails in many ways.
            # The reason of "Graph execution error:" stands in the lines behind it.
            reason = " ".join((str(error) or type(error).__name__).split())[:400]
            raise UserError(
                f"{folder}: cannot be loaded ({reason}). Copy the whole folder of the run, or "
                "train again."
            ) from None

    def layout(self, lengths: Sequence[int], modality: Modality = MODALITY) -> Layout:
        """Return the layout that its examples are computed in with the least padding.

        Args:
          lengths: that rows are padded to where the encoder cannot keep packed texts apart.
          modality: of the examples.
        """
        if hasattr(self.saved, _PACKED):
            return Packed()
        return Padded(lengths=tuple(lengths), moves_up=False, modality=modality)

    def predict_fn(self, layout: Layout) -> PredictFn:
        """Return the classifier as a function of features, laid out as that, to logits."""
        return lambda features: self.call(layout, features).numpy()

    def call(self, layout: Layout, features: Mapping[str, np.ndarray]) -> tf.Tensor:
        """Return the logits of features, laid out as that, through which gradients pass."""
        tensors = {name: tf.constant(value) for name, value in features.items()}
        name = _PACKED if isinstance(layout, Packed) else _PADDED
        return getattr(self.saved, name)(tensors)["logits"]


def load_predict_fn(folder: pathlib.Path) -> PredictFn:
    """Return a saved classifier as a function of padded features to logits.

    Raises:
      UserError: the folder holds no model.
    """
    return SavedClassifier.load(folder).predict_fn(Padded())


def read_description(folder: pathlib.Path) -> dict[str, Any]:
    """Return what `save` wrote beside the SavedModel: task, labels, num_classes, family, encoder.

    Raises:
      UserError: the folder holds no model.
    """
    try:
        return dict(strict_json.loads((folder / _ARCHITECTURE).read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError) as error:
        raise UserError(
            f"{folder}: holds no model of this project ({_ARCHITECTURE}: {error}). "
            "Give the model folder of a finished run."
        ) from None


def family_of(folder: pathlib.Path) -> type[Backbone]:
    """Return the family of a saved classifier's encoder.

    Raises:
      UserError: the folder holds no model, or one of a family that is not known.
    """
    try:
        return families.get(read_description(folder)["family"])
    except KeyError:
        raise UserError(
            f"{folder}: its {_ARCHITECTURE} names no family of encoders. Train it again."
        ) from None
    except UserError as error:
        raise UserError(f"{folder}: {error}") from None


def graph(folder: pathlib.Path) -> Graph:
    """Return a saved classifier as a module that an export converts.

    Raises:
      UserError: the folder holds no model.
    """
    return family_of(folder).graph(folder)


def trained_grids(folder: pathlib.Path) -> Trained | None:
    """Return the grids that a saved classifier was trained on; None if on none.

    Raises:
      UserError: the folder holds no model.
    """
    return family_of(folder).trained_grids(folder)


def load_classifier(folder: pathlib.Path, dropout: float = 0.0) -> tf_keras.Model:
    """Return a saved classifier as a trainable Keras model of plain layers.

    Args:
      folder: of the saved model.
      dropout: rate before the head.

    Raises:
      UserError: the folder holds no model, or its layers cannot be built again.
    """
    return family_of(folder).load_classifier(folder, dropout)


def not_buildable(folder: pathlib.Path) -> UserError:
    """Return the error for a saved classifier of which only the SavedModel is known."""
    return UserError(
        f"{folder}: its encoder is held as a SavedModel (family saved_model), so its layers "
        "cannot be built again. Train with a standard BERT encoder for that."
    )
