"""robustness.py: mistakes counted and pinned, CoLA's own split found again, scores by hand."""

from __future__ import annotations

import json
import pathlib
import re

import numpy as np
import pytest
from messages import refuses

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import layouts, preprocessing, readers, tasks
from bert_glue_tf.data.examples import Examples
from bert_glue_tf.evaluation import bootstrap, metrics, robustness
from bert_glue_tf.evaluation.defaults import TYPOS

COLA, SST2, MRPC = (tasks.get(name) for name in ("cola", "sst2", "mrpc"))
WORD = "ridiculously"  # No two of its neighbouring letters are alike.


PINNED = [
    "The sailros rode the bereze clpear of the rcks.",
    "The sailors rode the bteeze clear of the rocks.",
]


def kind(old: str, new: str) -> str:
    """Which single mistake inside the word makes `new` of `old`; fails if none does."""
    inside = range(1, len(old) - 1)
    for i in inside:
        if new == old[:i] + old[i + 1 :]:
            return "drop"
        if i + 1 in inside and new == old[:i] + old[i + 1] + old[i] + old[i + 2 :] != old:
            return "swap"
        beside = robustness.NEIGHBOURS[old[i].lower()]
        if new[:i] + old[i] + new[i + 1 :] == old and new[i].lower() in beside:
            assert new[i].isupper() == old[i].isupper()
            return "replace"
    for i in range(1, len(old)):
        beside = robustness.NEIGHBOURS[old[i - 1].lower()]
        if new[:i] + new[i + 1 :] == old and new[i].lower() in beside:
            assert new[i].isupper() == old[i].isupper()
            return "add"
    raise AssertionError(f"{old} -> {new}")


def test_the_keys_beside_a_key():
    near = robustness.NEIGHBOURS
    assert {key: "".join(sorted(near[key])) for key in "aqpsmgl"} == {
        "a": "qswz",
        "q": "aw",
        "p": "lo",
        "s": "adewxz",
        "m": "jkn",
        "g": "bfhtvy",
        "l": "kop",
    }
    assert sorted(near) == list("abcdefghijklmnopqrstuvwxyz")
    assert all(a in near[b] for a in near for b in near[a])


def test_each_kind_of_mistake_comes_about_as_often():
    found = robustness.typos([WORD] * 4000, 1.0)
    counts = {name: 0 for name in ("swap", "drop", "add", "replace")}
    for new in found:
        counts[kind(WORD, new)] += 1
    # 1000 each; the standard deviation is 27.
    assert all(890 < count < 1110 for count in counts.values()), counts
    # Every place inside the word is hit.
    dropped = {new for new in found if len(new) < len(WORD)}
    assert dropped == {WORD[:i] + WORD[i + 1 :] for i in range(1, len(WORD) - 1)}


def test_where_a_swap_would_change_nothing_another_mistake_is_made():
    found = robustness.typos(["Good"] * 300, 1.0)
    assert {kind("Good", new) for new in found} == {"drop", "add", "replace"}
    assert all(new[0] == "G" and new[-1] == "d" for new in found)


def test_what_stays():
    text = "The cat's 1234 caf\u00e9s, na\u00efve\tr2d2  are not \U0001f600 abc_def it\u2028was."
    assert robustness.typos([text], 1.0) == [text]
    assert robustness.typos(["Nothing changes here."], 0.0) == ["Nothing changes here."]
    assert robustness.typos([], 1.0) == []
    (new,) = robustness.typos(["Don't shout: LOUDER, louder!"], 1.0)
    found = re.fullmatch(r"Don't (\w+): (\w+), (\w+)!", new)
    for old, word in zip(("shout", "LOUDER", "louder"), found.groups(), strict=True):
        kind(old, word)
    assert found.group(2).isupper()


def test_mistakes_are_pinned_since_records_rely_on_them():
    text = "The sailors rode the breeze clear of the rocks."
    assert robustness.typos([text, text], 0.5) == PINNED
    assert robustness.typos([text, text], 0.5, seed=1) != PINNED
    assert robustness.typos([text, text], 0.5, field=1) != PINNED
    assert PINNED[0] != PINNED[1]
    # An example's mistakes depend on its position and on no other example.
    assert robustness.typos(["Other words before it.", text], 0.5)[1] == PINNED[1]


def test_a_smaller_rate_makes_some_of_the_mistakes_of_a_larger_one():
    texts = [" ".join([WORD] * 50)] * 40
    few, many = (robustness.typos(texts, rate) for rate in (0.2, 0.6))
    pairs = list(zip(" ".join(few).split(), " ".join(many).split(), strict=True))
    assert all(a in (WORD, b) for a, b in pairs)
    # 2000 words; the standard deviations are 0.9 % and 1.1 %.
    assert np.mean([a != WORD for a, _ in pairs]) == pytest.approx(0.2, abs=0.03)
    assert np.mean([b != WORD for _, b in pairs]) == pytest.approx(0.6, abs=0.035)


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_a_rate_is_a_probability(rate):
    with refuses(ValueError, rate):
        robustness.typos(["text"], rate)


# --- out of domain ---


def examples(texts, labels=None, sources=None, split="validation", split_examples=None):
    count = len(texts[0])
    provenance = {"split": split, "examples": count, "split_examples": split_examples or count}
    array = None if labels is None else np.array(labels, np.int32)
    return Examples(texts, array, provenance, sources)


def test_codes_that_training_has_not_are_out_of_domain():
    train = examples((["a", "b", "c"],), sources=["x", "y", "x"], split="train")
    dev = examples((["d", "e", "f", "g"],), sources=["y", "z", "x", "X"])
    assert robustness.out_of_domain(dev, train).tolist() == [False, True, False, True]
    unknown = examples((["d"],))
    assert robustness.out_of_domain(unknown, train) is None
    assert robustness.out_of_domain(dev, unknown) is None
    part = examples((["a"],), sources=["x"], split="train", split_examples=3)
    with refuses(ValueError, "training split"):
        robustness.out_of_domain(dev, part)


def test_the_two_development_splits_of_cola_are_found_again(glue_dir):
    train, dev = (readers.load(COLA, str(glue_dir), split) for split in ("train", "validation"))
    unseen = robustness.out_of_domain(dev, train)
    # The sizes that CoLA's page gives: 527 in-domain, 516 out-of-domain; 6 sources.
    assert (np.count_nonzero(~unseen), np.count_nonzero(unseen)) == (527, 516)
    assert {code for code, new in zip(dev.sources, unseen, strict=True) if new} == {
        "c-05",
        "clc95",
        "j_71",
        "s_97",
        "swb04",
        "w_80",
    }
    with refuses(ValueError, "training split"):
        robustness.out_of_domain(dev, train.take(800))


# --- scores ---


@pytest.fixture(scope="module")
def tokenizer(tiny_encoder):
    return preprocessing.load(str(pathlib.Path(tiny_encoder) / "preprocessing"), "tiny")


def measure(tokenizer, task, dev, train, predict=None, **settings):
    """Scores a model that says 1 where the word `good` is a piece of the text."""
    model = preprocessing.build(tokenizer, task.text_fields, 32)
    (good,) = preprocessing.tokenize(preprocessing.build(tokenizer, ("text",), 8), (["good"],)).ids[
        1:-1
    ]

    def has_good(features):
        found = (features["input_word_ids"] == good).any(axis=1)
        return np.stack([~found, found], axis=1).astype(np.float32)

    return robustness.measure(
        predict or has_good,
        model,
        task,
        dev,
        train,
        batch_size=4,
        layout=layouts.Padded(lengths=layouts.bucket_lengths(32)),
        **settings,
    )


TEXTS = ["it was good", "good film", "bad film", "very good", "it was bad", "good good"]
LABELS = [1, 1, 0, 1, 0, 0]  # The last one is what the model gets wrong.
CODES = ["x", "x", "x", "z", "z", "z"]


def test_scores_by_hand(tokenizer):
    train = examples((["a", "b"],), sources=["x", "y"], split="train")
    dev = examples((TEXTS,), LABELS, CODES)
    found = measure(tokenizer, SST2, dev, train, rate=1.0)
    assert json.loads(json.dumps(found)) == found
    assert found["clean"].pop("interval") == list(
        bootstrap.interval(
            SST2.problem, metrics.accuracy, np.array(LABELS), np.array([1, 1, 0, 1, 0, 1])
        )
    )
    assert found["clean"] == {"accuracy": 5 / 6, "examples": 6}
    # Every `good` is misspelt, so that the answer is 0 everywhere: 3 of 6 are right.
    assert found["typos"].pop("interval")[0] < 0.5
    assert found["typos"] == {
        "accuracy": 0.5,
        "examples": 6,
        "rate": 1.0,
        "seed": 0,
        # good (5 times), film (twice) and very, of 14 words.
        "words": 8 / 14,
    }
    assert found["in_domain"] == {"accuracy": 1.0, "examples": 3, "interval": [1.0, 1.0]}
    assert found["out_of_domain"]["accuracy"] == 2 / 3
    assert found["out_of_domain"]["examples"] == 3


def test_without_mistakes_and_without_sources(tokenizer):
    dev = examples((TEXTS,), LABELS)
    found = measure(tokenizer, SST2, dev, examples((["a"],), split="train"), rate=0.0)
    assert found["typos"]["accuracy"] == found["clean"]["accuracy"] == 5 / 6
    assert found["typos"]["words"] == 0.0
    assert found["in_domain"] is found["out_of_domain"] is None


def test_a_half_without_examples_has_no_score(tokenizer):
    train = examples((["a", "b"],), sources=["x", "z"], split="train")
    found = measure(tokenizer, SST2, examples((TEXTS,), LABELS, CODES), train)
    assert found["in_domain"]["examples"] == 6
    assert found["out_of_domain"] is None
    assert found["typos"]["rate"] == TYPOS


def test_both_texts_of_a_pair_have_mistakes(tokenizer):
    count = 8
    dev = examples((["good"] * count, ["bad"] * count), [1] * count)
    again = examples((["bad"] * count, ["good"] * count), [1] * count)
    for pair in (dev, again):
        found = measure(tokenizer, MRPC, pair, examples((["a"], ["b"]), split="train"), rate=1.0)
        assert (found["clean"]["accuracy"], found["typos"]["accuracy"]) == (1.0, 0.0)


def test_a_diverged_model_has_no_score(tokenizer):
    def diverged(features):
        return np.full((len(features["input_word_ids"]), 2), np.nan, np.float32)

    dev = examples((TEXTS,), LABELS)
    train = examples((["a"],), split="train")
    found = measure(tokenizer, SST2, dev, train, predict=diverged)
    assert np.isnan(found["clean"]["accuracy"])
    assert np.isnan(found["typos"]["accuracy"])
    assert "interval" not in found["clean"]


def test_a_split_without_labels_is_refused(tokenizer):
    dev = examples((TEXTS,), split="test")
    with refuses(UserError, "split test"):
        measure(tokenizer, SST2, dev, examples((["a"],), split="train"))
