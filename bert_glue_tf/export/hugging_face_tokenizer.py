"""The tokenizer of a run as Hugging Face's tokenizers library loads it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from bert_glue_tf.data.switches import Switches
from bert_glue_tf.data.truncation import HEAD, TAIL
from bert_glue_tf.data.vocabulary import CONTINUATION, MASK, UNKNOWN

# What transformers calls each of the special tokens.
_NAMES = {"pad": "[PAD]", "unk": UNKNOWN, "cls": "[CLS]", "sep": "[SEP]", "mask": MASK}
_START, _END = "[CLS]", "[SEP]"


def files(
    pieces: Sequence[str], switches: Switches, length: int, truncation: str, has_types: bool
) -> dict[str, str]:
    """Return the name and the content of each file.

    Args:
      pieces: the vocabulary, in the order of its ids.
      switches: of the run's tokenizer.
      length: longest input in word pieces.
      truncation: which pieces of longer text the run reads.
      has_types: whether the model takes the types of the segments.
    """
    return {
        "vocab.txt": "".join(f"{piece}\n" for piece in pieces),
        "tokenizer.json": _dump(_fast(pieces, switches)),
        "tokenizer_config.json": _dump(_config(switches, length, truncation, has_types)),
    }


def notes(switches: Switches, truncation: str) -> list[str]:
    """Return sentences on what transformers' tokenizer does in another way than the run's."""
    found = [
        "`[SEP]`, `[CLS]` and `[MASK]` that are written in a text are special tokens in "
        "transformers; in the run they were punctuation and letters.",
        "Transformers takes a word of more than 100 characters for unknown; the run did so from "
        f"{switches.characters_a_word or switches.bytes_a_word} "
        f"{'characters' if switches.characters_a_word else 'bytes'} on.",
    ]
    if switches.characters_a_word is None:
        found.append(
            "The encoder came with a preprocessing model of TF-Hub, which splits some rare "
            "characters (`½`, `…`) in another way than the tokenizer of this folder."
        )
    if truncation not in (HEAD, TAIL):
        found.append(
            f"Of longer texts the run reads both ends (`--truncation={truncation}`), which no "
            "setting of that tokenizer says: it keeps the beginning."
        )
    return found


def _config(switches: Switches, length: int, truncation: str, has_types: bool) -> dict[str, Any]:
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    return {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": switches.lower_case,
        "strip_accents": switches.strip_accents,
        "tokenize_chinese_chars": True,
        "model_max_length": length,
        "truncation_side": "left" if truncation == TAIL else "right",
        "model_input_names": [name for name in inputs if has_types or name != inputs[1]],
        **{f"{name}_token": token for name, token in _specials(switches).items()},
    }


def _fast(pieces: Sequence[str], switches: Switches) -> dict[str, Any]:
    """Return tokenizer.json."""
    added = [
        {
            "id": switches.special_ids[token],
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for token in _specials(switches).values()
    ]
    start, end = ({"SpecialToken": {"id": token, "type_id": 0}} for token in (_START, _END))
    texts = [{"Sequence": {"id": name, "type_id": i}} for i, name in enumerate("AB")]
    second = {"SpecialToken": {"id": _END, "type_id": 1}}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": sorted(added, key=lambda one: one["id"]),
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": switches.strip_accents,
            "lowercase": switches.lower_case,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [start, texts[0], end],
            "pair": [start, texts[0], end, texts[1], second],
            "special_tokens": {
                token: {"id": token, "ids": [switches.special_ids[token]], "tokens": [token]}
                for token in (_START, _END)
            },
        },
        "decoder": {"type": "WordPiece", "prefix": CONTINUATION, "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": UNKNOWN,
            "continuing_subword_prefix": CONTINUATION,
            "max_input_chars_per_word": switches.characters_a_word or switches.bytes_a_word,
            "vocab": {piece: number for number, piece in enumerate(pieces)},
        },
    }


def _specials(switches: Switches) -> dict[str, str]:
    """Return transformers' name of each special token that the vocabulary has."""
    return {name: token for name, token in _NAMES.items() if token in switches.special_ids}


def _dump(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, indent=2) + "\n"
