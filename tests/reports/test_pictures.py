"""The pictures of the page: axes, labels, scatter, curves."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from report_runs import CONSTANT, LABELS, history, read, right
from written_runs import write_export, write_run, write_session

from bert_glue_tf.reports.groups import group
from bert_glue_tf.reports.pictures import axes, confusion, curves, labels, scatter
from bert_glue_tf.reports.pictures.labels import Box
from bert_glue_tf.reports.pictures.scatter import Kind


def numbered(models):
    return list(enumerate(group(models), start=1))


@pytest.mark.parametrize(
    ("low", "high", "number", "texts"),
    [
        (0, 100, 5, ["0", "20", "40", "60", "80", "100"]),
        (0.62, 0.87, 5, ["0.65", "0.70", "0.75", "0.80", "0.85"]),
        (-0.1, 0.1, 4, ["-0.10", "-0.05", "0.00", "0.05", "0.10"]),
        (0, 1857, 4, ["0", "500", "1000", "1500"]),
    ],
)
def test_round_numbers_stand_beside_an_axis(low, high, number, texts):
    ticks = axes.Axis(low, high, 0, 100).ticks(number)
    assert [tick.text for tick in ticks] == texts


def test_an_axis_may_point_upwards():
    axis = axes.Axis(0.5, 1.0, 200, 0)
    assert (axis.place(0.5), axis.place(0.75), axis.place(1.0)) == (200, 100, 0)


def test_costs_that_are_far_apart_stand_on_a_logarithmic_axis():
    near, far = axes.of_costs([20, 90], 0, 100), axes.of_costs([2, 200], 0, 100)
    assert (near.is_logarithmic, near.low) == (False, 0)
    assert far.is_logarithmic
    assert far.place(20) == pytest.approx(50, abs=0.1)
    assert [tick.text for tick in far.ticks(5)] == ["2", "5", "10", "20", "50", "100", "200"]


@pytest.mark.parametrize("values", [[0.7], [0.7, float("nan")], [0.0, 0.0], []])
def test_an_axis_of_scores_has_room_for_few_or_equal_ones(values):
    axis = axes.of_scores(values, 100, 0)
    assert axis.low < axis.high
    assert all(0 < axis.place(value) < 100 for value in values if value == value)
    assert axis.ticks(4)


def test_no_label_lies_on_another_one_or_on_a_point():
    random = np.random.default_rng(0)
    points = [tuple(map(float, random.uniform((60, 60), (840, 380)))) for _ in range(30)]
    texts = [labels.lines_of(f"{i} pruned: attention_head 40 %, int8") for i in range(30)]
    area = Box(40, 20, 880, 400)
    found = labels.place(points, texts, area, 5)
    boxes = [label.box for label in found if label]
    assert len(boxes) > 15
    assert all(area.holds(box) for box in boxes)
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    marks = [Box(x - 5, y - 5, x + 5, y + 5) for x, y in points]
    assert not any(box.overlaps(mark) for box in boxes for mark in marks)


def test_a_label_leaves_a_line_free_where_it_can():
    (label,) = labels.place([(100, 100)], [("name",)], Box(0, 0, 300, 200), 5, [(0, 100, 300, 100)])
    assert not label.box.top < 100 < label.box.bottom
    # Where there is no other place it stands on the line.
    narrow = Box(0, 90, 300, 110)
    (label,) = labels.place([(100, 100)], [("name",)], narrow, 5, [(0, 100, 300, 100)])
    assert label.box.top < 100 < label.box.bottom


def test_without_room_there_is_no_label():
    assert labels.place([(5, 5)], [("a long name",)], Box(0, 0, 10, 10), 5) == [None]


def test_long_names_are_cut():
    lines = labels.lines_of("word " * 100)
    assert len(lines) <= 4
    assert lines[-1].endswith("…")
    assert labels.lines_of("head 40\xa0%, int8") == ("head 40\xa0%, int8",)


def test_the_points_of_a_scatter_say_their_numbers(tmp_path):
    run = write_run(tmp_path / "run", LABELS, right(300), megabytes=93)
    for recipe, number, size, time in (
        ("float32", 300, 90, 10.0),
        ("int8", 296, 25, 4.0),
        ("int4", 250, 30, 5.0),
    ):
        write_export(run, recipe, LABELS, right(number), megabytes=size, milliseconds=time)
    write_export(run, "dynamic_int8", LABELS, CONSTANT, megabytes=20, collapsed="one answer")
    write_session(run)
    models = numbered(read(run))
    found = scatter.scatter(models, scatter.SIZE, 900, 400, has_names=True)
    kinds = {
        one.first.recipe: point.kind for (_, one), point in zip(models, found.points, strict=True)
    }
    assert kinds == {
        "keras": Kind.BEATEN,
        "float32": Kind.FRONT,
        "int8": Kind.FRONT,
        "int4": Kind.BEATEN,
        # It is the smallest, and worth nothing.
        "dynamic_int8": Kind.COLLAPSED,
    }
    point = next(
        p for p, (_, one) in zip(found.points, models, strict=True) if one.first.recipe == "int8"
    )
    lines = point.title.splitlines()
    assert lines[0] == f"{point.number} no pruning, int8"
    assert lines[1].startswith("accuracy 0.7400 (95 % interval ")
    assert lines[2:] == ["25.0 MB", "on the Pareto front"]
    assert found.description == (
        "accuracy against size of 5 models. On the Pareto front, from the smallest size: "
        "no pruning, int8: 25.0 MB, 0.7400; no pruning, float32: 90.0 MB, 0.7500."
    ).replace("no pruning, ", models[0][1].name.split(", ")[0] + ", ")
    # The trained model was not timed.
    timed = scatter.scatter(models, scatter.TIME, 900, 400, has_names=True)
    assert len(timed.points) == 4


def test_times_of_no_session_are_no_picture(tmp_path):
    run = write_run(tmp_path / "run", LABELS, right(300))
    write_export(run, "float32", LABELS, right(300))
    write_export(run, "int8", LABELS, right(290))
    assert scatter.scatter(numbered(read(run)), scatter.TIME, 900, 400, has_names=True) is None


def test_one_model_is_no_picture(tmp_path):
    models = numbered(read(write_run(tmp_path / "run", LABELS, right(300))))
    assert scatter.scatter(models, scatter.SIZE, 900, 400, has_names=True) is None


def test_of_many_classes_those_that_are_confused_most_are_shown():
    few = np.array([[5, 1], [0, 5]])
    assert confusion.most_confused(few).tolist() == [0, 1]
    many = np.diag(np.full(77, 40))
    many[70, 3] = many[3, 5] = 9
    many[np.arange(20, 37), np.arange(40, 57)] = 2  # 34 classes with two wrong answers each.
    shown = confusion.most_confused(many)
    assert len(shown) == confusion.MOST_CLASSES == 20
    assert [place for place in shown if not 20 <= place < 37] == [3, 5, 70]
    assert shown.tolist() == sorted(shown)
    one = confusion.Confusion(1, "", ("a",), many[[70]][:, [70]], 1, many[[70]].sum(axis=1), 77)
    assert one.shares.tolist() == [[40 / 49]]


def test_curves_are_of_the_tasks_own_metric(tmp_path):
    labels_ = np.linspace(0, 5, 50)
    rows = [
        {"epoch": i, "loss": 1 / i, "val_loss": 2 / i, "val_pearson": i / 10} for i in (1, 2, 3)
    ]
    run = write_run(tmp_path / "run", labels_, labels_[:, None], task="stsb", history=rows)
    (found,) = curves.curves(numbered(read(run)))
    pearson, loss = found.panels
    assert (pearson.title, loss.title) == ("pearson", "loss")
    assert [line.kind for line in pearson.lines] == ["validation"]
    assert [line.kind for line in loss.lines] == ["training", "validation"]
    assert pearson.description == "pearson over 3 epochs: validation from 0.100 to 0.300."
    heights = [y for _, y in pearson.lines[0].points]
    assert heights == sorted(heights, reverse=True)


def test_the_unpruned_model_stands_behind_the_curves_of_the_others(tmp_path):
    write_run(tmp_path / "u", LABELS, right(300), history=history(0.5, 0.4))
    write_run(tmp_path / "p", LABELS, right(300), history=history(0.6, 0.5), pruning_method="row")
    found = {one.name: one for one in curves.curves(numbered(read(tmp_path / "u", tmp_path / "p")))}
    kinds = [[line.kind for line in one.panels[0].lines] for one in found.values()]
    assert sorted(kinds) == [["other", "training", "validation"], ["training", "validation"]]


def test_behind_a_curve_stands_the_unpruned_model_of_the_same_settings(tmp_path):
    for name, settings in {
        "u": {"learning_rate": 1e-4},
        "v": {},
        "p": {"pruning_method": "row"},
        "q": {"pruning_method": "row", "learning_rate": 3e-4},
    }.items():
        run = history(0.5 if name == "u" else 0.7, 0.4)
        write_run(tmp_path / name, LABELS, right(300), history=run, **settings)
    found = {
        one.name: {line.kind: line.points for line in one.panels[0].lines}
        for one in curves.curves(numbered(read(*tmp_path.iterdir())))
    }
    own = {name: lines for name, lines in found.items() if "other" in lines}
    ((name, lines),) = own.items()  # Neither the other unpruned model nor `q` has one.
    rate = "learning_rate=2e-05"
    assert name == f"pruned: row 80 %, {rate}"
    assert lines["other"] == found[f"no pruning, {rate}"]["validation"]


def test_mnli_has_a_curve_for_each_of_its_splits(mnli):
    (found,) = curves.curves(numbered(mnli))
    assert [line.kind for line in found.panels[0].lines] == ["training", "validation", "second"]


def test_one_epoch_is_no_curve_of_the_page(tmp_path):
    run = write_run(tmp_path / "u", LABELS, right(300), history=history(0.5))
    assert curves.curves(numbered(read(run))) == []
