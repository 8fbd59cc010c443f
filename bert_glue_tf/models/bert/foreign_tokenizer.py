"""The WordPiece tokenizer of a folder of another program: its pieces, and what precedes them.

Read without TensorFlow from vocab.txt, tokenizer.json and tokenizer_config.json. What a folder
does not say about capital letters is told by the pieces: a vocabulary of lower-cased text has no
capital letter in it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.vocabulary import CONTINUATION, SPECIAL_TOKENS, UNKNOWN
from bert_glue_tf.models.bert.foreign_config import read_json

VOCABULARY = "vocab.txt"
TOKENIZER = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
# Tables of word embeddings are padded to a multiple of 8 or 64, which matrix units like.
_PADDED_TO, _PADDING = 8, 64


@dataclasses.dataclass(frozen=True)
class Tokenizer:
    """A WordPiece tokenizer.

    Attributes:
        source: the file that its pieces were read from.
        pieces: in the order of their ids.
        lower_case: texts are lower-cased ("uncased").
        strip_accents: accents are taken off the letters.
        reason: why `lower_case` is what it is, for a reader.
        warnings: sentences on what was mended.
    """

    source: Path
    pieces: tuple[str, ...]
    lower_case: bool
    strip_accents: bool
    reason: str
    warnings: tuple[str, ...] = ()

    def told(self) -> str:
        """Return in one sentence what happens to capital letters and accents, and why."""
        case = "texts are lower-cased" if self.lower_case else "texts keep their capital letters"
        accents = ""
        if self.strip_accents != self.lower_case:
            accents = ", and lose their accents" if self.strip_accents else " and their accents"
            if self.lower_case:
                accents = ", and keep their accents"
        return f"{case}{accents}: {self.reason}"


def read(folder: Path) -> Tokenizer:
    """Read the tokenizer of a folder.

    Raises:
        UserError: it has none, it is damaged, or it is none that can be computed here.
    """
    path = folder / VOCABULARY
    fast = _fast(folder / TOKENIZER, is_needed=not path.exists())
    warnings: list[str] = []
    if path.exists():
        pieces, warnings = read_vocabulary(path)
        if fast and fast.pieces != pieces:
            warnings.append(
                f"{path.name} has other pieces than {TOKENIZER}, and {TOKENIZER} is taken"
            )
            path, pieces = folder / TOKENIZER, fast.pieces
    elif fast:
        path, pieces = folder / TOKENIZER, fast.pieces
    else:
        raise UserError(f"{folder}: holds neither {VOCABULARY} nor {TOKENIZER}")
    check_pieces(path, pieces)
    slow = _slow(folder / TOKENIZER_CONFIG)
    lower, accents, reason = _case(pieces, fast, slow)
    if fast and slow.get("do_lower_case") not in (None, lower):
        warnings.append(
            f"{TOKENIZER_CONFIG} says do_lower_case {slow['do_lower_case']!r}, and {TOKENIZER}, "
            f"which is taken, lowercase {lower!r}"
        )
    strip = lower if accents is None else accents
    return Tokenizer(path, pieces, lower, strip, reason, tuple(warnings))


def read_vocabulary(path: Path) -> tuple[tuple[str, ...], list[str]]:
    """Read a vocab.txt, one piece a line; return the pieces, and what was mended in them.

    Raises:
        UserError: it is no UTF-8 text.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as UTF-8 text: {error}") from None
    warnings = []
    if text.startswith("\ufeff"):
        text = text[1:]
        warnings.append(f"{path.name} begins with a byte-order mark, which is no part of a piece")
    lines = text.removesuffix("\n").split("\n")
    if all(line.endswith("\r") for line in lines[:-1]) and len(lines) > 1:
        lines = [line.removesuffix("\r") for line in lines]
        warnings.append(f"{path.name} has the line ends of Windows, which are no part of a piece")
    while len(lines) > 1 and not lines[-1]:
        lines.pop()
        warnings.append(f"{path.name} ends with an empty line, which is taken for no piece")
    return tuple(lines), list(dict.fromkeys(warnings))


def check_pieces(path: Path, pieces: Sequence[str]) -> None:
    """Refuse what is no vocabulary of BERT.

    Raises:
        UserError: a special token is missing, or a piece stands twice.
    """
    missing = [token for token in SPECIAL_TOKENS if token not in pieces]
    if missing:
        raise UserError(f"{path}: no line {', '.join(missing)}: not a BERT vocabulary")
    seen: set[str] = set()
    for piece in pieces:
        if piece in seen:
            raise UserError(f"{path}: the piece {piece!r} stands twice")
        seen.add(piece)


def spare_rows(tokenizer: Tokenizer, rows: int, added: int = 0) -> int:
    """Return how many rows of the word embeddings no piece reads.

    Args:
        tokenizer: of the encoder.
        rows: of its word embeddings.
        added: tokens that stand outside of the vocabulary, behind its pieces.

    Raises:
        UserError: there are fewer rows than pieces, or more than a padding explains.
    """
    spare = rows - len(tokenizer.pieces)
    padding = spare - added
    is_padded = rows % _PADDED_TO == 0 and 0 <= padding < _PADDING
    if spare and padding and not is_padded:
        raise UserError(
            f"{tokenizer.source}: {len(tokenizer.pieces)} pieces do not fit an encoder with "
            f"{rows} rows of word embeddings"
        )
    return spare


def added_tokens(folder: Path) -> int:
    """Return how many tokens a tokenizer.json adds behind its vocabulary; 0 without such a file."""
    fast = _fast(folder / TOKENIZER, is_needed=False)
    return fast.added if fast else 0


@dataclasses.dataclass(frozen=True)
class _Fast:
    """A tokenizer.json: its pieces, the number of tokens behind them, and its normalizer."""

    pieces: tuple[str, ...]
    added: int
    normalizer: Mapping[str, Any]


def _fast(path: Path, is_needed: bool) -> _Fast | None:
    """Read a tokenizer.json; None where there is none, or none of WordPiece beside a vocab.txt."""
    if not path.exists():
        return None
    found = read_json(path)
    model = _part(path, found, "model")
    if model.get("type", "WordPiece") != "WordPiece":
        if not is_needed:
            return None
        raise UserError(f"{path}: its model is {model['type']!r}; only 'WordPiece' can be imported")
    normalizer = _part(path, found, "normalizer", is_optional=True)
    before = _part(path, found, "pre_tokenizer")
    for what, value, good in (
        ("model.continuing_subword_prefix", model.get("continuing_subword_prefix", "##"), "##"),
        ("model.unk_token", model.get("unk_token", UNKNOWN), UNKNOWN),
        ("normalizer.type", normalizer.get("type", "BertNormalizer"), "BertNormalizer"),
        ("normalizer.clean_text", normalizer.get("clean_text", True), True),
        ("normalizer.handle_chinese_chars", normalizer.get("handle_chinese_chars", True), True),
        ("pre_tokenizer.type", before.get("type"), "BertPreTokenizer"),
    ):
        if value != good:
            raise UserError(f"{path}: {what} is {value!r}; only {good!r} can be imported")
    try:
        ids = {int(number): str(piece) for piece, number in model["vocab"].items()}
        pieces = tuple(ids[number] for number in range(len(model["vocab"])))
        others = {int(one["id"]) for one in found.get("added_tokens") or ()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path}: model.vocab does not number its pieces from 0 on ({error})"
        ) from None
    return _Fast(pieces, len({one for one in others if one >= len(pieces)}), normalizer)


def _part(
    path: Path, found: Mapping[str, Any], name: str, is_optional: bool = False
) -> Mapping[str, Any]:
    part = found.get(name)
    if part is None and is_optional:
        return {"type": "BertNormalizer", "lowercase": False, "strip_accents": False}
    if not isinstance(part, Mapping):
        raise UserError(f"{path}: has no object {name!r}: not a tokenizer of Hugging Face")
    return part


def _slow(path: Path) -> dict[str, Any]:
    """Return what a tokenizer_config.json says; empty where there is none.

    Raises:
        UserError: it asks for what the reference tokenizer cannot do.
    """
    if not path.exists():
        return {}
    config = read_json(path)
    for key in ("tokenize_chinese_chars", "do_basic_tokenize"):
        if config.get(key) not in (None, True):
            raise UserError(f"{path}: {key} is {config[key]!r}; only True can be imported")
    return config


def _case(
    pieces: Sequence[str], fast: _Fast | None, slow: Mapping[str, Any]
) -> tuple[bool, bool | None, str]:
    """Return whether texts are lower-cased, what is said of accents, and where it is said."""
    accents = slow.get("strip_accents")
    if fast:
        lower = bool(fast.normalizer.get("lowercase", True))
        accents = fast.normalizer.get("strip_accents")
        return lower, accents, f"{TOKENIZER} says lowercase {str(lower).lower()}"
    if slow.get("do_lower_case") is not None:
        lower = bool(slow["do_lower_case"])
        return lower, accents, f"{TOKENIZER_CONFIG} says do_lower_case {str(lower).lower()}"
    capital = [piece for piece in pieces if _has_capital(piece)]
    if _are_cased(pieces, capital):
        return (
            False,
            accents,
            (
                f"{len(capital):,} of the {len(pieces):,} pieces have a capital letter, "
                f"as {capital[0]!r}, and no file says more"
            ),
        )
    return True, accents, "no piece has a capital letter, and no file says more"


def _are_cased(pieces: Sequence[str], capital: Sequence[str]) -> bool:
    """Tell whether so many capital letters are the text's own, and not of a few added words."""
    alone = any(len(piece.removeprefix(CONTINUATION)) == 1 for piece in capital)
    return alone or 100 * len(capital) >= len(pieces)


def _has_capital(piece: str) -> bool:
    return piece != piece.lower() and not re.fullmatch(r"\[.*\]|<.*>", piece)
