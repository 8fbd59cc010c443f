"""Tags of words and the spans that they stand for, in the schemes BIO, BIEOS and without prefix.

A tag is `O`, a word outside of all spans, or the type of a span. Behind a prefix the type says as
well which part of its span the word is: B begins it, I is inside, E ends it, S is a span by itself
(Ramshaw and Marcus 1995, https://aclanthology.org/W95-0107/; BIEOS is also called BIOES, and BILOU
writes L and U for E and S). Without prefixes a span is a longest run of words with one tag.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

OUTSIDE = "O"
# How files spell the four parts of a span; the first of a part is what is written where a scheme
# is made here.
_SPELLINGS = {"B": "B", "I": "I", "M": "I", "E": "E", "L": "E", "S": "S", "U": "S"}
_PARTS = "BIES"


class Span(NamedTuple):
    """Words that belong together.

    Attributes:
      start: number of the first word, from 0.
      end: number of the word behind the last one.
      type: of the span.
    """

    start: int
    end: int
    type: str


@dataclasses.dataclass(frozen=True)
class Scheme:
    """The way tags say where spans begin and end.

    Attributes:
      spellings: part of a span ("B", "I", "E", "S") -> its prefix, as pairs; empty where tags have
        no prefix.
    """

    spellings: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """The field's name of the scheme."""
        prefixes = "".join(prefix for _, prefix in self.spellings)
        known = {"": "no prefix", "BI": "BIO", "BIES": "BIEOS", "BILU": "BILOU"}
        return known.get(prefixes, f"{prefixes} and {OUTSIDE}")

    @classmethod
    def of(cls, tags: Iterable[str]) -> Scheme:
        """Return the scheme that a training's tags are written in.

        They have one where every tag but `O` has a known prefix with a hyphen behind it.

        Raises:
          ValueError: some tags have a prefix and others have none, or a part has two prefixes.
        """
        inside = [tag for tag in dict.fromkeys(tags) if tag != OUTSIDE]
        known = [tag for tag in inside if _prefix(tag)]
        if not known:
            return cls()
        if strange := [tag for tag in inside if not _prefix(tag)]:
            raise ValueError(
                f"{known[0]!r} has the prefix of a scheme, and {strange[0]!r} has none. Good: all "
                "tags but O with a prefix (B-, I-; B-, I-, E-, S-), or all without one"
            )
        written: dict[str, str] = {}
        for prefix in map(_prefix, inside):
            other = written.setdefault(_SPELLINGS[prefix], prefix)
            if other != prefix:
                raise ValueError(
                    f"the prefixes {other}- and {prefix}- both stand for one part of a span. Good: "
                    "one of them everywhere"
                )
        ends = "E" in written or "S" in written
        is_bilou = not {"L", "U"}.isdisjoint(written.values())
        usual = dict(zip(_PARTS, "BILU" if is_bilou else _PARTS, strict=True))
        parts = _PARTS if ends else "BI"
        return cls(tuple((part, written.get(part, usual[part])) for part in parts))

    def parsed(self, tag: str) -> tuple[str, str]:
        """Return part ("B", "I", "E", "S", or "O" for outside) and type of a tag.

        A tag without prefix is inside of a span of its own name.
        """
        if tag == OUTSIDE:
            return OUTSIDE, ""
        if not self.spellings:
            return "I", tag
        prefix, _, kind = tag.partition("-")
        return _SPELLINGS[prefix], kind

    def types(self, tags: Iterable[str]) -> tuple[str, ...]:
        """Return the types of spans among tags, sorted."""
        return tuple(sorted({self.parsed(tag)[1] for tag in tags if tag != OUTSIDE}))

    def complete(self, tags: Iterable[str]) -> tuple[str, ...]:
        """Return `O` and all tags that the types among `tags` can have, in a fixed order."""
        types = self.types(tags)
        if not self.spellings:
            return (OUTSIDE, *types)
        return (OUTSIDE, *(f"{prefix}-{kind}" for kind in types for _, prefix in self.spellings))

    def spans(self, tags: Sequence[str], is_strict: bool = False) -> list[Span]:
        """Return the spans of a sentence.

        Args:
          tags: of its words.
          is_strict: False takes a sequence that breaks the scheme as conlleval does (CoNLL-2000,
            by seqeval): a span begins wherever a part of one stands that nothing before it has
            begun. True gives only the spans that are whole: B and then I; B, I and then E; or S.
        """
        return list(_cached_spans(self, tuple(tags), is_strict))

    def repaired(self, tags: Sequence[str]) -> list[str]:
        """Return the tags of the spans that conlleval sees: the same where nothing is broken."""
        found = [OUTSIDE] * len(tags)
        for span in self.spans(tags):
            found[span.start : span.end] = self.tags(span)
        return found

    def tags(self, span: Span) -> list[str]:
        """Return the tags of a span's words."""
        length = span.end - span.start
        if not self.spellings:
            return [span.type] * length
        if not self.has_ends:
            parts = "B" + "I" * (length - 1)
        else:
            parts = "S" if length == 1 else "B" + "I" * (length - 2) + "E"
        written = dict(self.spellings)
        return [f"{written[part]}-{span.type}" for part in parts]

    @property
    def has_ends(self) -> bool:
        """Tell whether tags say which word is the last one of its span."""
        return len(self.spellings) == len(_PARTS)


BIO = Scheme((("B", "B"), ("I", "I")))
BIEOS = Scheme(tuple((part, part) for part in _PARTS))


def _prefix(tag: str) -> str:
    """Return the prefix of a tag; empty where it has none that is known."""
    prefix, hyphen, kind = tag.partition("-")
    return prefix if hyphen and kind and prefix in _SPELLINGS else ""


@functools.lru_cache(maxsize=1 << 16)  # The same labels are asked for by each metric and seed.
def _cached_spans(scheme: Scheme, tags: tuple[str, ...], is_strict: bool) -> tuple[Span, ...]:
    parsed = [scheme.parsed(tag) for tag in tags]
    if not scheme.spellings or not is_strict:
        return tuple(_spans(parsed))
    return tuple(_whole(parsed, scheme.has_ends))


def _spans(parsed: Sequence[tuple[str, str]]) -> list[Span]:
    """Return the spans that conlleval sees in parts and types."""
    # Here, since it imports scikit-learn, and a wrong flag is answered without it.
    from seqeval.metrics.sequence_labeling import get_entities

    named = [OUTSIDE if part == OUTSIDE else f"{part}-{kind}" for part, kind in parsed]
    return [Span(first, last + 1, kind) for kind, first, last in get_entities(named)]


def _whole(parsed: Sequence[tuple[str, str]], has_ends: bool) -> list[Span]:
    """Return the spans that keep to BIO or BIEOS from their first word to their last one."""
    found: list[Span] = []
    start, kind = -1, ""  # Of the span that has begun; -1 for none.

    def close(end: int) -> None:
        if start >= 0 and not has_ends:
            found.append(Span(start, end, kind))

    for place, (part, own) in enumerate(parsed):
        goes_on = start >= 0 and own == kind
        if part == "I" and goes_on:
            continue
        if part == "E" and goes_on:
            found.append(Span(start, place + 1, kind))
            start = -1
            continue
        close(place)
        start, kind = (place, own) if part == "B" else (-1, "")
        if part == "S":
            found.append(Span(place, place + 1, own))
    close(len(parsed))
    return found
