"""A classifier in a folder: written with its preprocessing, described, and loaded to predict."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from bert_glue_tf.core import saved_models, strict_json
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.evaluation.evaluator import PredictFn
from bert_glue_tf.models import families
from bert_glue_tf.models.backbone import Backbone
from bert_glue_tf.models.classifiers import FEATURES
from bert_glue_tf.models.parts import Graph

_ARCHITECTURE = "architecture.json"


def save(model: tf_keras.Model, backbone: Backbone, task: TaskSpec, folder: pathlib.Path) -> None:
    """Write `folder` as a whole: SavedModel, preprocessing, and how to build the model again.

    The architecture that is written is that of the model's own weights, which may be smaller
    than `backbone`'s; the preprocessing is the folder that `backbone` names.

    The SavedModel has one signature, int32 [batch, length] features in, `logits` out.
    Keras's own `model.save` is not used: a BERT encoder makes its weights when it is first
    called, and loaded that way it comes back with random ones, silently (tf-keras 2.20).
    """
    for leftover in folder.parent.glob(f".{folder.name}.*"):  # Of a process that was killed.
        shutil.rmtree(leftover, ignore_errors=True)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        _write(model, backbone, task, temporary)
        if folder.exists():  # Left by an attempt that did not come to its result record.
            shutil.rmtree(folder)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write(model: tf_keras.Model, backbone: Backbone, task: TaskSpec, folder: pathlib.Path) -> None:
    archive = _Archive()
    archive.track(model)
    archive.add_endpoint(
        name="serve",
        fn=lambda inputs: {"logits": model(inputs, training=False)},
        input_signature=[FEATURES],
    )
    with contextlib.redirect_stdout(io.StringIO()):  # It prints each captured variable.
        archive.write_out(str(folder))
    shutil.copytree(backbone.preprocessing_path, folder / "preprocessing")
    saved_models.remove_chance(folder)
    description = {
        "task": task.name,
        "labels": task.problem.labels,
        "num_classes": task.problem.width,
        **backbone.describe(model),
    }
    (folder / _ARCHITECTURE).write_text(json.dumps(description, indent=2) + "\n")


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
    return tf.saved_model.load(str(folder))


def require_model(folder: pathlib.Path) -> None:
    """Refuse a folder that is no saved classifier.

    Raises:
      UserError: it holds no model.
    """
    if not (folder / "saved_model.pb").is_file():
        raise UserError(f"{folder}: holds no model. Give the model folder of a finished run.")


def load_predict_fn(folder: pathlib.Path) -> PredictFn:
    """Return a saved classifier as a function of features to logits.

    Raises:
      UserError: the folder holds no model.
    """
    saved = load_saved(folder)

    def predict(features: Mapping[str, np.ndarray]) -> np.ndarray:
        tensors = {name: tf.constant(value) for name, value in features.items()}
        # `predict` keeps `saved`, and with it the variables, alive.
        return saved.serve(tensors)["logits"].numpy()

    return predict


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
