"""The embedded sample corpus: fixed text, clean splits, and labels that words alone miss."""

import collections
import hashlib
import json
import re
import subprocess
import sys

import numpy as np
import pytest
from messages import refuses

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import sample, tasks

# SHA-256 of the whole corpus. If it changes, bump sample.VERSION and pin the new pair.
DIGEST = {"1": "980a709cd120470ca7f6f99c17f51f7ad4fb24a3386ce6557896d3482dd70e93"}
SIZES = {"cola": (2200, 550), "mrpc": (2200, 550), "sst2": (2000, 500)}
KINDS = {
    "cola": {"agreement", "reflexive", "argument", "order", "extraction"},
    "mrpc": {"lexical", "roles", "exchange", "clauses", "polarity"},
    "sst2": {"plain", "negated", "contrast", "compared"},
}
ALL = [(task, split) for task in sample.TASKS for split in sample.SPLITS]


def _words(text):
    return re.findall(r"\w+", text.lower())


def _overlap(one, two):
    """Words in common, as multisets, over the length of the longer text."""
    a, b = collections.Counter(_words(one)), collections.Counter(_words(two))
    return (a & b).total() / max(a.total(), b.total())


def _texts(task, split):
    return [text for texts, _ in sample.examples(task, split) for text in texts]


def test_text_is_pinned_by_the_version():
    corpus = {f"{task}/{split}": sample.examples(task, split) for task, split in ALL}
    digest = hashlib.sha256(json.dumps(corpus, sort_keys=True).encode()).hexdigest()
    assert (sample.VERSION, digest) == (sample.VERSION, DIGEST[sample.VERSION])


def test_importing_loads_nothing_heavy_and_generating_is_quick():
    code = (
        "import sys, time; from bert_glue_tf.data import sample; t = time.process_time();"
        "[sample.examples(task, split) for task in sample.TASKS for split in sample.SPLITS];"
        "assert time.process_time() - t < 6, 'six splits, under a second each';"
        "assert not {'tensorflow', 'numpy', 'tf_keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_second_process_writes_the_same_text():
    code = "from bert_glue_tf.data import sample; print(sample.examples('mrpc', 'validation'))"
    # A random hash seed: no set or dict order may leak into the text.
    runs = [
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    assert runs[0].decode().strip() == str(sample.examples("mrpc", "validation"))


@pytest.mark.parametrize("task", sample.TASKS)
def test_sizes_and_shapes(task):
    assert tuple(len(sample.examples(task, split)) for split in sample.SPLITS) == SIZES[task]
    spec = tasks.get(task)
    for split in sample.SPLITS:
        for texts, label in sample.examples(task, split):
            assert len(texts) == len(spec.text_fields)
            assert label in range(spec.problem.width)
        lengths = [len(_words(text)) for text in _texts(task, split)]
        assert 7.5 < np.mean(lengths) < 12
        assert min(lengths) >= 3
        assert max(lengths) <= 20


@pytest.mark.parametrize("task", sample.TASKS)
def test_splits_share_no_text_and_repeat_none(task):
    train, validation = (_texts(task, split) for split in sample.SPLITS)
    assert set(train).isdisjoint(validation)
    assert len(set(train)) == len(train)
    assert len(set(validation)) == len(validation)


@pytest.mark.parametrize("task", sample.TASKS)
def test_validation_has_words_that_training_never_shows(task):
    train = {word for text in _texts(task, "train") for word in _words(text)}
    unseen = [not train.issuperset(_words(text)) for text in _texts(task, "validation")]
    assert 0.15 < np.mean(unseen) < 0.75


@pytest.mark.parametrize(("task", "split"), ALL)
def test_labels_are_balanced_overall_and_within_each_kind(task, split):
    labels = [label for _, label in sample.examples(task, split)]
    assert np.mean(labels) == 0.5
    by_kind = collections.defaultdict(list)
    for group in sample.groups(task, split):
        by_kind[group.kind] += [label for _, label in group.rows]
    assert set(by_kind) == KINDS[task]
    for kind, found in by_kind.items():
        assert len(found) >= 0.06 * len(labels), kind
        assert 0.3 < np.mean(found) < 0.7, kind


@pytest.mark.parametrize("split", sample.SPLITS)
def test_cola_pairs_are_minimal(split):
    overlaps = []
    for group in sample.groups("cola", split):
        ((good,), one), ((bad,), zero) = group.rows
        assert (one, zero) == (1, 0)
        overlaps.append(_overlap(good, bad))
        if group.kind in ("agreement", "reflexive"):  # one word differs, in its form alone
            changed = [(a, b) for a, b in zip(_words(good), _words(bad), strict=True) if a != b]
            assert len(changed) == 1
    assert min(overlaps) >= 0.6
    assert np.mean(overlaps) > 0.85


def test_cola_verbs_agree_in_the_acceptable_member():
    for group in sample.groups("cola", "train"):
        if group.kind == "agreement":
            (good,), _ = group.rows[0]
            subject = _words(good)[1]
            plural = subject.endswith("s") and not subject.endswith("ss")
            plural = plural or subject in ("men", "women") or subject.endswith("sses")
            verb = _words(group.rows[1][0][0])
            wrong = next(b for a, b in zip(_words(good), verb, strict=True) if a != b)
            assert wrong.endswith("s") == plural, good


@pytest.mark.parametrize("split", sample.SPLITS)
def test_mrpc_overlap_does_not_tell_the_label(split):
    rows = sample.examples("mrpc", split)
    overlap = np.array([_overlap(*texts) for texts, _ in rows])
    label = np.array([label for _, label in rows])
    assert overlap.mean() > 0.6
    cuts = np.unique(overlap)
    best = max(np.mean((overlap >= cut) == label) for cut in cuts)
    assert max(best, max(np.mean((overlap < cut) == label) for cut in cuts)) < 0.6


def _bag_of_words_score(task):
    text = pytest.importorskip("sklearn.feature_extraction.text")
    linear_model = pytest.importorskip("sklearn.linear_model")
    from scipy import sparse

    counter = text.CountVectorizer(ngram_range=(1, 2), token_pattern=r"\w+")
    counter.fit(_texts(task, "train"))

    def features(rows):
        fields = [counter.transform(column) for column in zip(*(t for t, _ in rows), strict=True)]
        if len(fields) == 2:
            fields.append(abs(fields[0] - fields[1]))
        return sparse.hstack(fields).tocsr()

    train, validation = (sample.examples(task, split) for split in sample.SPLITS)
    model = linear_model.LogisticRegression(max_iter=1000)
    model.fit(features(train), [label for _, label in train])
    return model.score(features(validation), [label for _, label in validation])


@pytest.mark.parametrize(
    ("task", "low", "high"), [("cola", 0.45, 0.6), ("mrpc", 0.45, 0.6), ("sst2", 0.75, 0.88)]
)
def test_counting_words_does_not_solve_the_task(task, low, high):
    """Unigrams and bigrams in a logistic regression; the majority class scores 0.5."""
    assert low < _bag_of_words_score(task) < high


def test_unknown_names_list_the_good_ones():
    with refuses(UserError, "rte", "cola, mrpc, sst2"):
        sample.examples("rte", "train")
    with refuses(UserError, "test", "train, validation"):
        sample.examples("cola", "test")
