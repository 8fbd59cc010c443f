"""Tables of costs for the tests of the search, with round numbers."""

from __future__ import annotations

import dataclasses
from typing import Any

from bert_glue_tf.search.costs import CURVES, CostTable, Key


@dataclasses.dataclass(frozen=True)
class Given:
    """A table, and what it was made of."""

    table: CostTable
    curves_given: dict[str, Any]


def key(recipe: str = "int8") -> Key:
    """The facts of a table of no machine that there is."""
    return Key(
        recipe,
        64,
        (64,),
        2,
        {"cpu": "A (R) CPU", "cores": 2},
        {"litert": "1"},
        {"hidden": 8},
        "in turns",
    )


def table_of(*, recipe: str = "int8", **given: Any) -> Given:
    """A table of `rest`, `layer` and the knots of the curves above 0, by their names."""
    curves = {name: [(0, 0.0, 0.0), *given[name]] for name in CURVES}
    table = CostTable(
        key=dataclasses.asdict(key(recipe)), rest=given["rest"], layer=given["layer"], curves=curves
    )
    return Given(table, given)
