"""A small BERT classifier with weights that are not near zero."""

from __future__ import annotations

import numpy as np
import tiny_bert

from bert_glue_tf.compression.start import Start
from bert_glue_tf.data import tasks
from bert_glue_tf.data.examples import Examples
from bert_glue_tf.models import classifiers, heads
from bert_glue_tf.models.bert.classifier_weights import SavedWeights
from bert_glue_tf.models.bert.network import build_encoder


def classifier(architecture, task="mnli", seed=0):
    """A BERT classifier with weights that are not near zero, so that errors show.

    `task` is a name or a TaskSpec.
    """
    task = tasks.get(task) if isinstance(task, str) else task
    drawn = tiny_bert.weights(architecture, seed)
    encoder = build_encoder(architecture, drawn.__getitem__)
    model = classifiers.build_classifier(encoder, task, dropout=0.1, seed=seed)
    random = np.random.default_rng(seed)
    kernel, bias = model.get_layer(heads.CLASSIFIER).get_weights()
    model.get_layer(heads.CLASSIFIER).set_weights(
        [random.normal(size=kernel.shape), random.normal(size=bias.shape)]
    )
    return model, drawn


def saved_weights(model, architecture, drawn):
    kernel, bias = model.get_layer(heads.CLASSIFIER).get_weights()
    return SavedWeights(architecture, drawn, kernel, bias)


def start(backbone, task, sparsity=0.5):
    """Return the start that a run gives its pruning method; there are no examples."""
    return Start(backbone, None, task, Examples(([],), None, {}), {}, None, sparsity, 12, 1)
