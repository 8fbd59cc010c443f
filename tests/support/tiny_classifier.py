"""A small native classifier with weights that are not near zero."""

from __future__ import annotations

import numpy as np
import tiny_bert

from bert_glue_tf.data import tasks
from bert_glue_tf.models import modeling
from bert_glue_tf.models.bert import native


def classifier(architecture, task="mnli", seed=0):
    """A native classifier with weights that are not near zero, so that errors show."""
    drawn = tiny_bert.weights(architecture, seed)
    encoder = native.build_native(architecture, drawn.__getitem__)
    model = modeling.build_classifier(encoder, tasks.get(task), dropout=0.1, seed=seed)
    random = np.random.default_rng(seed)
    kernel, bias = model.get_layer(modeling.CLASSIFIER).get_weights()
    model.get_layer(modeling.CLASSIFIER).set_weights(
        [random.normal(size=kernel.shape), random.normal(size=bias.shape)]
    )
    return model, drawn


def saved_weights(model, architecture, drawn):
    kernel, bias = model.get_layer(modeling.CLASSIFIER).get_weights()
    return modeling.SavedWeights(architecture, drawn, kernel, bias)
