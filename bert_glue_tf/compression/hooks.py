"""Hooks around the optimizer's update of a weight, by which pruning takes part in a step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import tensorflow as tf


class Hook:
    """A part in the update of each weight; as it stands, it does nothing.

    An optimizer has a list of hooks. Each sees the gradient that the ones before it have returned,
    then the weight is updated, then each is told of it, in the same order. The methods are traced
    into the training step, for each weight and each replica, with gradients that are summed over
    the replicas already.
    """

    def gradient(self, variable: tf.Variable, gradient: tf.Tensor) -> tf.Tensor:
        """Return the gradient to train with, of the weight's shape."""
        del variable
        return gradient

    def updated(self, variable: tf.Variable) -> Any:
        """Do what has to follow the update of a weight; may assign to it.

        Returns:
          An operation, or None where there is nothing to do.
        """
        del variable


class HookedOptimizer(Protocol):
    """A Keras optimizer that asks hooks around the update of each weight."""

    hooks: list[Hook]

    def variables(self) -> list[tf.Variable]:
        """Return the optimizer's own variables, its step count among them."""
