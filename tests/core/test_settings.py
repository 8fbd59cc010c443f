"""Settings from the fields of their classes: limits, choices, names, JSON."""

from __future__ import annotations

import dataclasses
import math

import pytest
from messages import refuses

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.settings import FRACTION, Limits, Settings, option, whole


@dataclasses.dataclass(frozen=True, kw_only=True)
class Own(Settings):
    """Settings of a test."""

    rounds: int = option(3, "Rounds.", limits=whole(1, 9))
    share: float = option(0.5, "A share.", limits=FRACTION)
    start: int = option(-1, "A step.", limits=Limits(0, 100, "-1 (computed) or a step", -1))
    kind: str = option("a", "A kind.", choices=("a", "b"))
    place: str = option("", "A folder.", names=("nowhere",))
    is_on: bool = option(True, "A switch.")


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"rounds": 0}, "--rounds=0"),
        ({"rounds": 10}, "--rounds=10"),
        ({"share": 1.0}, "--share=1.0"),
        ({"share": 50.0}, "--share=50.0"),
        ({"share": math.nan}, "--share=nan"),
        ({"start": -2}, "--start=-2"),
        ({"kind": "c"}, "--kind=c"),
        ({"rounds": 10**40}, "--rounds"),
    ],
)
def test_a_bad_value_is_named_with_its_flag(values, named):
    with refuses(UserError, named):
        Own(**values)


def test_good_values_and_the_one_for_computed():
    assert Own(rounds=1, share=0.0, start=-1).start == -1
    assert Own(rounds=9, share=FRACTION.high, start=100, kind="b").rounds == 9


def test_all_that_is_derived_from_the_fields():
    assert Own.names() == ("rounds", "share", "start", "kind", "place", "is_on")
    assert Own.defaults() == Own().to_json()
    assert Own.places() == ("place",)
    assert Own(rounds=2, is_on=False).given() == {"rounds": 2, "is_on": False}


def test_json_there_and_back(caplog):
    own = Own(rounds=2, share=0.25)
    assert Own.from_json(own.to_json(), is_exact=True) == own
    assert Own.from_json({"rounds": 2}) == Own(rounds=2)
    assert type(Own.from_json({"share": 0}).share) is float
    with refuses(UserError, "rounds='2'"):
        Own.from_json({"rounds": "2"})
    with refuses(UserError, "too large"):
        Own.from_json({"share": 10**400})
    with refuses(UserError, "'x'", "rounds, share"):
        Own.from_json({"x": 1}, is_exact=True)
    assert not caplog.records
    assert Own.from_json({"of_a_later_version": 1}) == Own()
    assert "of_a_later_version" in caplog.text


def test_a_new_setting_is_one_field():
    """A class that inherits has the settings of all its bases, in their order."""

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class More(Own):
        size: int = option(7, "A size.", limits=whole(1))

    assert More.names() == (*Own.names(), "size")
    assert More(size=8).given() == {"size": 8}
    with refuses(UserError, "--rounds=0"):
        More(rounds=0)
