"""A smaller vocabulary: what stays, that nothing used changes, and what dev texts lose."""

from __future__ import annotations

import dataclasses
import string

import numpy as np
import pytest
import tiny_bert
from messages import refuses
from slow_fixtures import slow_to_make

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import preprocessing, readers, tasks, vocabulary, wordpiece
from bert_glue_tf.data.layouts import Padded
from bert_glue_tf.models import classifiers, embedded, encoders, loading, saving
from bert_glue_tf.models.bert import cutting
from bert_glue_tf.models.bert.classifier_weights import SavedWeights, from_weights, read_weights

PIECES = tiny_bert.VOCABULARY
TEXTS = ["The cat saw a dog.", "Mary: walking?"]
CHARACTERS = len(string.punctuation) + 2 * len(string.digits + string.ascii_lowercase)


def write(folder, pieces=PIECES, lower_case=True):
    path = folder.with_suffix(".txt")
    path.write_text("\n".join(pieces) + "\n", encoding="utf-8")
    wordpiece.write_preprocessing(path, folder, lower_case)
    return folder


@pytest.fixture(scope="module")
@slow_to_make
def whole(tmp_path_factory):
    return write(tmp_path_factory.mktemp("vocabulary") / "whole")


def tokenized(folder, texts):
    model = preprocessing.build(preprocessing.load(str(folder), ""), ["sentence"], 32)
    return preprocessing.tokenize(model, (texts,))


def test_what_is_always_kept():
    used = [PIECES.index(piece) for piece in ("cat", "##ing")]
    kept = vocabulary.choose(PIECES, used, share=0)
    assert list(kept) == sorted(kept)
    assert len(kept) == len(tiny_bert.SPECIAL_TOKENS) + CHARACTERS + 2
    names = {PIECES[i] for i in kept}
    assert names >= {*tiny_bert.SPECIAL_TOKENS, "x", "##x", "?", "cat", "##ing"}
    assert not names & {"dog", "##ed", "the"}


def test_the_share_is_filled_in_the_vocabularys_order():
    needed = vocabulary.choose(PIECES, [], share=0)
    pieces = (*PIECES[:5], "[unused1]", *PIECES[5:])
    kept = vocabulary.choose(pieces, [], share=(len(needed) + 3.5) / len(pieces))
    extra = [p for p in (pieces[i] for i in kept) if len(p) > 3 or len(p) == 2 or p == "the"]
    added = [p for p in extra if p not in tiny_bert.SPECIAL_TOKENS]
    assert len(kept) == len(needed) + 3
    assert added[:1] == ["the"]
    assert len(vocabulary.choose(pieces, [], share=1)) == len(PIECES)  # All but [unused1].


def test_what_cannot_be_is_refused(tmp_path):
    with refuses(UserError, "[UNK]"):
        vocabulary.choose([p for p in PIECES if p != "[UNK]"], [])
    for used in ([-1], [len(PIECES)]):
        with refuses(ValueError, "ids"):
            vocabulary.choose(PIECES, used)
    with refuses(UserError, tmp_path, "found none"):
        vocabulary.read(tmp_path)
    with refuses(UserError, tmp_path, "exists"):
        vocabulary.prune(tmp_path, tmp_path, [])


def test_texts_that_were_used_are_tokenized_as_before(whole, tmp_path):
    before = tokenized(whole, TEXTS)
    ids = vocabulary.prune(whole, tmp_path / "small", before.ids, share=0)
    assert vocabulary.read(tmp_path / "small") == tuple(PIECES[i] for i in ids)
    after = tokenized(tmp_path / "small", TEXTS)
    np.testing.assert_array_equal(ids[after.ids], before.ids)
    np.testing.assert_array_equal(after.row_splits, before.row_splits)
    assert after.padding_id == list(ids).index(before.padding_id)


def test_the_smaller_classifier_answers_the_same(whole, tmp_path):
    before = tokenized(whole, TEXTS)
    architecture = tiny_bert.architecture()
    random = np.random.default_rng(0)
    weights = SavedWeights(
        architecture,
        tiny_bert.weights(architecture),
        random.normal(size=(16, 2)).astype(np.float32),
        np.zeros(2, np.float32),
    )
    ids = vocabulary.prune(whole, tmp_path / "small", before.ids, share=0)
    small = cutting.keep_pieces(weights, ids)
    assert small.encoder["word_embeddings/embeddings"].shape == (len(ids), 16)
    encoder = loading.load(
        encoders.resolve(str(tiny_bert.write_pair(tmp_path / "pair")), ""), seq_length=16
    )
    encoder = dataclasses.replace(encoder, preprocessing_path=str(tmp_path / "small"))
    model = from_weights(small)
    saving.save(model, encoder, tasks.get("sst2"), tmp_path / "model")
    after = tokenized(tmp_path / "model" / "preprocessing", TEXTS)
    found = saving.load_predict_fn(tmp_path / "model")(after.batch([0, 1], 16))
    expected = classifiers.predict_fn(from_weights(weights), Padded())(before.batch([0, 1], 16))
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert read_weights(tmp_path / "model").architecture.vocab_size == len(ids)


def test_the_report_counts_what_changed(whole, tmp_path):
    used = tokenized(whole, TEXTS).ids
    kept = len(vocabulary.prune(whole, tmp_path / "small", used, share=0))
    # "good" and "was" are gone, "dog" is kept, the snowman was unknown before.
    report = vocabulary.compare(
        whole, tmp_path / "small", (["Good dog \N{SNOWMAN}", "good"], ["was"])
    )
    assert (report.vocabulary_before, report.vocabulary_after) == (len(PIECES), kept)
    assert report.removed == pytest.approx(1 - kept / len(PIECES))
    assert (report.words, report.changed) == (5, 3)
    assert report.unknown_before == 1 / 5
    assert report.unknown_after == 1 / 13
    assert report.growth == 13 / 5
    assert report.examples == (("good", "g ##o ##o ##d"), ("was", "w ##a ##s"))
    assert report.lines()[1:4] == [
        "[UNK] among the pieces: 20.000% -> 7.692%",
        "words that split differently: 3 of 5 (60.0%); pieces in all: +160.0%",
        "  good -> g ##o ##o ##d",
    ]


def test_the_case_stays_what_it_was(whole, tmp_path):
    """A cased tokenizer has no "The" in this vocabulary and must not find "the"."""
    cased = write(tmp_path / "cased", lower_case=False)
    for source, expected in ((whole, ["the"]), (cased, ["[UNK]"])):
        target = tmp_path / f"small-{source.name}"
        vocabulary.prune(source, target, [PIECES.index("the")])
        pieces = vocabulary.read(target)
        found = preprocessing.load(str(target), "").tokenize([b"The"]).to_list()
        assert [pieces[i] for i in found[0][0]] == expected


def test_accents_stay_what_they_were(tmp_path):
    """Apart from the case: a tokenizer that lower-cases and keeps them must not lose them."""
    pieces = (*PIECES, "é")
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(pieces) + "\n", encoding="utf-8")
    source, target = tmp_path / "whole", tmp_path / "small"
    wordpiece.write_preprocessing(path, source, lower_case=True, strip_accents=False)
    vocabulary.prune(source, target, [pieces.index("the")])
    found = preprocessing.load(str(target), "").tokenize(["É".encode(), b"E"]).to_list()
    assert [vocabulary.read(target)[text[0][0]] for text in found] == ["é", "e"]


@pytest.fixture(scope="module")
def uncased(tmp_path_factory):
    """The embedded encoder's preprocessing."""
    folder = tmp_path_factory.mktemp("uncased") / "whole"
    wordpiece.write_preprocessing(embedded.find() / "vocab.txt", folder, lower_case=True)
    return folder


# Single sentences, of the largest of the three corpora of the report, and pairs.
@pytest.mark.parametrize("name", ["sst2", "mrpc"])
def test_half_of_the_matrix_goes_and_nothing_becomes_unknown(name, uncased, glue_dir, tmp_path):
    task = tasks.get(name)
    model = preprocessing.build(
        preprocessing.load(str(uncased), ""), task.text_fields, seq_length=128
    )
    train, dev = (readers.load(task, str(glue_dir), split) for split in ("train", "validation"))
    tokens = preprocessing.tokenize(model, train.texts)
    ids = vocabulary.prune(uncased, tmp_path / "small", tokens.ids)
    report = vocabulary.compare(uncased, tmp_path / "small", dev.texts)
    print("\n".join([name, *report.lines()]))
    assert report.vocabulary_before == 30522
    assert report.removed >= 0.5
    assert report.unknown_after < 0.001
    assert report.changed / report.words < 0.035
    assert report.growth < 1.04
    assert np.isin(tokens.ids, ids).all()
