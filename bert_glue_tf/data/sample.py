"""The embedded sample corpus: three small GLUE-shaped tasks that need no network.

The project writes these sentences itself, from the templates and the words below; none
is taken from GLUE or from another corpus. They let every command run, and every
compression step show a cost, on a machine that reaches nothing. Scores on them are
scores on generated text: whoever shows one must say so, and none compares to GLUE.

How the corpus is kept honest:

* `cola` comes in minimal pairs, `mrpc` and `sst2` in templates whose words are drawn
  independently of the label, so that counting words does not give the answer away;
* each example's content words decide its split (`_Draw.in_split`), so validation holds
  combinations of words that training never shows;
* one word in `_HELD_OUT_EVERY` of each pool is seen in validation alone.

The text is a pure function of `VERSION`. Standard library only.
"""

from __future__ import annotations

import dataclasses
import functools
import random
import zlib
from collections.abc import Callable, Sequence
from typing import TypeVar

from bert_glue_tf.core.errors import UserError

VERSION = "1"  # bump it whenever the text changes; tests pin a digest of the corpus
TASKS = ("cola", "mrpc", "sst2")
SPLITS = ("train", "validation")

Row = tuple[tuple[str, ...], int]  # (texts, label id), ids in the order of tasks.py
T = TypeVar("T")
_Pair = tuple[str, ...]  # two sentences

_HELD_OUT_EVERY = 7
_VALIDATION_SHARE = 5  # one combination of content words in five belongs to validation
_GROUPS = {  # groups (minimal pairs in cola, single examples elsewhere) per split
    "cola": {"train": 1100, "validation": 275},
    "mrpc": {"train": 2200, "validation": 550},
    "sst2": {"train": 2000, "validation": 500},
}


@dataclasses.dataclass(frozen=True)
class Group:
    """Rows drawn together: a cola minimal pair (acceptable first), else a single row."""

    kind: str  # the phenomenon or the operation, for scores by kind
    rows: tuple[Row, ...]


class _Draw:
    """The random choices of one group; remembers the content words it handed out."""

    def __init__(self, rng: random.Random, split: str):
        self._rng = rng
        self._split = split
        self._content: set[str] = set()

    def any(self, pool: Sequence[T]) -> T:
        """One of `pool`, not remembered: structure and filler."""
        # Of the random module, only random() is promised to repeat across Python versions.
        return pool[int(self._rng.random() * len(pool))]

    def flip(self, chance: float = 0.5) -> bool:
        return self._rng.random() < chance

    def word(self, pool: Sequence[T], but: Sequence[T] = ()) -> T:
        """A content word of `pool`, none of `but`; training never gets the held-out ones."""
        keep = [
            w
            for i, w in enumerate(pool)
            if w not in but
            and (self._split != "train" or i % _HELD_OUT_EVERY != _HELD_OUT_EVERY - 1)
        ]
        choice = self.any(keep)
        self._content.add(str(choice))
        return choice

    def in_split(self) -> bool:
        """Whether these content words, in whatever order, belong to the split."""
        digest = zlib.crc32(" ".join(sorted(self._content)).encode())
        return (digest % _VALIDATION_SHARE == 0) == (self._split == "validation")


def _sentence(*parts: str, end: str = ".") -> str:
    text = " ".join(part for part in parts if part)
    return text[0].upper() + text[1:] + end


def _table(text: str) -> list[tuple[str, ...]]:
    """`a/b c/d` -> [("a", "b"), ("c", "d")]; an underscore stands for a space."""
    return [tuple(w.replace("_", " ") for w in entry.split("/")) for entry in text.split()]


def _list(text: str) -> list[str]:
    return [entry[0] for entry in _table(text)]


# --- cola -------------------------------------------------------------------------------
# Every word that a template uses stands in acceptable and in unacceptable sentences about
# equally often: what decides is how the words go together.

_MEN = _table(
    "man/men boy/boys king/kings uncle/uncles father/fathers brother/brothers monk/monks "
    "prince/princes son/sons waiter/waiters grandfather/grandfathers nephew/nephews"
)
_WOMEN = _table(
    "woman/women girl/girls queen/queens aunt/aunts mother/mothers sister/sisters nun/nuns "
    "princess/princesses daughter/daughters waitress/waitresses grandmother/grandmothers "
    "niece/nieces"
)
_OTHERS = _table(
    "teacher/teachers doctor/doctors farmer/farmers pilot/pilots singer/singers "
    "lawyer/lawyers driver/drivers painter/painters baker/bakers writer/writers"
)
_PEOPLE = _MEN + _WOMEN + _OTHERS
_THINGS = _list("box lamp key letter basket bottle ladder map coat chair clock hammer ticket shirt")
_PRESENT = _table("sing/sings sleep/sleeps work/works wait/waits dance/dances cook/cooks")
_AUXILIARIES = _table("are/is were/was have/has")
_AFTER_AUXILIARY = {
    "are": _list("tired happy busy hungry famous angry"),
    "were": _list("late absent lonely ready ill nervous"),
    "have": _list("left arrived returned vanished retired fallen_asleep"),
}
_TIMES = _list(
    "after_lunch in_the_morning on_Sunday before_dinner during_the_storm at_night "
    "after_the_party in_the_garden at_the_station near_the_river"
)
_SPANS = _list("the_next_day the_same_night the_following_morning")
_LOOKS = _list("old broken blue heavy expensive useless")
_HABITS = _list("every_day on_Sundays in_the_garden at_night near_the_river all_day")
_PREPOSITIONS = _list("near behind with beside")
_TO_A_PERSON = _list("thanked visited met called followed helped trusted warned praised")
_TO_ONESELF = _list("hurt saw praised blamed defended admired washed trusted described taught")
_TRANSITIVE = _list(
    "found fixed carried repaired bought grabbed took wanted received brought discovered mentioned"
)
_INTRANSITIVE = _list(
    "slept arrived laughed vanished smiled sneezed coughed waited yawned fell hesitated"
)
_TWO_OBJECTS = _list("gave sent handed lent offered sold showed")
_OBJECT_AND_TO = _list("donated described explained reported announced revealed demonstrated")
_SAY = _list("claim think believe assume hope suspect imagine")
_NO_CLAUSE = _list("sleep arrive laugh vanish smile sneeze cough wait yawn")
_ADJECTIVES = _list("old young tall kind quiet clever proud small polite strange")


def _person(d: _Draw, number: int = 0, but: Sequence[tuple[str, ...]] = ()) -> str:
    return "the " + d.word(_PEOPLE, but)[number]


def _agreement(d: _Draw) -> _Pair:
    number = d.any((0, 1))  # of the subject: 0 singular, 1 plural
    subject = d.word(_PEOPLE)
    determiner = d.any(("the", "the", ("this", "these")[number]))
    # Any noun between subject and verb is a trap: half the time its number is the other one.
    other = _person(d, d.any((0, 1)), but=(subject,))
    link = d.any(("", "", d.any(_PREPOSITIONS), "who " + d.word(_TO_A_PERSON)))
    modifier = f"{link} {other}" if link else ""
    # Mostly auxiliaries: a small BERT learns few forms of a verb from a thousand pairs.
    plural, singular = d.any(_AUXILIARIES) if d.flip(0.7) else d.word(_PRESENT)
    rest = d.any(_AFTER_AUXILIARY.get(plural, _HABITS))
    forms = (singular, plural) if number == 0 else (plural, singular)
    return tuple(_sentence(determiner, subject[number], modifier, v, rest) for v in forms)


def _reflexive(d: _Draw) -> _Pair:
    kind = d.any((0, 1, 2))
    subject = d.word((_MEN, _WOMEN, _PEOPLE)[kind])
    noun = subject[1 if kind == 2 else 0]
    other = _person(d, d.any((0, 1)), but=(subject,))
    modifier = f"{d.any(_PREPOSITIONS)} {other}" if d.flip(0.4) else ""
    pronouns = ("himself", "herself", "themselves")
    wrong = d.any([p for p in pronouns if p != pronouns[kind]])
    frame = ("the", noun, modifier, d.word(_TO_ONESELF))
    time = d.any(_TIMES)
    return _sentence(*frame, pronouns[kind], time), _sentence(*frame, wrong, time)


def _argument(d: _Draw) -> _Pair:
    """Every shape has a mirror in which the same two words side by side are fine."""
    subject, time, thing = _person(d, d.any((0, 1))), d.any(_TIMES), "the " + d.word(_THINGS)
    needs, takes_none = d.word(_TRANSITIVE), d.word(_INTRANSITIVE)
    shape = d.any(("object", "no object", "relative", "relative no object", "two", "to"))
    if shape == "object":
        return tuple(_sentence(subject, verb, thing, time) for verb in (needs, takes_none))
    if shape == "no object":
        time = d.any((time, *_SPANS))  # "arrived the next day" mirrors "arrived the box"
        return tuple(_sentence(subject, verb, time) for verb in (takes_none, needs))
    if shape == "relative":
        rest = f"was {d.any(_LOOKS)}"
        return tuple(_sentence(thing, "that", subject, v, rest) for v in (needs, takes_none))
    if shape == "relative no object":
        noun, rest = d.word(_PEOPLE)[0], f"was {d.any(_AFTER_AUXILIARY['were'])}"
        return tuple(_sentence("the", noun, "who", v, rest) for v in (takes_none, needs))
    receiver = _person(d)
    double, single = d.word(_TWO_OBJECTS), d.word(_OBJECT_AND_TO)
    if shape == "two":
        return tuple(_sentence(subject, v, receiver, thing, time) for v in (double, single))
    return (
        _sentence(subject, single, thing, "to", receiver, time),
        _sentence(subject, single, "to", thing, receiver, time),
    )


def _word_order(d: _Draw) -> _Pair:
    noun, adjective, thing = d.word(_PEOPLE)[0], d.word(_ADJECTIVES), d.word(_THINGS)
    verb, time = d.word(_TRANSITIVE), d.any(_TIMES)
    verb = "taken" if verb == "took" else verb
    shape = d.any(("question", "clause", "noun phrase"))
    straight, inverted = f"the {adjective} {noun} has", f"has the {adjective} {noun}"
    asked = d.any(("where", "when", "why"))
    if shape == "question":
        frames = ((asked, order, verb, "the", thing) for order in (inverted, straight))
        return tuple(_sentence(*frame, end="?") for frame in frames)
    if shape == "clause":
        knows = "nobody " + d.any(("knows", "asked", "remembers", "said"))
        told = ((knows, asked, order, verb, "the", thing) for order in (straight, inverted))
        return tuple(_sentence(*frame) for frame in told)
    bad = d.any(
        (
            ("the", noun, adjective, "has", verb, "the", thing),
            (adjective, "the", noun, "has", verb, "the", thing),
            ("the", adjective, noun, "has the", thing, verb),
            ("the", adjective, noun, "has", verb, thing, "the"),
        )
    )
    return _sentence(straight, verb, "the", thing, time), _sentence(*bad, time)


def _extraction(d: _Draw) -> _Pair:
    thing = d.word(_THINGS)
    which, other = "which " + thing, "the " + d.word(_THINGS, but=(thing,))
    did = f"did {_person(d, d.any((0, 1)))} "
    claim, idle = did + d.word(_SAY), did + d.word(_NO_CLAUSE)
    clause = f"{_person(d, d.any((0, 1)))} {d.word(_TRANSITIVE)}"
    when = d.any(("before", "after", "while"))
    good, bad = d.any(
        (
            # A question word needs a gap, and a gap needs a question word.
            ((which, claim, "that", clause), (which, claim, "that", clause, other)),
            ((claim, "that", clause, other), (claim, "that", clause)),
            # No gap inside an adjunct clause; and only some verbs take a that-clause.
            ((which, claim, "that", clause), (which, idle, when, clause)),
            ((idle, when, clause, other), (idle, "that", clause, other)),
        )
    )
    return _sentence(*good, end="?"), _sentence(*bad, end="?")


# --- mrpc -------------------------------------------------------------------------------
# Every operation has kept and broken meaning, on the same words and with the same wordings:
# neither the overlap of the two sentences nor a word that only one of them has gives the
# label. A small encoder does not learn to compare two sentences from two thousand pairs when
# both are arbitrary (MiniLM-L6 stayed at 0.51-0.55 after three epochs); so the first sentence
# mostly tells the usual course of things, and most of the label lies in whether the second
# one does. Real MRPC leans as well, on likely events.

_USUAL = 0.9  # the share of first sentences that tell the usual course of things
_ACTS = _table(  # who usually does it to whom, in two words that mean the same
    "teacher/pupil/taught/instructed doctor/patient/treated/examined "
    "detective/thief/arrested/caught waiter/guest/served/attended_to "
    "lawyer/client/defended/represented shepherd/sheep/guarded/watched "
    "coach/player/trained/drilled manager/worker/hired/employed cat/mouse/chased/pursued "
    "nurse/baby/bathed/washed judge/robber/sentenced/convicted comedian/crowd/amused/entertained "
    "farmer/calf/fed/nourished spider/fly/trapped/captured rescuer/hiker/saved/rescued "
    "vet/puppy/healed/cured tutor/student/helped/assisted queen/servant/ruled/commanded"
)
_TRADES = _table(  # who usually sells what to whom
    "baker/customer/cake butcher/cook/ham florist/bride/bouquet jeweler/groom/ring "
    "tailor/gentleman/suit grocer/family/cheese publisher/reader/novel brewer/drinker/beer "
    "optician/driver/lens dealer/collector/painting pharmacist/invalid/medicine "
    "carpenter/widow/table shipyard/captain/boat toymaker/child/puppet farmer/miller/wheat"
)
_TRADED = _table("sold/bought sold/purchased supplied/obtained delivered/received")
_DAMAGE = _list("broke lost damaged dropped hid misplaced stained tore cracked stole")
_REPAIR = _list("repaired found fixed replaced mended recovered restored returned")
_VERDICTS = _table(  # a participle and its opposite
    "accepted/rejected approved/vetoed allowed/prohibited permitted/banned kept/dropped "
    "remembered/forgotten noticed/overlooked included/omitted obeyed/ignored confirmed/denied"
)
_PROPOSALS = _list("plan offer request proposal idea deal rule suggestion report promise")
_ASIDES = _list("in_fact in_the_end after_all of_course in_public on_reflection")
_MANNERS = _list("quietly gladly openly quickly suddenly promptly secretly proudly")
_BY = _list("by_noon by_Monday by_Friday by_then by_July by_midnight by_the_weekend")
_ROLES = _table(
    "doctor/physician lawyer/attorney teacher/instructor boss/manager child/kid "
    "author/writer reporter/journalist pupil/student burglar/thief sailor/seaman "
    "singer/vocalist priest/clergyman actor/performer king/monarch"
)
_GOODS = _table(
    "car/automobile gift/present photo/picture couch/sofa rock/stone rug/carpet bike/bicycle "
    "cup/mug jacket/coat bag/sack boat/ship house/home"
)
_NUMBERS = _table(
    "two/2 three/3 four/4 five/5 six/6 seven/7 eight/8 nine/9 ten/10 eleven/11 twelve/12 "
    "twenty/20 thirty/30 forty/40 fifty/50"
)
_DONE = _table(
    "bought/purchased repaired/fixed destroyed/wrecked cleaned/washed selected/picked "
    "carried/transported lifted/raised examined/inspected found/discovered displayed/exhibited "
    "copied/duplicated"
)
_DATES = _list(
    "on_Monday on_Friday in_March in_July last_week last_summer two_days_ago at_noon "
    "on_Saturday_night in_early_May yesterday_afternoon this_morning"
)


def _two_tellings(d: _Draw, kept: bool, ways: Callable[[bool], Sequence[str]]) -> _Pair:
    """Two sentences out of `ways(usual)`, the wordings of the usual course or its reverse."""
    usual, time = d.flip(_USUAL), d.any(_BY)
    told = (d.any(ways(course)) for course in (usual, usual == kept))
    return tuple(_sentence(time, t) if d.flip() else _sentence(t, time) for t in told)


def _roles(d: _Draw, kept: bool) -> _Pair:
    agent, patient, *verbs = d.word(_ACTS)
    manner = d.word(_MANNERS)

    def ways(usual: bool) -> Sequence[str]:
        a, b = (agent, patient) if usual else (patient, agent)
        return [f"the {a} had {manner} {verb} the {b}" for verb in verbs] + [
            f"the {b} had been {manner} {verb} by the {a}" for verb in verbs
        ]

    return _two_tellings(d, kept, ways)


def _exchange(d: _Draw, kept: bool) -> _Pair:
    giver, taker, thing = d.word(_TRADES)
    (gave, took), manner = d.any(_TRADED), d.word(_MANNERS)

    def ways(usual: bool) -> Sequence[str]:
        a, b = (giver, taker) if usual else (taker, giver)
        return (
            f"the {a} had {manner} {gave} the {thing} to the {b}",
            f"the {b} had {manner} {took} the {thing} from the {a}",
            f"the {thing} had been {manner} {gave} to the {b} by the {a}",
            f"the {thing} had been {manner} {took} from the {a} by the {b}",
        )

    return _two_tellings(d, kept, ways)


def _clauses(d: _Draw, kept: bool) -> _Pair:
    thing, one, two = d.any(d.word(_GOODS)), d.any(d.word(_ROLES)), d.any(d.word(_ROLES))
    damage, repair = f"the {one} {d.word(_DAMAGE)}", f"the {two} {d.word(_REPAIR)}"

    def ways(usual: bool) -> Sequence[str]:
        a, b = (damage, repair) if usual else (repair, damage)
        return (
            f"{a} the {thing} before {b} it",
            f"{b} the {thing} after {a} it",
            f"before {b} the {thing}, {a} it",
            f"after {a} the {thing}, {b} it",
        )

    return _two_tellings(d, kept, ways)


def _polarity(d: _Draw, kept: bool) -> _Pair:
    """Denial alone, or the opposite verb alone, breaks the meaning; both together keep it."""
    who, what = "the " + d.any(d.word(_ROLES)), "the " + d.word(_PROPOSALS)
    yes, no = d.word(_VERDICTS)
    aside = d.any(_ASIDES)

    def ways(usual: bool) -> Sequence[str]:
        a, b = (yes, no) if usual else (no, yes)
        return f"{who} had {aside} {a} {what}", f"{who} had not {aside} {b} {what}"

    return _two_tellings(d, kept, ways)


def _lexical(d: _Draw, kept: bool) -> _Pair:
    """Two words change: to their synonyms, or to words of the same pools that are none."""
    pools = [_ROLES, _DONE, _GOODS, _NUMBERS]
    concepts = [d.word(pool) for pool in pools]
    first = [d.any(forms) for forms in concepts]
    second = list(first)
    same = d.any(range(len(pools)))
    skip = d.any([slot for slot in range(len(pools)) if slot != same])
    for slot, forms in enumerate(concepts):
        if slot in (same, skip):
            continue
        if kept:
            second[slot] = forms[first[slot] == forms[0]]
        else:
            second[slot] = d.any(d.word(pools[slot], but=(forms,)))
    date, told = d.any(_DATES), []
    for agent, verb, goods, number in (first, second):
        event = f"the {agent} {verb} the {goods} after {number} days"
        told.append(_sentence(date, event) if d.flip() else _sentence(event, date))
    return tuple(told)


# --- sst2 -------------------------------------------------------------------------------
# About half is plain. The rest denies a judgement or holds two: there the words alone
# mislead, and what decides is the structure around them.

_GOOD = _list(
    "superb touching funny clever charming brilliant moving delightful fresh gripping lovely "
    "witty elegant warm thrilling wonderful"
)
_BAD = _list(
    "dull boring clumsy silly tedious awful stale weak shallow lifeless predictable messy "
    "bland noisy dreadful tiresome"
)
_LOVED = _list("loved enjoyed admired adored liked praised")
_HATED = _list("hated disliked regretted despised resented criticized")
_PARTS = _list(
    "plot acting music dialogue ending cast script story camera_work direction humor "
    "opening_scene soundtrack lead_actor final_act"
)
_FILMS = _list("film movie comedy drama thriller sequel documentary musical")
_DEGREES = _list("really truly rather quite") + [""] * 4
_OPENINGS = (
    _list(
        "in_the_first_half, from_the_first_minute, on_Friday_night, in_the_end, "
        "for_a_new_release, on_the_big_screen, on_a_second_viewing,"
    )
    + [""] * 10
)
_TAILS = _list("to_me in_places on_the_whole at_times to_most_people") + [""] * 3
_NOT = _list("not never hardly anything_but far_from not_at_all")


def _judged(d: _Draw, positive: bool) -> str:
    return f"{d.any(_DEGREES)} {d.word(_GOOD if positive else _BAD)}".strip()


def _maybe_denied(d: _Draw, positive: bool) -> str:
    if d.flip(0.3):
        return f"{d.any(_NOT)} {d.word(_BAD if positive else _GOOD)}"
    return _judged(d, positive)


def _part(d: _Draw) -> str:
    return "the " + d.word(_PARTS)


def _plain(d: _Draw, positive: bool) -> str:
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
    return _sentence(d.any(_OPENINGS), told)


def _negated(d: _Draw, positive: bool) -> str:
    film, felt, no = d.word(_FILMS), d.word(_HATED if positive else _LOVED), d.any(_NOT)
    denied = d.word(_BAD if positive else _GOOD)
    told = d.any(
        (
            f"{_part(d)} is {no} {denied}",
            f"this {film} is {no} {denied}",
            f"nobody {felt} {_part(d)}",
        )
    )
    return _sentence(d.any(_OPENINGS), told)


def _contrast(d: _Draw, positive: bool) -> str:
    """Both feelings, as strong as each other: the clause about the whole film decides."""
    part, film = _part(d), d.word(_FILMS)
    weak = f"{_maybe_denied(d, not positive)} {d.any(_TAILS)}".strip()
    major = f"the {film} is {_maybe_denied(d, positive)} {d.any(_TAILS)}".strip()
    return _sentence(
        d.any(
            (
                f"{part} is {weak}, but {major}",
                f"although {part} is {weak}, {major}",
                f"{major}, even though {part} is {weak}",
                f"{major}, and yet {part} is {weak}",
            )
        )
    )


def _compared(d: _Draw, positive: bool) -> str:
    more, less = (_GOOD, _BAD) if positive else (_BAD, _GOOD)
    winner, loser = d.word(more), d.word(less)
    what = d.any((_part(d), "this " + d.word(_FILMS)))
    ways = (f"more {winner} than {loser}", f"less {loser} than {winner}", f"{winner}, not {loser}")
    return _sentence(d.any(_OPENINGS), what, "is", d.any(ways))


# --- assembly ---------------------------------------------------------------------------

# Template and share, in parts, of each kind.
_COLA: dict[str, tuple[Callable[[_Draw], _Pair], int]] = {
    "agreement": (_agreement, 6),
    "reflexive": (_reflexive, 5),
    "argument": (_argument, 5),
    "order": (_word_order, 4),
    "extraction": (_extraction, 4),
}
_MRPC: dict[str, tuple[Callable[[_Draw, bool], _Pair], int]] = {
    # Replaced words are what breaks most of real MRPC's pairs, and what a small encoder learns
    # from two thousand pairs; the other kinds show it its limits.
    "lexical": (_lexical, 10),
    "polarity": (_polarity, 4),
    "roles": (_roles, 2),
    "exchange": (_exchange, 2),
    "clauses": (_clauses, 2),
}
_SST2: dict[str, tuple[Callable[[_Draw, bool], str], int]] = {
    "plain": (_plain, 5),
    "negated": (_negated, 3),
    "contrast": (_contrast, 4),
    "compared": (_compared, 2),
}
_KINDS: dict[str, dict[str, tuple[Callable, int]]] = {
    "cola": {**_COLA},
    "mrpc": {**_MRPC},
    "sst2": {**_SST2},
}


def _group(task: str, d: _Draw, label: int) -> Group:
    table = _KINDS[task]
    kind = d.any([name for name, (_, parts) in table.items() for _ in range(parts)])
    template = table[kind][0]
    if task == "cola":
        good, bad = template(d)
        return Group(kind, (((good,), 1), ((bad,), 0)))
    texts = template(d, bool(label))
    return Group(kind, ((texts if task == "mrpc" else (texts,), label),))


@functools.cache
def groups(task: str, split: str) -> tuple[Group, ...]:
    """The split in its groups, each with its kind; rows of a group are never parted.

    No text of a group occurs in another group of the task, in this split or the other.

    Raises:
      UserError: there is no such task or split in the sample.
    """
    if task not in TASKS:
        raise UserError(f"{task}: not in the embedded sample. Good values: {', '.join(TASKS)}.")
    if split not in SPLITS:
        raise UserError(f"{split}: no such split of the sample. Good values: {', '.join(SPLITS)}.")
    seen: set[str] = set()
    if split == "train":  # the same words in other roles could still meet: look
        seen.update(t for g in groups(task, "validation") for row in g.rows for t in row[0])
    rng = random.Random(f"{VERSION} {task} {split}")
    found: list[Group] = []
    while len(found) < _GROUPS[task][split]:
        d = _Draw(rng, split)
        group = _group(task, d, label=len(found) % 2)
        texts = [t for row in group.rows for t in row[0]]
        if d.in_split() and len(set(texts)) == len(texts) and seen.isdisjoint(texts):
            seen.update(texts)
            found.append(group)
    return tuple(found)


def examples(task: str, split: str) -> list[Row]:
    """The rows of one split, in a fixed order with the kinds and labels mixed.

    Args:
      task: one of `TASKS`.
      split: "train" or "validation".

    Returns:
      (texts, label id) per example: one text, or two for mrpc; label ids as in tasks.py.

    Raises:
      UserError: there is no such task or split in the sample.
    """
    rows = [row for group in groups(task, split) for row in group.rows]
    rng = random.Random(f"{VERSION} {task} {split} order")
    return sorted(rows, key=lambda _: rng.random())
