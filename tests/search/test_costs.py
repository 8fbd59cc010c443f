"""The table of costs: linear between what was measured, a sum of parts, and kept in a cache."""

from __future__ import annotations

import dataclasses
import json

import pytest
from messages import says
from search_tables import key, table_of

from bert_glue_tf.models.blocks import EncoderSizes, LayerSize
from bert_glue_tf.search import costs
from bert_glue_tf.search.costs import Cost, CostTable
from bert_glue_tf.search.design import Design, Small
from bert_glue_tf.search.structure import Sizes

TABLE = table_of(
    rest=(1000.0, 1.0),
    layer=(100.0, 0.1),
    attention=[(1, 60.0, 0.5), (4, 90.0, 0.8)],
    feed_forward=[(8, 80.0, 0.8)],
    last_attention=[(4, 90.0, 0.4)],
    last_feed_forward=[(8, 80.0, 0.08)],
    pieces=[(10, 1000.0, 0.0)],
).table


@pytest.mark.parametrize(
    ("units", "expected"),
    [(0, (0, 0)), (1, (60, 0.5)), (2, (70, 0.6)), (4, (90, 0.8)), (6, (110, 1.0))],
)
def test_a_cost_is_linear_between_knots_and_beyond_them(units, expected):
    found = TABLE.block("attention", units, is_last=False)
    assert (found.bytes, found.ms) == pytest.approx(expected)


def test_a_network_costs_the_sum_of_its_parts():
    found = TABLE.predict(Sizes((2, 4), (0, 4), 5))
    assert found.bytes == pytest.approx(1000 + 100 + 500 + 70 + 90 + 40)
    assert found.ms == pytest.approx(1 + 0.1 + 0.6 + 0.4 + 0.04)
    assert TABLE.empty(3) == Cost(1200, 1.2)


def test_a_table_comes_back_from_its_cache_and_another_one_is_none(tmp_path):
    assert costs.read(tmp_path, TABLE.of_what) is None
    path = costs.write(tmp_path, TABLE)
    assert path.name.startswith("A-R-CPU-int8-64-2threads-")
    found = costs.read(tmp_path, key())
    assert found.predict(Sizes((2,), (3,), 9)) == TABLE.predict(Sizes((2,), (3,), 9))
    other = dataclasses.replace(key(), threads=1)
    assert costs.read(tmp_path, other) is None
    path.rename(tmp_path / other.file_name)  # What is in a file counts, and not its name.
    assert costs.read(tmp_path, other) is None


def test_a_table_of_a_busy_machine_is_told_of_whenever_it_is_read(tmp_path, caplog):
    costs.write(tmp_path, TABLE)
    assert costs.read(tmp_path, key()).busy == ""
    assert caplog.messages == []
    path = costs.write(tmp_path, dataclasses.replace(TABLE, busy="Others were at work."))
    for _ in range(2):
        caplog.clear()
        assert costs.read(tmp_path, key()).busy
        (told,) = caplog.messages
        says(told, path, "Others were at work.", "delete this file", "idle", "--workdir")
    path.unlink()
    assert costs.read(tmp_path, key()) is None  # It is measured anew.


@pytest.mark.parametrize("damage", ["cut", "field", "curve", "order", "none"])
def test_a_damaged_table_is_passed_over_and_said(tmp_path, caplog, damage):
    path = costs.write(tmp_path, TABLE)
    values = json.loads(path.read_text())
    if damage == "field":
        values["rest"] = "much"
    elif damage == "curve":
        del values["curves"]["pieces"]
    elif damage == "order":
        values["curves"]["attention"].reverse()
    elif damage == "none":
        values["curves"]["attention"][1][2] = None
    text = json.dumps(values)
    path.write_text(text[: len(text) // 2] if damage == "cut" else text)
    assert costs.read(tmp_path, TABLE.of_what) is None
    assert str(path) in caplog.text
    assert "anew" in caplog.text


def sizes(layers):
    return EncoderSizes((LayerSize(4, 8, 64),) * layers, 500, 128, {"hidden_size": 32})


@pytest.mark.parametrize("layers", [1, 2, 6])
def test_what_a_design_measures_of_an_additive_machine_is_its_costs(layers):
    """Costs that add up are found again, from the files that the design asks for."""
    design = Design.of(sizes(layers))

    def cost_of(network):
        bytes_, ms = 700.0 + 3 * network.pieces, 0.3
        for place, (heads, neurons) in enumerate(network.widths):
            last = place == len(network.widths) - 1
            bytes_ += 10 + 7 * heads + 2 * neurons
            ms += 0.01 + (0.1 + 0.05 * heads if heads else 0) * (0.5 if last else 1)
            ms += (0.01 * neurons) * (0.1 if last else 1)
        return bytes_, ms

    measured = {network: cost_of(network) for network in design.networks}
    table = dataclasses.replace(TABLE, **design.table(measured))
    for widths in ([(4, 64)] * layers, [(0, 0)] * layers, [(3, 0)] * layers, [(1, 40)] * layers):
        heads, neurons = zip(*widths, strict=True)
        found = table.predict(Sizes(heads, neurons, 444))

        assert (found.bytes, found.ms) == pytest.approx(cost_of(Small(tuple(widths), 444)))
    again = CostTable.from_line(table.to_line())
    assert again.predict(Sizes(heads, neurons, 9)) == table.predict(Sizes(heads, neurons, 9))
