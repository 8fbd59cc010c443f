"""Small networks: what they compute, what they gather while they train, and what is cut out."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import tf_keras
import tiny_small
from messages import refuses

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.arrays import VALUES
from bert_glue_tf.models import classifiers, encoders, families, loading
from bert_glue_tf.models.small import cutting, layer
from bert_glue_tf.models.small.architecture import DEVIATION, MEAN, Architecture, weight_of
from bert_glue_tf.models.small.classifier_weights import weights_of
from bert_glue_tf.models.small.designs import DESIGNS
from bert_glue_tf.models.small.export_graph import ExportGraph, folded

# Design -> the shape of a small example that it reads.
SHAPES = {"lenet5": (12, 12, 1), "har_net": (16, 3), "okg_net": (10, 6), "sqnxt23": (32, 32, 3)}


def drawn(shapes: Architecture, seed: int = 0) -> dict[str, np.ndarray]:
    """Return random weights, none of which is what it begins with."""
    random = np.random.default_rng(seed)
    found = {}
    for name, shape in shapes.shapes().items():
        value = random.normal(0.0, 0.3, shape)
        if name.endswith("/kernel"):
            value = random.normal(0.0, math.sqrt(2.0 / math.prod(shape[:-1])), shape)
        if name.endswith(("variance", "deviation", "scale")):
            value = random.uniform(0.5, 1.5, shape)
        found[name] = value.astype(np.float32)
    return found


def batch(shape: tuple[int, ...], count: int = 3) -> np.ndarray:
    return np.random.default_rng(9).normal(size=(count, *shape)).astype(np.float32)


@pytest.mark.parametrize("design", DESIGNS)
def test_it_computes_what_numpy_does(design):
    shapes = Architecture(design, SHAPES[design])
    weights, values = drawn(shapes), batch(SHAPES[design])
    found = layer.build(shapes, weights.__getitem__)({VALUES: values})
    expected = tiny_small.forward(shapes, weights, values)
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(found["pooled_output"] / scale, expected / scale, atol=1e-5)
    np.testing.assert_array_equal(found["sequence_output"][:, 0], found["pooled_output"])


def test_the_designs_are_those_of_their_papers():
    lenet = Architecture("lenet5", (28, 28, 1))
    kernels = {n: s for n, s in lenet.shapes().items() if n.endswith("kernel")}
    assert list(kernels.values()) == [
        (5, 5, 1, 6),
        (5, 5, 6, 16),
        (5, 5, 16, 120),  # The maps of 5 x 5 as a whole: C5.
        (1, 1, 120, 84),  # F6.
    ]
    # LeCun et al. 1998: 156, 48,120 and 10,164 weights of C1, C5 and F6; C3 reads all maps here.
    sizes = [math.prod(s) + s[-1] for s in kernels.values()]
    assert sizes == [156, 2416, 48120, 10164]
    names = [one.name for one in DESIGNS["sqnxt23"].layers]
    blocks = [name for name in names if name.count("_") == 3 and name[-1].isdigit()]
    assert len(blocks) == 21  # With the first and the last convolution 23.
    maps = Architecture("sqnxt23", (64, 64, 3)).maps()
    assert maps["section_1_block_6"] == (16, 16, 32)
    assert maps["section_4_block_1"] == (2, 2, 256)
    assert Architecture("har_net", (128, 9)).maps()["conv_3"] == (16, 1, 64)
    assert Architecture("okg_net", (49, 10)).map_shape == (49, 10, 1)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"design": "resnet"}, "lenet5, har_net"),
        ({"shape": (28, 28)}, "[28, 28, 1]"),
        ({"shape": (4, 4, 1)}, "too small"),
        ({"filters": {"c9": 3}}, "c9"),
        ({"filters": {"c1": 0}}, "c1"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_shapes_that_no_network_has_are_refused(changes, named):
    with refuses(ValueError, named):
        dataclasses.replace(Architecture("lenet5", (28, 28, 1)), **changes)


# --- trained and not ---


def test_while_it_trains_it_normalizes_by_the_batch_and_gathers():
    shapes = Architecture("har_net", SHAPES["har_net"])
    weights, values = drawn(shapes), batch(SHAPES["har_net"], 16)
    net = layer.build(shapes, weights.__getitem__)
    net({VALUES: values}, training=True)
    x = (values - weights[MEAN]) / weights[DEVIATION]
    below = np.pad(x[:, :, None], ((0, 0), (2, 2), (0, 0), (0, 0)))
    kernel = weights[weight_of("conv_1", "kernel")]
    made = sum(below[:, i : i + 16] @ kernel[i, 0] for i in range(5))
    after = {v.name.split(":")[0]: v.numpy() for v in net.variables}
    for leaf, seen in (("mean", made.mean((0, 1, 2))), ("variance", made.var((0, 1, 2)))):
        name = weight_of("conv_1", leaf)
        np.testing.assert_allclose(after[name], 0.9 * weights[name] + 0.1 * seen, rtol=1e-4)
    trained = {v.name.split(":")[0] for v in net.trainable_variables}
    assert not {n for n in trained if n.endswith(("mean", "variance", "deviation"))}


def test_a_filter_of_zeros_gives_zero_whatever_was_gathered_before():
    shapes = Architecture("har_net", SHAPES["har_net"])
    weights = drawn(shapes)
    weights[weight_of("conv_3", "kernel")][..., 5] = 0
    weights[weight_of("conv_3", "bias")][5] = 0
    found = layer.build(shapes, weights.__getitem__)({VALUES: batch(SHAPES["har_net"])})
    assert not found["pooled_output"].numpy()[:, 5].any()


@pytest.mark.parametrize("design", DESIGNS)
def test_its_graph_has_the_normalization_in_its_kernels(design):
    model, backbone = classifier(design)
    values = batch(SHAPES[design])
    weights = weights_of(model, backbone.architecture)
    assert not [name for name in folded(weights) if name.endswith(("scale", "variance"))]
    found = ExportGraph(weights).function(1, 3)(values=values)["logits"]
    expected = model({VALUES: values})
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(found / scale, expected / scale, atol=1e-5)


def classifier(design: str):
    """Return a classifier on a network with the weights of `drawn`, and its backbone."""
    shape = SHAPES[design]
    begun = loading.load(encoders.resolve(design)).fitted(tiny_small.examples(6, shape))
    values = drawn(begun.architecture)
    backbone = begun.with_weights([values[name] for name, _ in begun.weights()])
    task = tiny_small.task(shape)
    return classifiers.build_classifier(backbone.layer, task, dropout=0.0, seed=1), backbone


def test_a_run_draws_its_weights_by_its_seed():
    backbone = tiny_small.backbone()
    one, again, other = (dict(backbone.with_first_weights(seed).weights()) for seed in (1, 1, 2))
    for name, value in one.items():
        np.testing.assert_array_equal(value, again[name])
        assert np.array_equal(value, other[name]) == (not name.endswith("/kernel"))
    np.testing.assert_allclose(one["conv/c5/kernel"].std(), math.sqrt(2 / 16), rtol=0.05)
    np.testing.assert_allclose(one[MEAN], tiny_small.examples().values.mean(), rtol=1e-5)


def test_a_value_that_never_changes_is_only_centred():
    read = tiny_small.examples(20)
    constant = dataclasses.replace(read, values=np.full_like(read.values, 7))
    fitted = dict(loading.load(encoders.resolve("lenet5")).fitted(constant).weights())
    assert (fitted[MEAN], fitted[DEVIATION]) == (7.0, 1.0)


def test_it_is_a_family_of_networks_that_begin_by_their_names():
    small = families.get("small")
    assert [name for name, one in encoders.ENCODERS.items() if one.kind == "small"] == list(DESIGNS)
    with refuses(UserError, "--encoder=lenet5", "[128, 9]", "har_net, okg_net"):
        from bert_glue_tf.data import tasks

        small.check_examples("lenet5", tasks.get("har").modality)


# --- cut out ---


@pytest.mark.parametrize("design", ["lenet5", "har_net", "sqnxt23"])
def test_what_gives_nothing_or_is_not_read_is_cut_out(design):
    shapes = Architecture(design, SHAPES[design])
    weights, values = drawn(shapes), batch(SHAPES[design])
    head = np.random.default_rng(1).normal(size=(shapes.hidden, 3)).astype(np.float32)
    first, second = next(
        (one.name, reader)
        for one in shapes.layers
        for reader in shapes.readers(one.name)
        if not shapes.is_summed(one.name) and len(shapes.readers(one.name)) == 1
    )
    weights[weight_of(first, "kernel")][..., 1] = 0  # Gives nothing,
    weights[weight_of(first, "bias")][1] = -0.5
    weights[weight_of(first, "kernel")][..., 2] = 0  # gives something still,
    weights[weight_of(first, "bias")][2] = 0.5
    weights[weight_of(second, "kernel")][:, :, 3] = 0  # and this one nothing reads.
    head[[0, 5]] = 0
    left, smaller, rows = cutting.cut(weights, shapes, head)
    filters = {one.name: one.filters for one in smaller.layers}
    assert filters[first] == {one.name: one.filters for one in shapes.layers}[first] - 2
    assert filters[shapes.layers[-1].name] == shapes.hidden - 2 == len(rows)
    expected, found = (
        layer.build(one, w.__getitem__)({VALUES: values})["pooled_output"].numpy() @ last
        for one, w, last in ((shapes, weights, head), (smaller, left, rows))
    )
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(found / scale, expected / scale, atol=1e-5)
    assert smaller.is_part_of(shapes)
    assert not shapes.is_part_of(smaller)


def test_what_is_summed_keeps_its_filters():
    shapes = Architecture("sqnxt23", SHAPES["sqnxt23"])
    summed = {one.name for one in shapes.layers if shapes.is_summed(one.name)}
    assert "section_1_block_1" in summed
    assert "section_1_block_1_shortcut" in summed
    assert "section_1_block_1_rows" not in summed
    nothing = {n: np.zeros_like(v) if n.endswith(("kernel", "bias")) else v
               for n, v in drawn(shapes).items()}  # fmt: skip
    _, smaller, _ = cutting.cut(nothing, shapes, np.zeros((shapes.hidden, 3), np.float32))
    for one, whole in zip(smaller.layers, shapes.layers, strict=True):
        assert one.filters == (whole.filters if one.name in summed else 1)


def test_it_is_saved_with_plain_layers_and_described(tmp_path):
    model, backbone = classifier("okg_net")
    assert isinstance(model, tf_keras.Model)
    told = backbone.describe(model)["encoder"]
    assert told == {"design": "okg_net", "shape": (10, 6), "filters": {}, "dropout": 0.0}
    assert Architecture(**told) == backbone.architecture
