"""The names of an encoder's weights, and the parts of the network that they tell of."""

from __future__ import annotations

import abc
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from bert_glue_tf.models.parts import Part

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras


class Naming(abc.ABC):
    """The methods of a `Backbone` that need nothing but names and shapes of variables."""

    # For pruning.

    @staticmethod
    @abc.abstractmethod
    def name_of(variable: tf.Variable) -> str:
        """Return the name under which masks, records and patterns know a variable."""

    @classmethod
    def prunable(cls, model: tf_keras.Model) -> Sequence[tf.Variable]:
        """Return the variables of a classifier that may be pruned, if they are in scope.

        By default these are the ones that are trained; frozen word vectors can be pruned too.
        """
        return list(model.trainable_variables)

    @staticmethod
    @abc.abstractmethod
    def scope_of(name: str, rank: int) -> str:
        """Return the pruning scope of a variable: "" where it belongs to none.

        Args:
          name: from `name_of`.
          rank: number of axes of the variable.
        """

    @classmethod
    def scopes(cls, variables: Iterable[tf.Variable]) -> dict[str, str]:
        """Return the pruning scope of each variable by its name; see `scope_of`."""
        named = ((cls.name_of(variable), variable) for variable in variables)
        return {name: cls.scope_of(name, len(variable.shape)) for name, variable in named}

    @staticmethod
    @abc.abstractmethod
    def matrix_shape(name: str, shape: tuple[int, ...]) -> tuple[int, int]:
        """Return a kernel's shape as a matrix [in, out]."""

    # Parts of the network, for tables: told from the names in a record, without TensorFlow.

    @classmethod
    def part_of(cls, name: str) -> str:
        """Return the part of the network that a weight belongs to; by default one of its own.

        Args:
          name: from `name_of`.
        """
        return name

    @classmethod
    def place_of(cls, part: str) -> tuple[int, int]:
        """Return what sorts the parts of `part_of` from bottom to top; by default as they come."""
        del part
        return 0, 0

    @classmethod
    def region_of(cls, names: Collection[str]) -> str:
        """Return the region of the network that weights make up, for a reader.

        By default these are their parts, separated by commas.

        Args:
          names: from `name_of`, at least one.
        """
        return ", ".join(sorted({cls.part_of(name) for name in names}))

    @classmethod
    def parts(cls, variables: Iterable[tf.Variable]) -> list[Part]:
        """Return the parts that zeros take out of a classifier; none where they are not known.

        Args:
          variables: of the whole model.
        """
        del variables
        return []
