"""Patterns of 3 x 3 kernels and whole kernels: what is kept, by hand, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_small
from messages import refuses
from tiny_classifier import start

from bert_glue_tf.compression import registry
from bert_glue_tf.compression.schedule import PruningContext
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.models import classifiers
from bert_glue_tf.pruning.kernel_pattern import KernelPattern
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.training import network

MAP = (10, 6)


def prepared(encoder: str = "okg_net", shape=MAP, **changes: object):
    """Return a method that has looked at a small network, and its model."""
    settings = {"final_sparsity": 0.8, "pruning_scope": "encoder", **changes}
    config = ExperimentConfig(
        task="keywords", encoder=encoder, pruning_method="kernel_pattern", **settings
    )
    made = registry.build(config)
    backbone = tiny_small.backbone(encoder, shape=shape)
    task = tiny_small.task(shape)
    made.reshape(start(backbone, task))
    model = classifiers.build_classifier(backbone.layer, task, dropout=0.0, seed=1)
    return made, made.prepare(model, PruningContext.from_config(config, 10, made.waits))


def kernels_of(group) -> np.ndarray:
    """Return the kernels of a convolution: [channels x filters, 9]."""
    return group.members[0].variable.numpy().reshape(9, -1).T


def test_kernels_take_their_best_pattern_and_the_weakest_go_by_hand():
    made = KernelPattern({"entries": 4, "patterns": 2})
    whole = np.ones((4, 9), bool)
    left, right = [1, 1, 0, 1, 1, 0, 0, 0, 0], [0, 1, 1, 0, 1, 1, 0, 0, 0]
    patterns = np.array([left, right], bool)
    kernels = np.array(
        [
            [9, 9, 1, 9, 9, 1, 0, 0, 0],  # Keeps 324, loses 2.
            [1, 8, 8, 1, 8, 8, 0, 0, 0],  # Keeps 256, loses 2,
            [3, 3, 3, 3, 3, 3, 3, 3, 3],  # keeps 36, loses 45: both patterns alike,
            [1, 1, 0, 1, 1, 0, 0, 0, 2],  # and keeps 4, loses 4.
        ],
        np.float32,
    )
    # 5 of 9 weights of each kernel: all take a pattern.
    mask = made.mask_of(kernels, patterns, 5 / 9, whole)
    np.testing.assert_array_equal(mask, patterns[[0, 1, 0, 0]])
    # A quarter of the kernels besides: (4 x 5 + 4) of 36 weights. The last one keeps least.
    mask = made.mask_of(kernels, patterns, 24 / 36, mask)
    np.testing.assert_array_equal(mask[:3], patterns[[0, 1, 0]])
    assert not mask[3].any()
    # Half of that on the way: two kernels take a pattern, those that lose least.
    mask = made.mask_of(kernels, patterns, 10 / 36, whole)
    np.testing.assert_array_equal(mask, [left, right, [1] * 9, [1] * 9])
    # One that has its pattern keeps it, whatever its weights have become.
    mask = made.mask_of(kernels[:, ::-1].copy(), patterns, 10 / 36, mask)
    np.testing.assert_array_equal(mask[:2], [left, right])
    # A kernel is always left.
    assert made.mask_of(kernels, patterns, 0.999, whole).any(axis=1).sum() == 1


def test_the_set_of_patterns_is_the_networks_most_frequent_ones():
    made, _ = prepared(pruning_options="patterns=3", final_sparsity=0.6)
    assert [group.name for group in made.all_groups] == [
        f"conv/conv_{n}/kernel" for n in (1, 2, 3, 4)
    ]
    before = np.concatenate([kernels_of(group) for group in made.all_groups])
    own = np.argsort(-np.abs(before), axis=1)[:, :4]
    rows, counts = np.unique(np.sort(own, axis=1), axis=0, return_counts=True)
    most = {tuple(row) for row in rows[np.argsort(-counts, kind="stable")[:3]]}
    made.update(0.6)
    seen = set()
    for group in made.all_groups:
        after = kernels_of(group)
        left = after.any(axis=1)
        seen |= {tuple(np.flatnonzero(kernel)) for kernel in after[left]}
        # 0.6 of 9 weights: 5 by the pattern, and a tenth of the kernels whole.
        assert 1 - left.mean() == pytest.approx(0.1, abs=0.5 / len(after))
    assert len(seen) == 3
    counted = sorted(counts, reverse=True)
    assert counted[2] > counted[3] or seen <= {tuple(row) for row in rows}
    if counted[2] > counted[3]:
        assert seen == most


def test_each_kernel_keeps_the_pattern_of_its_largest_norm():
    made, _ = prepared(final_sparsity=5 / 9)
    before = [kernels_of(group) for group in made.all_groups]
    made.update(5 / 9)
    masks = [made.mask(group).reshape(9, -1).T for group in made.all_groups]
    patterns = np.unique(np.concatenate(masks), axis=0)
    assert len(patterns) <= 8
    assert set(patterns.sum(axis=1)) == {4}
    for kernels, mask in zip(before, masks, strict=True):
        energy = np.square(kernels) @ patterns.T
        kept = (np.square(kernels) * mask).sum(axis=1)
        np.testing.assert_allclose(kept, energy.max(axis=1), rtol=1e-5)


def test_a_filter_without_a_kernel_is_cut_out_and_the_answers_stay():
    made, model = prepared(final_sparsity=0.95)
    made.update(0.95)
    batch = {"values": np.random.default_rng(2).normal(size=(4, *MAP)).astype(np.float32)}
    expected = model(batch).numpy()
    smaller = made.finalize(model)
    assert smaller.count_params() < model.count_params()
    np.testing.assert_allclose(smaller(batch), expected, atol=1e-5)


def test_a_convolution_may_have_a_sparsity_of_its_own():
    made, _ = prepared(final_sparsity=0.8, region_sparsities="conv_2=0.6")
    made.update(0.8)
    shares = {group.name: 1 - made.mask(group).mean() for group in made.all_groups}
    wanted = dict.fromkeys(shares, 0.8) | {"conv/conv_2/kernel": 0.6}
    assert shares == pytest.approx(wanted, abs=0.01)
    with refuses(UserError, "0.5556"):
        prepared(final_sparsity=0.8, region_sparsities="conv_2=0.4")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"final_sparsity": 0.4}, ["--final_sparsity=0.4", "0.5556", "entries=6"]),
        ({"pruning_options": "entries=9"}, ["entries=9", "1 to 8"]),
        ({"pruning_options": "patterns=0"}, ["patterns=0", "1 to 126"]),
        ({"ranking": "global"}, ["--ranking=global"]),
        ({"pruning_options": "score=movement"}, ["score=movement"]),
        ({"pruning_scope": "classifier"}, ["kernel_pattern", "3 x 3"]),
        ({"encoder": "lenet5", "shape": tiny_small.SHAPE}, ["kernel_pattern", "okg_net"]),
    ],
)
def test_what_cannot_be_is_refused(changes, named):
    with refuses(UserError, *named):
        prepared(**changes)


def test_of_a_bert_no_kernels_are_removed(tiny_encoder):
    config = ExperimentConfig(encoder=tiny_encoder, pruning_method="kernel_pattern", seq_length=16)
    with refuses(UserError, "--pruning_method=kernel_pattern", "is a BERT", "okg_net"):
        network.load_encoder(config, registry.build(config))


def test_admm_goes_towards_patterns():
    config = ExperimentConfig(
        task="keywords",
        encoder="okg_net",
        pruning_method="admm",
        pruning_options="structure=kernel_pattern entries=3 patterns=5",
    )
    made = registry.build(config)
    assert made.needs == ("kernel",)
    assert made._inner.settings["entries"] == 3
    assert made._inner.settings["patterns"] == 5
