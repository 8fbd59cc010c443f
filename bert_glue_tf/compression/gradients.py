"""The gradients of training examples, by which units are ranked that go all at once."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from bert_glue_tf.core.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

# The setting of the scores that are learned from gradients. The number is that of Kwon et al. 2022,
# "A fast post-training pruning framework for Transformers", section 5.1
# (https://arxiv.org/abs/2204.09656), who rank heads and neurons by the gradients of 2,000 examples.
EXAMPLES: Mapping[str, tuple[Any, str]] = types.MappingProxyType(
    {
        "examples": (
            2048,
            "training examples whose gradients rank what --pruning_schedule=one_shot removes; "
            "0 = all of them",
        )
    }
)


class Batch(NamedTuple):
    """The place of a batch among those whose gradients are shown.

    Attributes:
      number: int32 scalar, from 1.
      share: float32 scalar, the fraction of all examples that it has.
    """

    number: tf.Tensor
    share: tf.Tensor


# Is given float32 gradients in the shapes of the variables that they are asked for.
See = Callable[[Sequence[Any], Batch], None]


class Gradients(Protocol):
    """The training examples of a run, and the gradients of its own objective for them."""

    def show(self, variables: Sequence[tf.Variable], examples: int, see: See) -> int:
        """Show the gradients of the mean loss of one batch after the other.

        The weights stay as they are, nothing is dropped out, and nothing is drawn.

        Args:
          variables: whose gradients are shown.
          examples: how many are wanted at least; 0 for all. No example is taken twice.
          see: is called in the graph and on each replica, with gradients that are summed over the
            replicas already.

        Returns:
          The number of examples that have been taken.

        Raises:
          UserError: a gradient is no number.
        """


def check_examples(settings: Mapping[str, Any]) -> None:
    """Refuse a number of examples that is negative.

    Args:
      settings: of a method whose score has `EXAMPLES`.

    Raises:
      UserError: names the setting, its value and good ones.
    """
    if settings["examples"] < 0:
        raise UserError(
            f"--pruning_options: examples={settings['examples']}: must be a number of training "
            "examples from 1 on, or 0 for all of them."
        )
