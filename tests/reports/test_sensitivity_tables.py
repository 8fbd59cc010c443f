"""The tables and the picture of a sensitivity, of lines that are written by hand."""

from __future__ import annotations

import dataclasses
import math

import pytest
from report_runs import LABELS, read, right
from rich.cells import cell_len
from written_runs import write_run

from bert_glue_tf.analysis.record import FILE_NAME, REMOVED, Base, Sensitivity
from bert_glue_tf.core import records
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.reports import fitting, page, sensitivity
from bert_glue_tf.reports.groups import group
from bert_glue_tf.reports.pictures.sensitivity import maps

BASE = Base("run", "a" * 64, "b" * 64, 512, True, "accuracy", 0.8125, 0.4512)
LAYERS, HEADS = 12, 12


def line(part, what, layer=0, head=0, change=REMOVED, rise=0.0, **more):
    values = {
        "base": dataclasses.asdict(BASE),
        "part": part,
        "what": what,
        "layer": layer,
        "head": head,
        "change": change,
        "weights": 21_254_400 + layer,
        "first_order": abs(rise) / 2,
        "predicted": rise / 3,
        "rise": rise,
        "rise_error": 0.0123 + layer / 1000,
        "score_rise": -rise / 10,
        "flips": round(100 * abs(rise)),
        "environment": {},
        "finished": "2026-01-01T00:00:00+00:00",
    }
    return Sensitivity(**{**values, **more})


def lines():
    found = []
    for layer in range(1, LAYERS + 1):
        name = f"layer {layer}"
        found.append(line(name, "layer", layer, rise=0.1 * layer))
        found.append(line(f"{name}, attention", "attention", layer, rise=0.04 * layer))
        for head in range(1, HEADS + 1):
            rise = 0.001 * (head - 3) * layer
            found.append(line(f"{name}, head {head}", "head", layer, head, rise=rise))
        found.append(line(f"{name}, feed-forward", "feed_forward", layer, rise=0.06 * layer))
    found.append(line("words", "embedding", rise=2.5))
    for recipe in ("int8", "int4"):
        found.append(line("layer 1", "layer", 1, change=recipe, rise=0.001))
    return found


@pytest.mark.parametrize("columns", [80, 120])
def test_both_tables_fit_a_terminal(columns):
    for table in (sensitivity.parts(lines()), sensitivity.heads(lines())):
        shown, left_out = fitting.fitted(table, columns)
        assert max(map(cell_len, shown)) <= columns
        is_narrow = columns == 80 and "weights" in table.heads
        assert left_out == (["weights", "labels"] if is_narrow else [])
        assert len(shown) < len(table.rows) + 6  # A row is one line.


def test_the_table_of_parts_has_all_but_the_heads_and_roundings_below():
    table = sensitivity.parts(lines())
    first, *_, last = table.texts()
    assert first == {
        "part": "layer 1",
        "change": "removed",
        "weights": "21,254,401",
        "gradient": "0.0500",
        "estimate": "+0.0333",
        "loss": "+0.1000",
        "+-": "0.0133",
        "accuracy": "-0.0100",
        "labels": "10",
    }
    assert (last["part"], last["change"]) == ("layer 1", "int4")
    assert len(table.rows) == 3 * LAYERS + 1 + 2


def test_a_row_for_each_layer_names_its_cheapest_and_its_dearest_head():
    rows = sensitivity.heads(lines()).texts()
    assert rows[1] == {
        "layer": "2",
        "heads": "12",
        "costs least": "1 (-0.0040)",
        "costs most": "12 (+0.0180)",
        "sum of all": "+0.0840",
    }
    unmeasured = [
        dataclasses.replace(one, rise=math.nan, rise_error=math.nan, score_rise=math.nan)
        for one in lines()
    ]
    assert sensitivity.heads(unmeasured).texts()[0]["costs most"] == "12 (+0.0030 estimated)"


def test_the_notes_say_on_what_it_was_measured_and_how_far_first_order_is_right():
    told = sensitivity.notes(lines())
    assert "512 texts of the training split held out by the run" in told[0]
    assert "Spearman +1.00 with" in next(one for one in told if "attentions" in one)
    # Heads whose removal lowers the loss have a size of their gradient too.
    estimated, by_size = sensitivity.agrees(lines(), "head")
    assert estimated == pytest.approx(1)
    assert 0.5 < by_size < 1
    assert all(map(math.isnan, sensitivity.agrees(lines(), "embedding")))


def test_the_markdown_has_every_head():
    text = sensitivity.markdown(lines())
    assert text.count("| layer 12, head ") == HEADS
    for table in text.split("\n\n"):
        if table.startswith("|"):
            assert len({row.count("|") for row in table.splitlines()}) == 1


def test_the_picture_has_a_square_for_each_part_of_a_layer(tmp_path):
    folder = tmp_path / "run"
    write_run(folder, LABELS, right(300))
    for one in lines():
        records.append(folder / FILE_NAME, one)
    (found,) = maps(list(enumerate(group(read(folder)), start=1)))
    assert len(found.squares) == LAYERS * (3 + HEADS) + 2
    largest = max(found.squares, key=lambda square: square.share)
    assert (largest.title, largest.share) == ("layer 12, removed: loss +1.2000", 1.0)
    # The last layer is on top, and a head that the loss falls without is as pale as none.
    assert largest.y == min(square.y for square in found.squares)
    assert min(square.share for square in found.squares) == 0
    assert all(square.x + square.width <= found.width for square in found.squares)
    places = [(square.x, square.y) for square in found.squares]
    assert len(set(places)) == len(places)
    whole = page.page(group(read(folder)), [])
    assert whole.count("<rect ") == len(found.squares)
    assert "By how much the loss on training texts rises" in whole


def test_without_a_measurement_there_is_no_picture(tmp_path):
    write_run(tmp_path / "run", LABELS, right(300))
    models = group(read(tmp_path / "run"))
    assert maps([(1, models[0])]) == []
    assert "By how much the loss" not in page.page(models, [])


def test_a_damaged_line_is_named(tmp_path):
    write_run(tmp_path / "run", LABELS, right(300))
    (tmp_path / "run" / FILE_NAME).write_text('{"part": 1}\n')
    with pytest.raises(UserError, match=FILE_NAME):
        read(tmp_path / "run")
