"""Times taken in turns, and the bytes of files."""

from __future__ import annotations

import gzip
import itertools

import numpy as np
import pytest

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


def test_parts_add_up_to_their_whole_though_the_machine_changes_its_pace():
    random = np.random.default_rng(0)
    # Each part is slow in other turns: the quickest half of its own would be of others.
    parts = {name: size * (1 + (random.random(100) < 0.5)) for name, size in (("a", 1), ("b", 3))}
    seconds = {**parts, "whole": sum(parts.values())}
    found = cost.that_add_up(seconds)
    assert found["whole"] == pytest.approx(found["a"] + found["b"])
    assert sum(found.values()) == pytest.approx(1e3 * np.median(sum(seconds.values())))
    assert cost.that_add_up({"a": np.array([2.0])}) == {"a": 2e3}


def test_what_takes_longer_now_and_then_does_not_count():
    seconds = {"a": np.where(np.arange(100) % 3, 1.0, 50.0), "b": np.full(100, 2.0)}
    assert cost.that_add_up(seconds) == pytest.approx({"a": 1e3, "b": 2e3})


@pytest.mark.parametrize("size", [0, 1, cost._CHUNK, 3 * cost._CHUNK + 7])
def test_a_file_s_gzipped_bytes_are_those_of_gzip_itself(tmp_path, size):
    random = np.random.default_rng(0)
    # Half of it can be compressed, as a file with pruned weights.
    values = random.integers(0, 256, size, np.uint8) * (random.random(size) < 0.5)
    content = values.astype(np.uint8).tobytes()
    (tmp_path / "weights").write_bytes(content)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "note").write_bytes(b"a note " * 100)
    found = cost.size_on_disk(tmp_path)
    expected = sum(len(gzip.compress(part, 6)) for part in (content, b"a note " * 100))
    assert found["plain"] == size + 700
    assert abs(found["gzip"] - expected) <= 1e-4 * expected + 8
