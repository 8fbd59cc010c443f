"""Judgements of films, positive and negative.

About half is plain. The rest denies a judgement or holds two: there the words alone
mislead, and what decides is the structure around them.
"""

from __future__ import annotations

from collections.abc import Callable

from bert_glue_tf.data.sample.draw import Draw, Group, entries, sentence

_GOOD = entries(
    "superb touching funny clever charming brilliant moving delightful fresh gripping lovely "
    "witty elegant warm thrilling wonderful"
)
_BAD = entries(
    "dull boring clumsy silly tedious awful stale weak shallow lifeless predictable messy "
    "bland noisy dreadful tiresome"
)
_LOVED = entries("loved enjoyed admired adored liked praised")
_HATED = entries("hated disliked regretted despised resented criticized")
_PARTS = entries(
    "plot acting music dialogue ending cast script story camera_work direction humor "
    "opening_scene soundtrack lead_actor final_act"
)
_FILMS = entries("film movie comedy drama thriller sequel documentary musical")
_DEGREES = entries("really truly rather quite") + [""] * 4
_OPENINGS = (
    entries(
        "in_the_first_half, from_the_first_minute, on_Friday_night, in_the_end, "
        "for_a_new_release, on_the_big_screen, on_a_second_viewing,"
    )
    + [""] * 10
)
_TAILS = entries("to_me in_places on_the_whole at_times to_most_people") + [""] * 3
_NOT = entries("not never hardly anything_but far_from not_at_all")


def _judged(d: Draw, positive: bool) -> str:
    return f"{d.any(_DEGREES)} {d.word(_GOOD if positive else _BAD)}".strip()


def _maybe_denied(d: Draw, positive: bool) -> str:
    if d.flip(0.3):
        return f"{d.any(_NOT)} {d.word(_BAD if positive else _GOOD)}"
    return _judged(d, positive)


def _part(d: Draw) -> str:
    return "the " + d.word(_PARTS)


def _plain(d: Draw, positive: bool) -> str:
    film, judged = d.word(_FILMS), _judged(d, positive)
    felt = d.word(_LOVED if positive else _HATED)
    told = d.any(
        (
            f"{_part(d)} is {judged}",
            f"we {felt} {_part(d)}",
            f"this {film} is {judged} and {_judged(d, positive)}",
            f"I {felt} the {judged} {film}",
        )
    )
    return sentence(d.any(_OPENINGS), told)


def _negated(d: Draw, positive: bool) -> str:
    film, felt, no = d.word(_FILMS), d.word(_HATED if positive else _LOVED), d.any(_NOT)
    denied = d.word(_BAD if positive else _GOOD)
    told = d.any(
        (
            f"{_part(d)} is {no} {denied}",
            f"this {film} is {no} {denied}",
            f"nobody {felt} {_part(d)}",
        )
    )
    return sentence(d.any(_OPENINGS), told)


def _contrast(d: Draw, positive: bool) -> str:
    """Both feelings, as strong as each other: the clause about the whole film decides."""
    part, film = _part(d), d.word(_FILMS)
    weak = f"{_maybe_denied(d, not positive)} {d.any(_TAILS)}".strip()
    major = f"the {film} is {_maybe_denied(d, positive)} {d.any(_TAILS)}".strip()
    return sentence(
        d.any(
            (
                f"{part} is {weak}, but {major}",
                f"although {part} is {weak}, {major}",
                f"{major}, even though {part} is {weak}",
                f"{major}, and yet {part} is {weak}",
            )
        )
    )


def _compared(d: Draw, positive: bool) -> str:
    more, less = (_GOOD, _BAD) if positive else (_BAD, _GOOD)
    winner, loser = d.word(more), d.word(less)
    what = d.any((_part(d), "this " + d.word(_FILMS)))
    ways = (f"more {winner} than {loser}", f"less {loser} than {winner}", f"{winner}, not {loser}")
    return sentence(d.any(_OPENINGS), what, "is", d.any(ways))


# Template and share, in parts, of each kind.
KINDS: dict[str, tuple[Callable[[Draw, bool], str], int]] = {
    "plain": (_plain, 5),
    "negated": (_negated, 3),
    "contrast": (_contrast, 4),
    "compared": (_compared, 2),
}
# The number of sentences in each split.
SIZES = {"train": 2000, "validation": 500}


def group(d: Draw, label: int) -> Group:
    """Draw a sentence with this label."""
    kind = d.any([name for name, (_, parts) in KINDS.items() for _ in range(parts)])
    return Group(kind, (((KINDS[kind][0](d, bool(label)),), label),))
