"""The score by the L2 norm of a unit, shared by the methods `row`, `column`, `block`, `admm`."""

from __future__ import annotations

import numpy as np

from bert_glue_tf.compression.masked import MaskedPruning, values_of
from bert_glue_tf.models.units import Group, Member


def unit_norms(group: Group, values: dict[str, np.ndarray]) -> np.ndarray:
    """L2 norm of each unit over the root of its number of weights.

    The division changes nothing within a matrix, and makes units of different size compare.

    Args:
      group: the units.
      values: member's name -> array of the weight's shape.

    Returns:
      float32 of the group's units' shape.
    """

    def squares(member: Member) -> np.ndarray:
        return member.total(np.square(values[member.name]))

    total = sum(squares(member) for member in group.members)
    return np.sqrt(np.asarray(total) / group.unit_size)


class NormPruning(MaskedPruning):
    """Removes the units of smallest L2 norm, and cuts out at the end what can be cut."""

    shrinks = True

    def score(self, group: Group) -> np.ndarray:
        return unit_norms(
            group, {member.name: values_of(member.variable) for member in group.members}
        )
