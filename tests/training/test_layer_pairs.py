"""Which layers of a student learn from which layers of its teacher."""

from __future__ import annotations

import pytest
from messages import refuses

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.models.parts import States
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.training import layer_pairs


def choose(layers, student, teacher):
    settings = ExperimentConfig(teacher="x", distill_layers=layers)
    return layer_pairs.choose(settings, student, teacher)


@pytest.mark.parametrize(
    ("student", "teacher", "pairs"),
    [
        (6, 12, [(1, 2), (2, 4), (3, 6), (4, 8), (5, 10), (6, 12)]),
        (3, 3, [(1, 1), (2, 2), (3, 3)]),
        (4, 6, [(1, 2), (2, 3), (3, 5), (4, 6)]),
        (6, 2, [(3, 1), (6, 2)]),
        (1, 5, [(1, 5)]),
    ],
)
def test_uniform_spreads_the_layers_and_the_last_learns_from_the_last(student, teacher, pairs):
    assert choose("uniform", States(student, 8), States(teacher, 8)) == pairs


def test_pairs_are_those_that_are_given_where_both_have_the_layers():
    assert choose("1:2,2:6", States(2, 8), States(6, 8)) == [(1, 2), (2, 6)]
    with refuses(UserError, "--distill_layers=1:2,3:6", "this encoder", "2:6"):
        choose("1:2,3:6", States(2, 8), States(6, 8))
    with refuses(UserError, "--distill_layers=1:7", "the teacher's encoder", "number 7"):
        choose("1:7", States(2, 8), States(6, 8))


def test_the_last_attention_learns_from_the_last_or_as_it_is_given():
    last = ExperimentConfig(teacher="x", distill_attention="last")
    assert layer_pairs.choose_attention(last, States(3, 8), States(12, 16)) == (3, 12)
    given = ExperimentConfig(teacher="x", distill_attention="2:9")
    assert layer_pairs.choose_attention(given, States(3, 8), States(12, 16)) == (2, 9)
    with refuses(UserError, "--distill_attention=2:9", "the teacher's encoder", "last", "3:6"):
        layer_pairs.choose_attention(given, States(3, 8), States(6, 16))
