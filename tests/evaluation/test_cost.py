"""Times taken in turns."""

from __future__ import annotations

import itertools

from bert_glue_tf.evaluation import cost


def test_calls_are_timed_in_turns_of_changing_order():
    made, now, turns = [], itertools.count(), []
    took = {"a": 1, "b": 10, "c": 100}

    def call(name):
        made.append(name)
        for _ in range(took[name] - 1):
            next(now)

    found = cost.interleaved_latency(
        {name: lambda name=name: call(name) for name in took},
        20,
        warmup=2,
        clock=lambda: next(now),
        after_turn=lambda: turns.append(len(made)),
    )
    # The clock moves by one when it is looked at: a call takes what it has moved by itself.
    assert found == {
        name: {"p50": 1e3 * time, "p90": 1e3 * time, "min": 1e3 * time}
        for name, time in took.items()
    }
    assert turns == [3 * (turn + 1) for turn in range(22)]
    orders = ["".join(made[start : start + 3]) for start in range(0, len(made), 3)]
    assert set(map("".join, itertools.permutations("abc"))) == set(orders)
    before = {second for order in orders for first, second in itertools.pairwise(order)}
    assert before == set("abc")  # None is always first.


def test_the_order_is_the_same_in_each_session():
    def order():
        made = []
        calls = {name: lambda name=name: made.append(name) for name in "abcd"}
        cost.interleaved_latency(calls, 5)
        return made

    assert order() == order()
