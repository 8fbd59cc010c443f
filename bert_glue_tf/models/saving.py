"""A classifier in a folder: written with its preprocessing, described, and loaded to predict."""

from __future__ import annotations

import contextlib
import dataclasses
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
from bert_glue_tf.models.bert.architecture import architecture_of, by_canonical_name
from bert_glue_tf.models.classifiers import FEATURES
from bert_glue_tf.models.loading import Encoder

_ARCHITECTURE = "architecture.json"


def save(model: tf_keras.Model, encoder: Encoder, task: TaskSpec, folder: pathlib.Path) -> None:
    """Writes `folder` as a whole: SavedModel, preprocessing, and how to build the model again.

    The architecture that is written is that of the model's own weights, which may be smaller
    than `encoder`'s; the preprocessing is the folder that `encoder` names.

    The SavedModel has one signature, int32 [batch, length] features in, `logits` out.
    Keras's own `model.save` is not used: `BertEncoderV2` creates its weights when first
    called, and loaded that way it comes back with random ones, silently (tf-keras 2.20).
    """
    for leftover in folder.parent.glob(f".{folder.name}.*"):  # Of a process that was killed.
        shutil.rmtree(leftover, ignore_errors=True)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        _write(model, encoder, task, temporary)
        if folder.exists():  # Left by an attempt that did not come to its result record.
            shutil.rmtree(folder)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write(model: tf_keras.Model, encoder: Encoder, task: TaskSpec, folder: pathlib.Path) -> None:
    archive = _Archive()
    archive.track(model)
    archive.add_endpoint(
        name="serve",
        fn=lambda inputs: {"logits": model(inputs, training=False)},
        input_signature=[FEATURES],
    )
    with contextlib.redirect_stdout(io.StringIO()):  # It prints each captured variable.
        archive.write_out(str(folder))
    shutil.copytree(encoder.preprocessing_path, folder / "preprocessing")
    saved_models.remove_chance(folder)
    architecture = encoder.architecture and architecture_of(
        by_canonical_name(model.variables), encoder.architecture
    )
    description = {
        "task": task.name,
        "labels": task.problem.labels,
        "num_classes": task.problem.width,
        # None for an opaque encoder: then only the SavedModel tells how to compute it.
        "encoder": architecture and dataclasses.asdict(architecture),
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
    if not (folder / "saved_model.pb").is_file():
        raise UserError(f"{folder}: holds no model. Give the model folder of a finished run.")
    return tf.saved_model.load(str(folder))


def load_predict_fn(folder: pathlib.Path) -> PredictFn:
    """The saved model as a function of features to logits; works for every encoder.

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
    """What `save` wrote beside the SavedModel: task, labels, num_classes, encoder (or None).

    Raises:
      UserError: the folder holds no model.
    """
    try:
        return dict(strict_json.loads((folder / _ARCHITECTURE).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder}: holds no model of this project ({_ARCHITECTURE}: {error}). "
            "Give the model folder of a finished run."
        ) from None
