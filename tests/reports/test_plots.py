"""The figures of a comparison, and the Pareto front in them."""

from __future__ import annotations

import numpy as np
import pytest
from report_runs import LABELS, history, read, right
from written_runs import write_export, write_run, write_session

from bert_glue_tf.reports import plots
from bert_glue_tf.reports.groups import group
from bert_glue_tf.reports.pictures import scatter


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ([], []),
        ([(1, 0.5)], [0]),
        # Costs more and is no better; costs the same and is worse; the cheapest stays.
        ([(3, 0.9), (1, 0.5), (2, 0.7), (4, 0.9), (2, 0.6), (5, 0.1)], [1, 2, 0]),
        ([(1, 0.9), (2, 0.8)], [0]),
        # Two that are equal in both: neither beats the other.
        ([(2, 0.7), (1, 0.5), (2, 0.7)], [1, 0, 2]),
        ([(1, float("nan")), (2, 0.5), (3, float("nan"))], [1]),
    ],
)
def test_pareto_front_by_hand(points, front):
    assert plots.pareto(points) == front


def test_pareto_front_against_its_definition():
    random = np.random.default_rng(0)
    points = [tuple(map(float, p)) for p in random.integers(0, 8, (60, 2))]

    def beaten(one):
        return any(other != one and other[0] <= one[0] and other[1] >= one[1] for other in points)

    found = plots.pareto(points)
    assert sorted(found) == [i for i, one in enumerate(points) if not beaten(one)]
    assert [points[i][0] for i in found] == sorted(points[i][0] for i in found)


def test_mnli_has_a_curve_for_each_split(mnli):
    loss, accuracy = plots.training_curves(group(mnli)).axes
    assert [(line.get_label(), list(line.get_ydata())) for line in accuracy.lines] == [
        ("no pruning, training", [0.5, 0.5]),
        ("no pruning, validation matched", [0.6, 0.6]),
        ("no pruning, validation mismatched", [0.7, 0.7]),
    ]
    assert len(loss.lines) == 3


def test_training_curves_with_and_without_pruning(tmp_path):
    write_run(tmp_path / "u", LABELS, right(300), history=history(0.5, 0.4, 0.3))
    write_run(
        tmp_path / "p",
        LABELS,
        right(300),
        history=history(0.6, 0.5, 0.4),
        pruning_method="classifier_magnitude",
    )
    figure = plots.training_curves(group(read(tmp_path / "p", tmp_path / "u")))
    loss, accuracy = figure.axes
    assert (loss.get_title(), accuracy.get_title()) == ("loss", "accuracy")
    drawn = {line.get_label(): list(line.get_ydata()) for line in loss.lines}
    assert drawn == {
        "pruned: classifier_magnitude 80 %, training": [0.6, 0.5, 0.4],
        "pruned: classifier_magnitude 80 %, validation": [1.2, 1.0, 0.8],
        "no pruning, training": [0.5, 0.4, 0.3],
        "no pruning, validation": [1.0, 0.8, 0.6],
    }
    assert all(list(line.get_xdata()) == [1, 2, 3] for line in loss.lines)
    assert len(set(line.get_color() for line in loss.lines)) == 2
    assert "seed 1" in figure.get_suptitle()


def test_one_epoch_is_no_curve(tmp_path):
    write_run(tmp_path / "u", LABELS, right(300), history=history(0.5))
    write_run(tmp_path / "v", LABELS, right(300), seed=2)
    assert plots.training_curves(group(read(tmp_path / "u", tmp_path / "v"))) is None
    # Beside a curve it is a point.
    write_run(tmp_path / "w", LABELS, right(300), history=history(0.5, 0.4), seq_length=64)
    figure = plots.training_curves(group(read(tmp_path / "u", tmp_path / "w")))
    marks = {tuple(line.get_xdata()): line.get_marker() for line in figure.axes[0].lines}
    assert marks == {(1,): "o", (1, 2): "None"}


def test_score_against_size_and_latency(tmp_path):
    run = write_run(tmp_path / "run", LABELS, right(300), megabytes=93)
    for recipe, number, size, time in (
        ("float32", 300, 90, 10.0),
        ("int8", 296, 25, 4.0),
        ("int4", 250, 20, 5.0),
    ):
        logits = right(number)
        write_export(run, recipe, LABELS, logits, megabytes=size, milliseconds=time)
    write_session(run)
    groups = group(read(run))
    axis = plots.score_against(groups, "size").axes[0]
    front = axis.lines[0]
    assert front.get_label() == "Pareto front"
    assert list(zip(front.get_xdata(), front.get_ydata(), strict=True)) == [
        (20.0, 0.625),
        (25.0, 0.74),
        (90.0, 0.75),
    ]
    labels = axis.get_legend_handles_labels()[1]
    names = [f"no pruning, {recipe}" for recipe in ("keras", "float32", "int8", "int4")]
    assert labels == ["Pareto front", *names]
    axis = plots.score_against(groups, "latency").axes[0]
    assert axis.get_xlabel().startswith("ms an example at length 64")
    # int4 is slower and worse than int8; the trained model was not timed.
    assert list(axis.lines[0].get_xdata()) == [8.0, 20.0]
    assert axis.get_legend_handles_labels()[1] == ["Pareto front", names[1], names[2], names[3]]


@pytest.mark.parametrize(("slowest", "scale"), [(40.0, "log"), (12.0, "linear")])
def test_the_axis_of_the_latency_has_numbers(tmp_path, slowest, scale):
    run = write_run(tmp_path / "run", LABELS, right(300))
    for recipe, time in (("float32", slowest), ("int8", 4.0)):
        write_export(run, recipe, LABELS, right(290), milliseconds=time)
    write_session(run)
    figure = plots.score_against(group(read(run)), "latency")
    figure.canvas.draw()
    (axis,) = figure.axes
    assert axis.get_xscale() == scale
    low, high = axis.get_xlim()
    texts = {
        tick: text.get_text()
        for tick, text in zip(axis.get_xticks(), axis.get_xticklabels(), strict=True)
    }
    shown = [text for tick, text in texts.items() if low <= tick <= high]
    assert len(shown) >= 3
    assert not any("$" in text for text in shown)


def test_latencies_are_compared_at_a_length_that_all_have(tmp_path):
    short = write_run(tmp_path / "short", LABELS, right(300), seq_length=32)
    write_export(short, "float32", LABELS, right(300), lengths=("32",), milliseconds=10)
    longer = write_run(tmp_path / "long", LABELS, right(310), seq_length=64)
    write_export(longer, "float32", LABELS, right(310), milliseconds=11)
    write_session(short, longer)
    axis = plots.score_against(group(read(short, longer)), "latency").axes[0]
    assert axis.get_xlabel().startswith("ms an example at length 32")
    assert list(axis.lines[0].get_xdata()) == [10.0, 11.0]


def test_long_names_do_not_narrow_the_figure(tmp_path):
    for rate in (1e-4, 5e-5):
        run = tmp_path / str(rate)
        write_run(run, LABELS, right(300), learning_rate=rate, history=history(0.5, 0.4))
    groups = group(read(*tmp_path.iterdir()))
    for figure in (plots.training_curves(groups), plots.score_against(groups, "size")):
        width = sum(axis.get_position().width for axis in figure.axes)
        assert width > 0.7  # Of the figure; the legend stands beside it.


def test_a_collapsed_model_is_marked_in_the_figure(collapsed):
    axis = plots.score_against(group(collapsed), "size").axes[0]
    labels = axis.get_legend_handles_labels()[1]
    assert "no pruning, int8 COLLAPSED" in labels


def test_a_model_at_chance_is_marked_behind_a_comma(tmp_path):
    run = write_run(tmp_path / "run", LABELS, right(208))
    write_export(run, "float32", LABELS, right(300))
    write_export(run, "int8", LABELS, right(208), at_chance="as it says")
    groups = group(read(run))
    named = plots.score_against(groups, "size").axes[0].get_legend_handles_labels()[1]
    assert "no pruning, int8, not above chance" in named
    drawn = scatter.scatter(list(enumerate(groups, start=1)), scatter.SIZE, 1120, 300, True)
    texts = [" ".join(point.label.lines) for point in drawn.points if point.label]
    assert any(one.endswith("no pruning, int8, not above chance") for one in texts)


def test_seeds_with_the_same_score_have_a_bar_of_no_length(tmp_path):
    # Three times 0.7 is 2.0999999999999996, whose third lies below 0.7.
    for seed in (1, 2, 3):
        write_run(tmp_path / f"u{seed}", LABELS, right(280), seed=seed)
        run = tmp_path / f"p{seed}"
        write_run(run, LABELS, right(280), seed=seed, pruning_method="classifier_magnitude")
    groups = group(read(*tmp_path.iterdir()))
    assert plots.score_against(groups, "size") is not None


def test_names_are_no_formulas(tmp_path):
    write_run(tmp_path / "u", LABELS, right(280), encoder="/models/$x_{$")
    write_run(tmp_path / "v", LABELS, right(280), encoder="/models/$x_{$", learning_rate=1e-3)
    groups = group(read(tmp_path / "u", tmp_path / "v"))
    figure = plots.svg(plots.score_against(groups, "size"))
    assert "/models/$x_{$: score against size" in figure
