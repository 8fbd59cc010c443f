"""Int8's selection: ranges by hand, and the operator that ruins a network is found."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_bert
from messages import refuses
from test_tflite import random_batch
from tiny_classifier import classifier, saved_weights

from bert_glue_tf.export import (
    calibration,
    flatbuffer,
    litert,
    quantize,
)
from bert_glue_tf.export.calibration import Histogram
from bert_glue_tf.export.selection import _most_within, conclusion, report, select
from bert_glue_tf.models.bert import export_graph
from bert_glue_tf.models.parts import MASKED

LENGTH = 16
OUTLIER = 100.0


def histogram_of(values, low, high, bins=100):
    return Histogram(low, high, np.histogram(values, bins, (low, high))[0])


def test_extremes_are_the_ends():
    assert histogram_of([0.0, 1.0], -2.0, 3.0).extremes() == (-2.0, 3.0)


def test_percentiles_leave_out_the_tails_on_either_side():
    values = np.arange(1000) / 1000 + 0.0005  # One value in each thousandth of [0, 1].
    histogram = Histogram(0.0, 1.0, np.histogram(values, 1000, (0.0, 1.0))[0])
    low, high = histogram.percentile(0.98)
    assert (low, high) == (pytest.approx(0.010, abs=1e-9), pytest.approx(0.990, abs=1e-9))
    assert histogram.percentile(1.0) == (0.0, 1.0)


def test_a_single_far_value_is_cut_by_least_squares_and_an_even_spread_is_not():
    even = np.linspace(-1, 1, 10001)
    assert histogram_of(even, -1, 1, 2048).least_squares() == (-1.0, 1.0)
    # A million values within 1 and one of 40: rounding them all to steps of 41 / 255 costs
    # 0.0022 each, clipping the one to 10 only 30**2 / 10**6 = 0.0009.
    many = np.concatenate([np.random.default_rng(0).uniform(-1, 1, 10**6), [40.0]])
    low, high = histogram_of(many, -1, 40, 2048).least_squares()
    assert high < 20
    assert low == -1


def test_least_squares_always_covers_zero():
    low, high = histogram_of(np.linspace(2, 3, 100), 2.0, 3.0).least_squares()
    assert low == 0.0
    assert high > 2.5


def test_the_longest_prefix_within_the_budget_is_found():
    noise = [0.0, 0.1, 0.2, 0.5, 0.9, 2.0]
    for budget, expected in ((-1, 0), (0.0, 0), (0.15, 1), (0.5, 3), (5, 5)):
        assert _most_within(budget, 5, noise.__getitem__) == expected


def network(outlier):
    """A network in which one channel of the first layer's feed-forward output is large."""
    architecture = tiny_bert.architecture(layers=2, hidden=32, heads=4)
    model, drawn = classifier(architecture, task="mnli")
    if outlier:
        drawn["transformer/layer_0/output/kernel"][:, 3] *= outlier
        # The layer norm behind it divides all channels by the large one; its gamma takes the
        # others back to their size, and with them the noise of a scale spent on the large one.
        gamma = drawn["transformer/layer_0/output_layer_norm/gamma"]
        large = gamma[3] / outlier
        gamma *= outlier / np.sqrt(len(gamma))
        gamma[3] = large
        # Scores stay as large as those of a trained network: with the thousands that the outlier
        # would make of them, rounding alone would decide which token is read.
        drawn["transformer/layer_1/self_attention/query/kernel"] /= 10
    graph = export_graph.ExportGraph(saved_weights(model, architecture, drawn))
    return graph, architecture


@pytest.fixture(scope="module")
def selections(tmp_path_factory):
    """Without and with the outlier: (float32 file, selection, features)."""
    found = {}
    for outlier in (0, OUTLIER):
        graph, architecture = network(outlier)
        import tensorflow as tf

        folder = str(tmp_path_factory.mktemp("graph"))
        key = litert.SIGNATURE.format(LENGTH)
        tf.saved_model.save(graph, folder, signatures={key: graph.function(LENGTH)})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[key])
        model = flatbuffer.read(converter.convert())
        flatbuffer.use_embedding_lookup(model)
        content = flatbuffer.write(model)
        batch = random_batch(architecture.vocab_size, 48, LENGTH)
        features = [{k: v[i : i + 1] for k, v in batch.items()} for i in range(48)]
        selection = select(content, LENGTH, features[:24], features[24:], budget=0.02)
        found[outlier] = (content, selection, batch)
    return found


def products(selection):
    return {f.unit.label: f for f in selection.findings if f.unit.place is not None}


def noise(content, quantized, batch):
    expected = litert.LiteModel(content).predict(batch)
    found = litert.LiteModel(quantized).predict(batch)
    return float(np.mean(np.square(found - expected)) / expected.var())


def test_the_product_with_the_outlier_is_found_and_left_out(selections):
    _, selection, _ = selections[OUTLIER]
    (culprit,) = [f for label, f in products(selection).items() if label == "layer_0/output"]
    assert not culprit.chosen
    assert culprit.reason == "beyond the noise budget"
    assert culprit.noise == max(f.noise for f in products(selection).values())
    _, plain, _ = selections[0]
    (same,) = [f for label, f in products(plain).items() if label == "layer_0/output"]
    assert same.chosen
    assert culprit.noise > 10 * same.noise


@pytest.mark.parametrize("outlier", [0, OUTLIER])
def test_the_file_stays_within_the_budget_where_everything_in_int8_does_not(selections, outlier):
    content, selection, batch = selections[outlier]
    quantized = quantize.quantize(content, selection.rules, selection.ranges)
    assert selection.noise <= selection.dynamic_noise + 0.02
    # On these sentences (half of them the calibration's) as on the probe alone.
    assert noise(content, quantized, batch) < selection.dynamic_noise + 0.04
    if outlier:
        assert selection.everything[0] > 2 * selection.noise
    assert litert.pieces(quantized) == selection.float_pieces
    assert selection.everything[1] > selection.float_pieces


def test_what_has_no_int8_kernel_is_left_in_float_with_the_reason(selections):
    _, selection, _ = selections[0]
    by_type = {f.unit.operation: f for f in selection.findings if f.unit.place is None}
    for name in ("SOFTMAX", "GELU", "SQUARED_DIFFERENCE"):
        assert not by_type[name].chosen
        assert by_type[name].reason.startswith("no int8 kernel: cuts the graph into")


def test_the_cut_with_the_least_noise_is_taken(selections):
    for _, selection, _ in selections.values():
        assert set(selection.cuts) == set(calibration.CUTS)
        assert selection.cuts[selection.cut] == min(selection.cuts.values())


def test_the_report_names_every_operator_once(selections):
    _, selection, _ = selections[OUTLIER]
    head, *rows = report(selection).splitlines()
    assert head.split("\t") == ["operation", "what", "noise", "pieces", "int8", "reason"]
    assert len(rows) == len(selection.findings) == len({row.split("\t")[1] for row in rows})
    assert sum(row.split("\t")[4] == "yes" for row in rows) == sum(
        f.chosen for f in selection.findings
    )
    chosen = sum(f.chosen for f in products(selection).values())
    assert f"{chosen} of 14 matrix products in int8" in conclusion(selection)


def test_calibration_leaves_padding_out_and_keeps_the_masks_columns(selections):
    content, _, batch = selections[0]
    one = {k: v[:1].copy() for k, v in batch.items()}
    used = int(one["input_mask"].sum())
    assert used < LENGTH
    plain = calibration.calibrate(content, [one])
    one["input_word_ids"][:, used:] = 99  # Another token in the padding changes no range ...
    changed = calibration.calibrate(content, [one])
    rows = [name for name in plain if "embeddings" in name and "lookup" not in name.lower()]
    assert rows
    for name in rows:
        assert changed[name].extremes() == pytest.approx(plain[name].extremes())
    # ... and the scores show how far the masked columns lie below: as far as int8 can tell.
    masked = [name for name in plain if "scores/add" in name]
    assert len(masked) == 2
    for name in masked:
        assert changed[name].extremes() == pytest.approx(plain[name].extremes())
        assert -40 < plain[name].low < plain[name].high - 12


def test_padding_is_as_far_below_the_scores_as_a_softmax_in_int_can_tell():
    # Two heads, four positions of which three hold a word piece.
    scores = np.array(
        [
            [[5.0, -30.0, 1.0, 7.0], [2.0, 2.0, 2.0, 9.0], [0.0, 3.0, 0.0, 0.0], [9.0] * 4],
            [[-4.0, -3.0, -5.0, 7.0], [6.0, 2.0, 2.0, 9.0], [8.0, 3.0, 0.0, 0.0], [9.0] * 4],
        ],
        np.float32,
    )
    mask = np.array([0.0, 0.0, 0.0, MASKED], np.float32)
    found = calibration.without_padding(scores + mask, 4, 3)
    # The row of the last position is gone. The smallest of the rows' largest scores is -3.
    np.testing.assert_array_equal(found[..., :3].min(), -15.0)  # And not -30.
    np.testing.assert_array_equal(found[..., 3], np.full((2, 3), -15.0))
    assert np.exp(-12) < 0.5 / 2**15  # Half a step of a softmax in int16.
    # What adds the number is left as it is, and what no mask has touched.
    np.testing.assert_array_equal(calibration.without_padding(mask[None], 4, 3), mask[None])
    np.testing.assert_array_equal(calibration.without_padding(scores, 4, 3), scores[:, :3])


def test_calibration_needs_an_example(selections):
    with refuses(ValueError, "one example"):
        calibration.calibrate(selections[0][0], [])


def test_ranges_hold_for_every_signature(tmp_path_factory):
    graph, architecture = network(0)
    import tensorflow as tf

    folder = str(tmp_path_factory.mktemp("two"))
    functions = {litert.SIGNATURE.format(n): graph.function(n) for n in (8, LENGTH)}
    tf.saved_model.save(graph, folder, signatures=functions)
    converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=list(functions))
    model = flatbuffer.read(converter.convert())
    flatbuffer.use_embedding_lookup(model)
    content = flatbuffer.write(model)
    batch = random_batch(architecture.vocab_size, 24, LENGTH)
    features = [{k: v[i : i + 1] for k, v in batch.items()} for i in range(24)]
    selection = select(content, LENGTH, features[:12], features[12:])
    quantized = quantize.quantize(content, selection.rules, selection.ranges)
    short = random_batch(architecture.vocab_size, 24, 8)
    assert noise(content, quantized, short) < 0.05
