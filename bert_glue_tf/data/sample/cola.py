"""Acceptable and unacceptable sentences, in minimal pairs.

Every word that a template uses stands in acceptable and in unacceptable sentences about
equally often: what decides is how the words go together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bert_glue_tf.data.sample.draw import Draw, Group, Pair, entries, sentence, table

_MEN = table(
    "man/men boy/boys king/kings uncle/uncles father/fathers brother/brothers monk/monks "
    "prince/princes son/sons waiter/waiters grandfather/grandfathers nephew/nephews"
)
_WOMEN = table(
    "woman/women girl/girls queen/queens aunt/aunts mother/mothers sister/sisters nun/nuns "
    "princess/princesses daughter/daughters waitress/waitresses grandmother/grandmothers "
    "niece/nieces"
)
_OTHERS = table(
    "teacher/teachers doctor/doctors farmer/farmers pilot/pilots singer/singers "
    "lawyer/lawyers driver/drivers painter/painters baker/bakers writer/writers"
)
_PEOPLE = _MEN + _WOMEN + _OTHERS
_THINGS = entries(
    "box lamp key letter basket bottle ladder map coat chair clock hammer ticket shirt"
)
_PRESENT = table("sing/sings sleep/sleeps work/works wait/waits dance/dances cook/cooks")
_AUXILIARIES = table("are/is were/was have/has")
_AFTER_AUXILIARY = {
    "are": entries("tired happy busy hungry famous angry"),
    "were": entries("late absent lonely ready ill nervous"),
    "have": entries("left arrived returned vanished retired fallen_asleep"),
}
_TIMES = entries(
    "after_lunch in_the_morning on_Sunday before_dinner during_the_storm at_night "
    "after_the_party in_the_garden at_the_station near_the_river"
)
_SPANS = entries("the_next_day the_same_night the_following_morning")
_LOOKS = entries("old broken blue heavy expensive useless")
_HABITS = entries("every_day on_Sundays in_the_garden at_night near_the_river all_day")
_PREPOSITIONS = entries("near behind with beside")
_TO_A_PERSON = entries("thanked visited met called followed helped trusted warned praised")
_TO_ONESELF = entries("hurt saw praised blamed defended admired washed trusted described taught")
_TRANSITIVE = entries(
    "found fixed carried repaired bought grabbed took wanted received brought discovered mentioned"
)
_INTRANSITIVE = entries(
    "slept arrived laughed vanished smiled sneezed coughed waited yawned fell hesitated"
)
_TWO_OBJECTS = entries("gave sent handed lent offered sold showed")
_OBJECT_AND_TO = entries("donated described explained reported announced revealed demonstrated")
_SAY = entries("claim think believe assume hope suspect imagine")
_NO_CLAUSE = entries("sleep arrive laugh vanish smile sneeze cough wait yawn")
_ADJECTIVES = entries("old young tall kind quiet clever proud small polite strange")


def _person(d: Draw, number: int = 0, but: Sequence[tuple[str, ...]] = ()) -> str:
    return "the " + d.word(_PEOPLE, but)[number]


def _agreement(d: Draw) -> Pair:
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
    return tuple(sentence(determiner, subject[number], modifier, v, rest) for v in forms)


def _reflexive(d: Draw) -> Pair:
    kind = d.any((0, 1, 2))
    subject = d.word((_MEN, _WOMEN, _PEOPLE)[kind])
    noun = subject[1 if kind == 2 else 0]
    other = _person(d, d.any((0, 1)), but=(subject,))
    modifier = f"{d.any(_PREPOSITIONS)} {other}" if d.flip(0.4) else ""
    pronouns = ("himself", "herself", "themselves")
    wrong = d.any([p for p in pronouns if p != pronouns[kind]])
    frame = ("the", noun, modifier, d.word(_TO_ONESELF))
    time = d.any(_TIMES)
    return sentence(*frame, pronouns[kind], time), sentence(*frame, wrong, time)


def _argument(d: Draw) -> Pair:
    """Every shape has a mirror in which the same two words side by side are fine."""
    subject, time, thing = _person(d, d.any((0, 1))), d.any(_TIMES), "the " + d.word(_THINGS)
    needs, takes_none = d.word(_TRANSITIVE), d.word(_INTRANSITIVE)
    shape = d.any(("object", "no object", "relative", "relative no object", "two", "to"))
    if shape == "object":
        return tuple(sentence(subject, verb, thing, time) for verb in (needs, takes_none))
    if shape == "no object":
        time = d.any((time, *_SPANS))  # "arrived the next day" mirrors "arrived the box"
        return tuple(sentence(subject, verb, time) for verb in (takes_none, needs))
    if shape == "relative":
        rest = f"was {d.any(_LOOKS)}"
        return tuple(sentence(thing, "that", subject, v, rest) for v in (needs, takes_none))
    if shape == "relative no object":
        noun, rest = d.word(_PEOPLE)[0], f"was {d.any(_AFTER_AUXILIARY['were'])}"
        return tuple(sentence("the", noun, "who", v, rest) for v in (takes_none, needs))
    receiver = _person(d)
    double, single = d.word(_TWO_OBJECTS), d.word(_OBJECT_AND_TO)
    if shape == "two":
        return tuple(sentence(subject, v, receiver, thing, time) for v in (double, single))
    return (
        sentence(subject, single, thing, "to", receiver, time),
        sentence(subject, single, "to", thing, receiver, time),
    )


def _word_order(d: Draw) -> Pair:
    noun, adjective, thing = d.word(_PEOPLE)[0], d.word(_ADJECTIVES), d.word(_THINGS)
    verb, time = d.word(_TRANSITIVE), d.any(_TIMES)
    verb = "taken" if verb == "took" else verb
    shape = d.any(("question", "clause", "noun phrase"))
    straight, inverted = f"the {adjective} {noun} has", f"has the {adjective} {noun}"
    asked = d.any(("where", "when", "why"))
    if shape == "question":
        frames = ((asked, order, verb, "the", thing) for order in (inverted, straight))
        return tuple(sentence(*frame, end="?") for frame in frames)
    if shape == "clause":
        knows = "nobody " + d.any(("knows", "asked", "remembers", "said"))
        told = ((knows, asked, order, verb, "the", thing) for order in (straight, inverted))
        return tuple(sentence(*frame) for frame in told)
    bad = d.any(
        (
            ("the", noun, adjective, "has", verb, "the", thing),
            (adjective, "the", noun, "has", verb, "the", thing),
            ("the", adjective, noun, "has the", thing, verb),
            ("the", adjective, noun, "has", verb, thing, "the"),
        )
    )
    return sentence(straight, verb, "the", thing, time), sentence(*bad, time)


def _extraction(d: Draw) -> Pair:
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
    return sentence(*good, end="?"), sentence(*bad, end="?")


# Template and share, in parts, of each kind.
KINDS: dict[str, tuple[Callable[[Draw], Pair], int]] = {
    "agreement": (_agreement, 6),
    "reflexive": (_reflexive, 5),
    "argument": (_argument, 5),
    "order": (_word_order, 4),
    "extraction": (_extraction, 4),
}
# The number of minimal pairs in each split.
SIZES = {"train": 1100, "validation": 275}


def group(d: Draw, label: int) -> Group:
    """Draw a minimal pair; it holds both labels, whatever `label` is."""
    del label
    kind = d.any([name for name, (_, parts) in KINDS.items() for _ in range(parts)])
    good, bad = KINDS[kind][0](d)
    return Group(kind, (((good,), 1), ((bad,), 0)))
