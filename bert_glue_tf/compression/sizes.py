"""The networks that one set of weights holds: a method that trains several sizes in one run.

A size is a network of its own whose weights are parts of the largest one's, unchanged. The sizes of
a run are numbered from 0, the smallest, to the last, which is the run's model itself.
A method that has them returns them from `PruningMethod.sizes`; the training step
(`training.sandwich`), the record (`training.sized`) and what reads a run's folder know no more of
the method than this.
"""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf
    import tf_keras

    from bert_glue_tf.compression.removed import Removed


class Sizes(abc.ABC):
    """The networks of a run, from the smallest to the whole.

    Attributes:
      names: of the sizes, which become names of folders.
      together: True where they are trained together; False where only the whole is trained, and
        the others are parts of it.
    """

    names: tuple[str, ...]
    together: bool = True

    @property
    @abc.abstractmethod
    def switched(self) -> Sequence[tf.Variable]:
        """The variables that have other values in a smaller network while it trains."""

    @abc.abstractmethod
    def select(self, variable: tf.Variable, values: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        """Return values of a variable's shape with zeros where a network has nothing.

        The weights of the network come about by it, and their gradients.

        Args:
          variable: one of `switched`.
          values: of its shape.
          number: int32 scalar, of the network.
        """

    @property
    def computations(self) -> Sequence[Callable[[], contextlib.AbstractContextManager[Any]]]:
        """The ways in which networks are computed: contexts for a call of the model to be traced.

        Networks that are computed in the same way differ in what `select` leaves of the weights.
        """
        return (contextlib.nullcontext,)

    def computation_of(self, number: tf.Tensor) -> tf.Tensor:
        """Return which of `computations` is a network's, an int32 scalar as `number`."""
        return number * 0

    @property
    def states_weight(self) -> float:
        """The weight in the loss by which a smaller network learns the states of layers; 0 = no."""
        return 0.0

    def layers(self, computation: int) -> Sequence[int]:
        """Return the indices of the layers that are computed, ascending; states are theirs.

        Args:
          computation: which of `computations`.
        """
        del computation
        return ()

    @abc.abstractmethod
    def network(
        self, model: tf_keras.Model, number: int
    ) -> contextlib.AbstractContextManager[tf_keras.Model]:
        """Return a context that has a smaller network as a model of plain layers.

        Args:
          model: the whole one, finalized. It may be the one that the context gives, with other
            weights; then they are the former ones again behind it.
          number: of the network.
        """

    @abc.abstractmethod
    def measure(self, model: tf_keras.Model, number: int) -> Removed:
        """Return what a smaller network is without; arguments as for `network`."""

    @abc.abstractmethod
    def first(self, model: tf_keras.Model) -> Mapping[str, np.ndarray]:
        """Return the number of the smallest network that has each weight.

        Args:
          model: the whole one, finalized.

        Returns:
          A variable's own name -> uint8 of its shape, `len(names)` where no network has the weight.
          A weight of a name that is missing is in all networks that have its variable.
        """

    def sources(self, number: int) -> Mapping[str, str]:
        """Return the variables of a smaller network that have another name in the whole one.

        Args:
          number: of the network.

        Returns:
          Part of a name there -> the same part in the whole network, as `layer_1/` -> `layer_3/`.
        """
        del number
        return {}


@contextlib.contextmanager
def values_for_a_while(variables: Sequence[tf.Variable]) -> Iterator[None]:
    """Give variables their former values back at the end of the block."""
    before = [variable.numpy() for variable in variables]
    try:
        yield
    finally:
        for variable, values in zip(variables, before, strict=True):
            variable.assign(values)
