"""Filters and channels of convolutions: how they are ranked, and what pruning them gives."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tiny_cnn
from messages import refuses
from tiny_classifier import start

from bert_glue_tf.compression import registry
from bert_glue_tf.compression.schedule import PruningContext
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.models import classifiers
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.training import network

TASK = tasks.get("sst2")
SHAPES = tiny_cnn.architecture()


def prepared(method: str, **changes: object):
    """Return a method that has looked at a tiny network, and its model."""
    settings = {"final_sparsity": 0.5, "pruning_scope": "encoder", **changes}
    config = ExperimentConfig(task="sst2", pruning_method=method, **settings)
    made = registry.build(config)
    backbone = tiny_cnn.backbone(tiny_cnn.built(SHAPES), SHAPES)
    made.reshape(start(backbone, TASK))
    model = classifiers.build_classifier(backbone.layer, TASK, dropout=0.0, seed=1)
    context = PruningContext.from_config(config, 10, made.waits)
    return made, made.prepare(model, context)


def test_a_filter_is_ranked_by_its_own_weights():
    made, _ = prepared("filter")
    drawn = tiny_cnn.weights(SHAPES)
    names = ["conv_1/width_5", "conv_1/width_3", "conv_2/width_3"]
    assert [group.name for group in made.all_groups] == [f"{name}/filters" for name in names]
    for name, group in zip(names, made.all_groups, strict=True):
        expected = np.abs(drawn[f"{name}/kernel"]).mean(axis=(0, 1))
        np.testing.assert_allclose(made.score(group), expected, rtol=1e-5)


def test_a_channel_is_ranked_by_what_reads_it():
    made, _ = prepared("channel")
    first, second = made.all_groups  # What the head reads is no channel.
    assert (first.name, second.name) == ("conv_1/width_5/channels", "conv_1/width_3/channels")
    read = np.abs(tiny_cnn.weights(SHAPES)["conv_2/width_3/kernel"]).mean(axis=(0, 2))
    np.testing.assert_allclose(made.score(first), read[:4], rtol=1e-5)
    np.testing.assert_allclose(made.score(second), read[4:], rtol=1e-5)


@pytest.mark.parametrize("method", ["filter", "channel"])
def test_what_is_pruned_is_gone_from_the_network(method):
    made, model = prepared(method)
    made.update(0.5)
    for group in made.all_groups:
        lost = made.score(group) * made.mask(group)
        kept = np.sort(made.score(group))[group.count // 2 :]
        np.testing.assert_allclose(np.sort(lost)[group.count // 2 :], kept)
        for member in group.members:
            values = member.variable.numpy().reshape(-1, group.count)
            np.testing.assert_array_equal(values.any(axis=0), made.mask(group))
    smaller = made.finalize(model)
    layers = made.backbone.describe(smaller)["encoder"]["layers"]
    last = 8 if method == "filter" else 16
    assert layers == (((2, 5), (4, 3)), ((last, 3),))
    whole, left = model.count_params(), smaller.count_params()
    assert left < whole


def test_of_a_bert_no_filters_are_removed(tiny_encoder):
    for method, options in (("filter", ""), ("admm", "structure=filter")):
        config = ExperimentConfig(
            encoder=tiny_encoder, pruning_method=method, pruning_options=options, seq_length=16
        )
        with refuses(UserError, f"--pruning_method={method}", "is a BERT", "docs/cnn.md"):
            network.load_encoder(config, registry.build(config))


def test_frozen_vectors_are_pruned_by_magnitude_and_not_by_gradients():
    made, _ = prepared("magnitude", pruning_scope="embeddings")
    assert [group.name for group in made.all_groups] == [
        "words/general/embeddings",
        "words/domain/embeddings",
    ]
    made.update(0.5)
    sparsities = [float((g.members[0].variable.numpy() == 0).mean()) for g in made.all_groups]
    assert sparsities == pytest.approx([0.5, 0.5], abs=0.01)
    with refuses(UserError, "--pruning_scope=all", "words/general/embeddings", "movement"):
        prepared("movement", pruning_scope="all", initial_sparsity=0.0)


def test_nothing_but_classifier_weights_in_scope_is_told():
    with refuses(UserError, "--pruning_method=filter", "kernel"):
        prepared("filter", pruning_scope="classifier")


def test_units_are_values():
    made, _ = prepared("channel")
    (reader,) = made.all_groups[1].readers
    assert (reader.axis, reader.start) == (1, 4)
    assert (
        dataclasses.replace(reader, start=0).total(np.ones((3, 12, 16)), 4).tolist() == [48.0] * 4
    )
