"""Contract suite: every kind of problem, and the two kinds' own values by hand."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
import subprocess
import sys

import numpy as np
import pytest
from messages import refuses

from bert_glue_tf.data import problems, tasks
from bert_glue_tf.data.problems import (
    PROBLEMS,
    AnsweredSpan,
    Classification,
    LabelScore,
    MultiLabel,
    Regression,
    Tagging,
)
from bert_glue_tf.evaluation import bootstrap, metrics, predictions, significance

# A problem of each kind, with labels and logits of six examples, and the classes' spelling.
KINDS = {
    "classification": (
        Classification(("no", "perhaps", "yes")),
        [0, 2, 1, 1, 0, 2],
        ("N", "P", "Y"),
    ),
    "regression": (Regression(0.0, 5.0), [0.0, 2.4, 5.0, 1.25, 3.75, 2.6], ()),
    "multi_label": (
        MultiLabel(("red", "round", "ripe")),
        [[0, 0, 0], [1, 1, 0], [0, 1, 1], [1, 1, 1], [0, 0, 1], [0, 1, 0]],
        ("R", "O", "I"),
    ),
    # Sentences of one to three words.
    "tagging": (
        Tagging(("O", "B-x", "I-x")),
        [[0, 1, 2], [1], [0, 0, 0], [1, 0, 1], [1, 2], [0, 1]],
        ("O", "B-1", "I-1"),
    ),
}


def logits_of(problem, seed=0):
    words = (3,) if problem.tags_words else ()
    drawn = np.random.default_rng(seed).normal(size=(6, *words, problem.width))
    if problem.tags_words:  # As a model answers where there is no word.
        drawn[problem.as_labels(KINDS["tagging"][1]) < 0] = 0.0
    return drawn.astype(np.float32)


@pytest.fixture(params=list(PROBLEMS))
def kind(request):
    problem, labels, spellings = KINDS[request.param]
    return problem, problem.as_labels(labels), spellings


def spelled(label, spellings):
    """A label as a file of data holds it."""
    if spellings[:1] == ("O",):
        return " ".join(spellings[one] for one in label if one >= 0)
    if np.ndim(label):
        return ",".join(np.array(spellings)[label > 0]) or "none"
    return spellings[int(label)] if spellings else str(label)


def metric(labels, found):
    """A score that every kind has: the share of answers that are near."""
    return float(np.mean(np.abs(labels - found) < 0.5))


def test_every_registered_kind_is_tested_and_every_task_has_one():
    assert set(KINDS) == set(PROBLEMS)
    for name, (problem, _, _) in KINDS.items():
        assert type(problem) is PROBLEMS[name]
    # No known task has several labels; the user's own may have.
    known = {type(task.problem) for task in tasks.TASKS.values()}
    assert known == set(PROBLEMS.values()) - {MultiLabel}


def test_it_is_a_value(kind):
    problem, _, _ = kind
    assert pickle.loads(pickle.dumps(problem)) == problem == dataclasses.replace(problem)
    assert hash(problem) == hash(dataclasses.replace(problem))
    with pytest.raises(dataclasses.FrozenInstanceError):
        problem.labels = ()


def test_labels_have_their_dtype_and_are_labels(kind):
    problem, labels, _ = kind
    assert labels.dtype == problem.label_dtype
    assert problem.is_label(labels).all()
    assert not problem.is_label(np.array([np.nan, np.inf])).any()


def test_labels_are_read_from_text_and_others_refused_with_the_good_ones(kind):
    problem, labels, spellings = kind
    texts = [spelled(label, spellings) for label in labels]
    found = problem.as_labels([problem.parse_label(text, spellings) for text in texts])
    np.testing.assert_array_equal(found, labels)
    for wrong in ("", "nan", "7", "-1", "inf", "No"):
        with refuses(ValueError, ", ".join(spellings) or "from 0 to 5"):
            problem.parse_label(wrong, spellings)


def test_decoding_gives_an_answer_for_each_example(kind):
    problem, labels, _ = kind
    found = problem.decode(logits_of(problem))
    assert found.shape == labels.shape
    assert found.dtype == problem.wide_dtype
    assert problem.is_label(found).all()
    assert len(problem.output_names) == problem.width


def test_logits_of_another_shape_are_refused(kind):
    problem, _, _ = kind
    for shape in ((6,), (6, problem.width + 1), (6, problem.width, 1)):
        with refuses(ValueError, str(shape), "[n, ", f"{problem.width}]"):
            problem.decode(np.zeros(shape))


def test_the_loss_is_kerass(kind):
    problem, labels, _ = kind
    logits = logits_of(problem)
    keras = problem.keras_loss()
    assert problem.loss(labels, logits) == pytest.approx(
        float(keras(problem.keras_labels(labels), logits)), rel=1e-6
    )
    each = np.asarray(keras.call(problem.keras_labels(labels), logits))
    assert each.shape == (6,)
    assert problem.loss(labels, logits) == pytest.approx(float(each.mean()), rel=1e-6)


def test_the_distance_from_a_teacher_is_of_each_example_and_zero_for_its_own_answers(kind):
    problem, _, _ = kind
    logits, teacher = logits_of(problem), logits_of(problem, seed=1)
    found = np.asarray(problem.distillation_loss(teacher, logits, 2.0))
    assert found.shape == (6,)
    assert found.dtype == np.float32
    assert (found > 0).all()
    np.testing.assert_allclose(problem.distillation_loss(teacher, teacher, 2.0), 0.0, atol=1e-6)
    # Surer than float32 can hold, and still a number.
    assert np.isfinite(problem.distillation_loss(1e4 * teacher, -1e4 * logits, 1.0)).all()


def test_outputs_of_a_teacher_are_found_by_their_names(kind):
    problem, _, _ = kind
    assert problems.outputs_of(problem, problem) == list(range(problem.width))
    for other, _, _ in KINDS.values():
        if type(other) is not type(problem):
            with refuses(ValueError, problem.title, other.title):
                problems.outputs_of(problem, other)
    if problem.labels:
        turned = dataclasses.replace(problem, labels=problem.labels[::-1])
        assert problems.outputs_of(problem, turned) == [2, 1, 0]
        for labels in (("a", *problem.labels[1:]), (*problem.labels, "a"), problem.labels[:2]):
            with refuses(ValueError, "a" if "a" in labels else problem.labels[2]):
                problems.outputs_of(problem, dataclasses.replace(problem, labels=labels))


def test_the_loss_is_not_defined_for_a_model_that_diverged(kind):
    problem, labels, _ = kind
    for value in (np.nan, np.inf):
        logits = logits_of(problem)
        logits[2, 0] = value
        assert problems.diverged(logits)
        assert math.isnan(problem.loss(labels, logits))
    assert not problems.diverged(logits_of(problem))


def test_a_filled_up_batch_counts_each_example_once(kind):
    problem, labels, _ = kind
    logits = logits_of(problem)
    found = problem.keras_metrics(is_filled_up=True)
    # The loss is the objective's to report.
    assert [one.name for one in found] == problem.keras_metrics(is_filled_up=False)
    assert tuple(one.name for one in found) == problem.always_scored
    for one in found:
        one.update_state(labels[:, None], logits, np.array([1.5, 1.5, 1.5, 1.5, 0.0, 0.0]))
        expected = np.mean(problem.decode(logits[:4]) == labels[:4])
        assert float(one.result()) == pytest.approx(expected, rel=1e-6)


def test_flips_are_counted(kind):
    problem, _, _ = kind
    logits = logits_of(problem)
    assert problem.flips(logits, logits) == 0
    other = logits.copy()
    other[1] = other[1][::-1] if problem.width > 1 else other[1] + 1.0
    other[4] += 0.05  # Too little for a user to see.
    expected = int(np.any(problem.decode(logits)[1] != problem.decode(other)[1]))
    assert problem.flips(logits, other) == problem.flips(other, logits) == expected


def test_answers_are_counted_by_class_where_there_are_classes(kind):
    problem, labels, _ = kind
    counts = problem.confusion(labels, np.roll(labels, 1))
    if not problem.is_right_or_wrong:
        assert counts is None
    else:
        # Labels 0, 2, 1, 1, 0, 2 with the answers 2, 0, 2, 1, 1, 0.
        assert counts.tolist() == [[0, 1, 1], [0, 1, 1], [2, 0, 0]]


def test_no_constant_answer_is_above_chance(kind):
    problem, labels, _ = kind
    if problem.is_right_or_wrong:
        chance = problem.chance(metric, labels)
        scores = [metric(labels, np.full_like(labels, label)) for label in labels]
        assert chance == max(scores)
    elif problem.tags_words:
        # Of the 14 words 6 are O, and so are here the 4 places that no word has.
        assert problem.chance(metric, np.maximum(labels, 0)) == pytest.approx(10 / 18)
    elif problem.labels:
        # "round" is the most frequent label; alone, or with "ripe", 7 of the 18 cells are wrong.
        assert problem.chance(metric, labels) == pytest.approx(11 / 18)
    else:
        assert problem.chance(metric, labels) == 0.0


def test_a_constant_answer_is_named(kind):
    problem, labels, _ = kind
    found = problem.decode(logits_of(problem)[:1].repeat(6, axis=0))
    if problem.tags_words:
        found = np.full_like(labels, 2)
    name = problem.only_answer(labels, found)
    if problem.tags_words:
        assert name == "I-x"
        labels = np.where(labels < 0, -1, 1)
        assert problem.only_answer(labels, found) is None
        return
    if labels.ndim == 2:
        assert name == ", ".join(np.array(problem.labels)[found[0] > 0])
    elif problem.labels:
        assert name == problem.labels[found[0]]
    else:
        assert float(name) == pytest.approx(found[0], rel=0.01)
    # Where all labels are one, a constant answer may be right.
    assert problem.only_answer(labels[:1].repeat(6, axis=0), found) is None
    assert problem.only_answer(labels, labels) is None


def test_a_bootstrap_draws_labels_and_answers_together(kind):
    problem, labels, _ = kind
    assert problem.units(labels) == 6
    drawn = np.array([5, 0, 0])
    np.testing.assert_array_equal(problem.draw(labels, drawn), labels[[5, 0, 0]])


def test_a_row_of_a_predictions_file_goes_there_and_back(kind, tmp_path):
    problem, labels, _ = kind
    logits = logits_of(problem)
    rows = problem.rows(labels, logits)
    assert {len(row) for row in rows} == {len(problem.header())} == {3 + problem.width}
    assert [row[0] for row in rows] == [str(i) for i in range(6)]
    found_labels, found_logits = problem.read_rows(rows)
    np.testing.assert_array_equal(found_logits, logits)
    np.testing.assert_array_equal(problem.as_labels(found_labels), labels)
    assert found_labels.dtype == problem.wide_dtype
    task = dataclasses.replace(tasks.get("mrpc"), problem=problem)
    predictions.write(tmp_path / "p.tsv", task, labels, logits)
    found = predictions.read(tmp_path / "p.tsv", task, 6)
    np.testing.assert_array_equal(found.logits, logits)
    np.testing.assert_array_equal(found.labels, found_labels)
    assert (tmp_path / "p.tsv").read_text().splitlines()[0] == "\t".join(problem.header())


def test_the_row_of_a_model_that_diverged_has_no_prediction(kind):
    problem, labels, _ = kind
    logits = logits_of(problem)
    logits[3, 0] = np.nan
    rows = problem.rows(labels, logits)
    assert [row[2] == "nan" for row in rows] == [False, False, False, True, False, False]
    np.testing.assert_array_equal(problem.read_rows(rows)[1], logits)


def test_rows_of_another_file_are_refused(kind):
    problem, labels, _ = kind
    rows = problem.rows(labels, logits_of(problem))
    with refuses(ValueError, f"{problem.width + 1} logits"):
        problem.read_rows([[*row, "1.0"] for row in rows])
    with refuses(ValueError, "no logits"):
        problem.read_rows([row[:3] for row in rows])
    rows[2][1] = "nan"
    with pytest.raises(problems.NoLabelError) as caught:
        problem.read_rows(rows)
    assert caught.value.row == 2


def check_answers_of_words(problem, logits, decoded):
    texts = [("a b c",), ("a",), ("a b c",), ("a b c",), ("a b",), ("a b",)]
    answers = problem.answers(logits, texts)
    assert len(answers) == 6
    for answer, value, (text,) in zip(answers, decoded, texts, strict=True):
        words = text.split()
        tags = [problem.labels[tag] for tag in value[: len(words)]]
        assert answer.label == " ".join(tags)
        assert [span.text for span in answer.spans] == [
            " ".join(words[span.start : span.end]) for span in problem.spans(value[: len(words)])
        ]
        assert all(0 < answer.score <= span.score <= 1 for span in answer.spans)


def test_answers_are_those_of_the_decoding(kind):
    problem, _, spellings = kind
    logits = logits_of(problem)
    decoded = problem.decode(logits)
    if problem.tags_words:
        check_answers_of_words(problem, logits, decoded)
        return
    answers = problem.answers(logits)
    for answer, value in zip(answers, decoded, strict=True):
        if problem.labels:
            names = np.array(problem.labels)[value if value.ndim == 0 else value > 0]
            assert answer.label == (str(names) if names.ndim == 0 else ", ".join(names) or "none")
            assert list(answer.probabilities) == list(problem.labels)
            if names.ndim == 0:
                assert sum(answer.probabilities.values()) == pytest.approx(1.0)
            assert answer.score == max(answer.probabilities.values())
        else:
            assert (answer.label, answer.probabilities) == (f"{value:.3f}", {})
            assert answer.score == value
    submitted = problem.submission(logits, spellings)
    assert len(submitted) == 6
    for text in submitted:
        assert problem.is_label(np.array([problem.parse_label(text, spellings)])).all()


def test_a_table_of_ones_own_has_labels_by_name(kind):
    problem, labels, _ = kind
    for label in labels:
        value = spelled(label, problem.labels)
        if problem.tags_words:
            value, label = value.split(" "), label[label >= 0]
        elif label.ndim:
            value = [name for name in value.split(",") if name != "none"]
        np.testing.assert_array_equal(problem.as_labels([problem.label_from(value)])[0], label)
    wrong = ["red"] if problem.width == 1 else "purple"
    with refuses(ValueError, "training texts"):
        problem.label_from(wrong)


def test_a_division_keeps_each_group_on_both_sides(kind):
    problem, labels, _ = kind
    groups = problem.strata(labels)
    assert sorted(place for _, places in groups for place in places) == list(range(6))
    assert all(len(places) > 1 for _, places in groups)
    if problem.is_right_or_wrong:
        assert {name: list(places) for name, places in groups} == {
            "no": [0, 4],
            "perhaps": [2, 3],
            "yes": [1, 5],
        }


def test_it_goes_through_json_and_back(kind):
    problem, _, _ = kind
    assert problems.from_json(json.loads(json.dumps(problems.to_json(problem)))) == problem


def test_the_usual_metrics_of_a_kind_are_known(kind):
    problem, _, _ = kind
    assert problem.usual_primary_metric in problem.usual_metrics
    assert set(problem.usual_metrics) <= set(metrics.NAMES)


def test_importing_it_imports_no_tensorflow_and_no_scipy():
    code = (
        "import sys; from bert_glue_tf.data import problems, tasks\n"
        "sys.exit(bool({'tensorflow', 'tf_keras', 'scipy', 'sklearn'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- by hand ---


def test_cross_entropy_by_hand():
    logits = np.array([[0.0, 0.0], [0.0, math.log(3.0)]], np.float32)
    # -ln(1/2) and -ln(3/4)
    expected = (math.log(2) + math.log(4 / 3)) / 2
    two = Classification(("no", "yes"))
    assert two.loss(np.array([0, 1], np.int32), logits) == pytest.approx(expected)
    large = np.array([[1e4, -1e4]], np.float32)
    assert two.loss(np.array([1]), large) == pytest.approx(2e4)


def test_squared_error_by_hand():
    logits = np.array([[1.0], [4.0]], np.float32)
    labels = np.array([2.0, 2.0], np.float32)
    assert Regression(0.0, 5.0).loss(labels, logits) == pytest.approx(2.5)


def test_a_score_flips_when_it_moves_by_a_tenth():
    before, after = np.array([[1.0], [1.0], [1.0]]), np.array([[1.05], [1.25], [0.5]])
    assert Regression(0.0, 5.0).flips(before, after) == 2


def test_a_submitted_score_stays_within_the_labels():
    logits = np.array([[-1.5], [2.25], [7.0]])
    assert Regression(0.0, 5.0).submission(logits, ()) == ["0.000", "2.250", "5.000"]


def test_the_file_of_two_classes_by_hand():
    two = Classification(("no", "yes"))
    rows = two.rows(np.array([1], np.int32), np.array([[0.5, -0.25]], np.float32))
    assert two.header() == ["index", "label", "prediction", "logit_no", "logit_yes"]
    assert rows == [["0", "1", "0", "0.5", "-0.25"]]
    one = Regression(0.0, 5.0)
    rows = one.rows(np.array([2.4], np.float32), np.array([[2.5]], np.float32))
    assert one.header() == ["index", "label", "prediction", "logit_score"]
    assert rows == [["0", "2.4", "2.5", "2.5"]]


def test_a_training_begins_with_a_bias_of_the_right_shape(kind):
    problem, labels, _ = kind
    bias = problem.first_bias(labels)
    assert (bias.shape, bias.dtype) == ((problem.width,), np.float32)
    assert np.isfinite(bias).all()


def test_several_labels_begin_with_their_frequency():
    problem = MultiLabel(labels=("a", "b", "c"))
    labels = np.array([[1, 0, 1], [0, 0, 1], [0, 0, 1]])
    odds = [1.5 / 2.5, 0.5 / 3.5, 3.5 / 0.5]
    assert problem.first_bias(labels) == pytest.approx(np.log(odds))


def test_sigmoid_cross_entropy_by_hand():
    logits = np.array([[0.0, math.log(3.0)]], np.float32)
    # -ln(1/2), and -ln(1/4), since the second label does not apply and has the probability 3/4.
    expected = math.log(2) + math.log(4)
    labels = np.array([[1, 0]], np.int8)
    assert MultiLabel(("a", "b")).loss(labels, logits) == pytest.approx(expected)


def test_the_threshold_is_that_of_the_largest_micro_f1():
    # At 0.8: 2 of 3 found, none wrong, F1 4/5. At 0.6 all, one wrong: 6/7. At 0.9 only one: 1/2.
    chances = np.array([[0.9, 0.8], [0.7, 0.6], [0.2, 0.1]])
    labels = np.array([[1, 1], [0, 1], [0, 0]], np.int8)
    fitted = MultiLabel(("a", "b")).fitted(labels, np.log(chances / (1 - chances)))
    assert fitted.threshold == pytest.approx(0.6)
    found = fitted.decode(np.log(chances / (1 - chances)))
    assert found.tolist() == [[1, 1], [1, 1], [0, 0]]
    # A training that diverged has no threshold: the record and its readers have the one before.
    assert MultiLabel(("a", "b")).fitted(labels, np.full((3, 2), np.nan)).threshold == 0.5


def test_the_file_of_several_labels_by_hand():
    two = MultiLabel(("a", "b"))
    logits = np.array([[0.5, -0.25], [2.0, 1.0], [-1.0, -2.0]], np.float32)
    rows = two.rows(np.array([[0, 0], [1, 1], [0, 1]], np.int8), logits)
    assert rows[0] == ["0", "none", "0", "0.5", "-0.25"]
    assert [row[1:3] for row in rows[1:]] == [["0,1", "0,1"], ["1", "none"]]
    assert [answer.label for answer in two.answers(logits)] == ["a", "a, b", "none"]


def test_weights_let_all_classes_count_alike():
    three = Classification(("a", "b", "c"))
    labels = np.array([0, 0, 0, 1], np.int32)
    # As scikit-learn's "balanced": 4 examples of 2 classes that occur; the mean is 1.
    assert three.balance(labels).tolist() == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2.0])
    assert Regression(0.0, 1.0).balance(np.array([0.5, 1.0])).tolist() == [1.0, 1.0]


def test_the_scores_of_each_label_by_hand():
    two = Classification(("a", "b"))
    # a: 2 of 3 found, and one answer more; b: 1 of 2 found, and one answer more.
    found = two.per_label(np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 0, 1]))
    assert found == [
        LabelScore("a", 3, 2 / 3, 2 / 3, 2 / 3),
        LabelScore("b", 2, 0.5, 0.5, 0.5),
    ]
    several = MultiLabel(("a", "b"))
    found = several.per_label(np.array([[1, 0], [1, 0]]), np.array([[1, 0], [0, 0]]))
    assert found == [LabelScore("a", 2, 1.0, 0.5, 2 / 3), LabelScore("b", 0, 0.0, 0.0, 0.0)]
    assert Regression(0.0, 1.0).per_label(np.array([0.5]), np.array([0.5])) == []


def test_answers_that_are_positive_or_negative(kind):
    problem, labels, _ = kind
    if not problem.has_positives:
        with refuses(ValueError, "positive"):
            problem.positives(labels, logits_of(problem))
        with refuses(ValueError, "positive"):
            problem.at(0.5)
        return
    truths, scores = problem.positives(labels, logits_of(problem))
    assert truths.shape == scores.shape == (labels.size,)
    # An answer is positive from the threshold on, and the answers of `predict` agree.
    logits = logits_of(problem)
    for threshold in (0.0, float(np.median(scores)), float(scores.max()), 1.1):
        found = problem.at(threshold)
        np.testing.assert_array_equal(found.decode(logits).ravel(), scores >= threshold)
        assert found.width == problem.width
        names = [found._name(one) for one in found.decode(logits)]
        assert [answer.label for answer in found.answers(logits)] == names


def test_distances_from_a_teacher_by_hand():
    """T^2 sum p log(p / q) of the softened probabilities; a squared difference of numbers."""
    logits, teacher = np.zeros((1, 3), np.float32), np.float32([[2 * math.log(2), 0, 0]])
    p = np.array([0.5, 0.25, 0.25])
    expected = 4 * np.sum(p * np.log(3 * p))
    classes = KINDS["classification"][0]
    np.testing.assert_allclose(classes.distillation_loss(teacher, logits, 2.0), expected, rtol=1e-5)
    # sigmoid(log 3) = 3/4 for the first label, and 1/2 on both sides for the others.
    teacher = np.float32([[2 * math.log(3), 0, 0]])
    expected = 4 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    labels = KINDS["multi_label"][0]
    np.testing.assert_allclose(labels.distillation_loss(teacher, logits, 2.0), expected, rtol=1e-5)
    number = KINDS["regression"][0]
    found = number.distillation_loss(np.float32([[4.0]]), np.float32([[2.5]]), 7.0)
    np.testing.assert_allclose(found, [2.25])


# --- tagging by hand ---

TAGS = Tagging(("O", "B-x", "I-x", "B-y", "I-y"))
BIEOS_TAGS = Tagging.of_tags(["S-x"])


def of_names(problem, *sentences):
    return problem.as_labels([problem.label_from(text.split()) for text in sentences])


def test_tags_are_completed_by_their_scheme():
    assert BIEOS_TAGS.labels == ("O", "B-x", "I-x", "E-x", "S-x")
    assert Tagging.of_tags(["I-y", "O", "B-x"]) == TAGS
    assert Tagging.of_tags(["T-POS", "O"]).labels == ("O", "T-POS")
    assert Tagging.of_tags(["U-x", "L-x"]).labels == ("O", "B-x", "I-x", "L-x", "U-x")
    with refuses(ValueError, "B-x", "y"):
        Tagging.of_tags(["B-x", "y", "O"])
    with refuses(ValueError, "I-", "M-"):
        Tagging.of_tags(["B-x", "I-x", "M-x"])
    with refuses(ValueError, "O"):
        Tagging.of_tags(["O"])


def test_a_broken_sequence_is_read_as_conlleval_does():
    label = TAGS.label_from("I-x I-x O I-y B-x I-y".split())
    assert [tuple(span) for span in TAGS.spans(label)] == [
        (0, 2, "x"),
        (3, 4, "y"),
        (4, 5, "x"),
        (5, 6, "y"),
    ]
    assert TAGS._name(TAGS.repaired(label)) == "B-x I-x O B-y B-x B-y"
    # What keeps to the scheme: the span that a B begins, until another tag comes.
    assert [tuple(span) for span in TAGS.spans(label, is_strict=True)] == [(4, 5, "x")]
    label = BIEOS_TAGS.label_from("B-x I-x E-x S-x B-x O E-x".split())
    assert [span[:2] for span in BIEOS_TAGS.spans(label, is_strict=True)] == [(0, 3), (3, 4)]
    assert [span[:2] for span in BIEOS_TAGS.spans(label)] == [(0, 3), (3, 4), (4, 5), (6, 7)]
    assert TAGS.repaired([1, -1, 2]) == [1, -1, 1]  # A word whose tag is not known ends a span.
    plain = Tagging.of_tags(["NEG", "POS"])
    label = plain.label_from("POS POS NEG O POS".split())
    assert [tuple(span) for span in plain.spans(label, is_strict=True)] == [
        (0, 2, "POS"),
        (2, 3, "NEG"),
        (4, 5, "POS"),
    ]


def test_metrics_of_spans_by_hand_and_beside_seqevals():
    from seqeval.metrics import f1_score

    labels = of_names(TAGS, "B-x I-x O", "B-y", "O O")
    answers = of_names(TAGS, "B-x I-x I-y", "I-y O O", "B-x O O")
    entity, span, tags = (metrics.of(TAGS, name) for name in TAGS.usual_metrics)
    # Two of two entities; two answers more. By the scheme one of two spans; one answer more.
    assert entity(labels, answers) == pytest.approx(2 * 2 / (2 + 4))
    assert span(labels, answers) == pytest.approx(2 * 1 / (2 + 2))
    assert tags(labels, answers) == pytest.approx(3 / 6)
    random = np.random.default_rng(0)
    labels, answers = random.integers(5, size=(2, 40, 7))
    names = [[[TAGS.labels[tag] for tag in row] for row in side] for side in (labels, answers)]
    assert entity(labels, answers) == pytest.approx(f1_score(*names))
    # A label that is not known is neither right nor wrong.
    labels[:, 3] = -1
    other = answers.copy()
    other[:, 3] = 0
    for metric in (entity, span, tags):
        assert metric(labels, answers) == metric(labels, other)
    with refuses(ValueError, "span_f1"):
        metrics.of(Regression(0.0, 1.0), "span_f1")


def test_the_loss_of_tags_counts_scored_words_alone():
    two = Tagging(("O", "x"))
    logits = np.ones((2, 3, 2), np.float32)
    logits[0, 0] = [0.0, math.log(3.0)]
    labels = np.array([[1, -1, 0], [-1, -1, -1]], np.int16)
    # -ln(3/4) and -ln(1/2), over 20, the mean of two sentences.
    assert two.loss(labels, logits) == pytest.approx((math.log(4 / 3) + math.log(2)) / 40)
    logits[0, 2] = 0.0  # A word that was not read does not count, as in training.
    assert two.loss(labels, logits) == pytest.approx(math.log(4 / 3) / 40)


def test_the_spans_of_an_answer_have_their_words():
    logits = np.full((1, 4, 5), -3.0, np.float32)
    for word, tag in enumerate([1, 2, 0, 3]):
        logits[0, word, tag] = 3.0
    (answer,) = TAGS.answers(logits, [("battery life is good",)])
    sure = 1 / (1 + 4 * math.exp(-6))
    assert answer.spans == (
        AnsweredSpan("battery life", "x", 0, 2, pytest.approx(sure)),
        AnsweredSpan("good", "y", 3, 4, pytest.approx(sure)),
    )
    logits[0, 3] = 0.0  # Cut off: outside, and no part of the score.
    (cut,) = TAGS.answers(logits, [("battery life is good",)])
    assert (cut.label, cut.score) == ("B-x I-x O O", pytest.approx(sure))
    logits[0, 3, 3] = 3.0
    found = TAGS.per_label(of_names(TAGS, "B-x I-x O O"), TAGS.decode(logits))
    assert found == [LabelScore("x", 1, 1.0, 1.0, 1.0), LabelScore("y", 0, 0.0, 0.0, 0.0)]


def test_a_teacher_teaches_no_word_that_it_has_not_read():
    teacher = np.float32([[[9, 0, 0], [0, 0, 0], [np.nan] * 3]])
    student = np.float32([[[9, 0, 0], [9, 0, 0], [0, 9, 0]]])
    problem = Tagging(("O", "B-x", "I-x"))
    np.testing.assert_allclose(problem.distillation_loss(teacher, student, 1.0), [0.0], atol=1e-6)


def test_a_server_answers_no_tags_where_a_chain_decides():
    logits = np.ones((1, 2, 3), np.float32)
    assert set(Tagging(("O", "B-x", "I-x")).served(logits)) == {"label", "probabilities", "classes"}
    chained = Tagging(("O", "B-x", "I-x"), ((0.0,) * 3,) * 5)
    assert set(chained.served(logits)) == {"probabilities", "classes"}


def test_two_models_that_tag_are_compared_by_sentences():
    random = np.random.default_rng(1)
    labels, first, second = random.integers(5, size=(3, 30, 6))
    second = np.where(random.random(labels.shape) < 0.7, labels, second)
    metric = metrics.of(TAGS, "span_f1")
    found = significance.compare(TAGS, metric, labels, [first], [second], resamples=50)
    assert found.mean == pytest.approx(metric(labels, second) - metric(labels, first))
    low, high = bootstrap.interval(TAGS, metric, labels, second, resamples=50)
    random = np.random.default_rng(0)
    draws = [random.integers(30, size=30) for _ in range(50)]
    drawn = [metric(labels[draw], second[draw]) for draw in draws]
    assert (low, high) == tuple(np.quantile(drawn, [0.025, 0.975]))
    assert found.is_shown
