"""Methods that combine a kind of unit with a score."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bert_glue_tf.compression.masked import MaskedPruning
from bert_glue_tf.compression.method import Options
from bert_glue_tf.compression.movement import Movement
from bert_glue_tf.compression.scores import AbsoluteSum, Gradient, Magnitude, Random, Score
from bert_glue_tf.core.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

    from bert_glue_tf.compression.gradients import Batch
    from bert_glue_tf.compression.schedule import PruningContext
    from bert_glue_tf.models.units import Group, Member


SCORES: Mapping[str, type[Score]] = types.MappingProxyType(
    {score.name: score for score in (Magnitude, AbsoluteSum, Gradient, Movement, Random)}
)


def score_called(name: str, method: str, refused: Mapping[str, str]) -> type[Score]:
    """Return the score called `name`.

    Args:
      name: of the score.
      method: that is to use it, for the message.
      refused: names of scores that make no sense for its units, with the reason.

    Raises:
      UserError: there is no such score, or it makes no sense for the units.
    """
    good = [known for known in SCORES if known not in refused]
    if name in good:
        return SCORES[name]
    why = refused.get(name, "has no such score")
    raise UserError(
        f"--pruning_options: score={name}: --pruning_method={method} {why}. "
        f"Good values: {', '.join(good)}."
    )


class ScoredPruning(MaskedPruning):
    """Base of the methods that rank their units by one of `SCORES`.

    A subclass says its units (`groups`) and its own score. `--pruning_options=score=movement`
    asks for another one, where the method `takes_score`.
    """

    # The score unless another is asked for.
    own_score = "magnitude"
    # False: the method's name stands for its score. Single weights by another one are the method
    # of that score's name.
    takes_score = True
    # Scores that make no sense for these units, with the reason.
    refused_scores: Mapping[str, str] = types.MappingProxyType({})

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(options)
        chosen = self._chosen(self.settings)
        self._score = chosen(self)
        self.waits = chosen.waits
        self.regrows = self.regrows or chosen.regrows
        self.can_be_soft = chosen.is_of_weights
        self.refused_rankings = {**chosen.refused_rankings, **self.refused_rankings}

    @classmethod
    def _chosen(cls, given: Mapping[str, Any]) -> type[Score]:
        name = given.get("score", cls.own_score) if cls.takes_score else cls.own_score
        return score_called(name, cls.name, cls.refused_scores)

    @classmethod
    def options_for(cls, given: Mapping[str, str]) -> Options:
        chosen = cls._chosen(given)
        good = ", ".join(name for name in SCORES if name not in cls.refused_scores)
        asked = {"score": (cls.own_score, f"what the units are ranked by: {good}")}
        return {**cls.options, **(asked if cls.takes_score else {}), **chosen.options}

    @classmethod
    def is_structure(cls) -> bool:
        return cls.takes_score or cls.own_score == "magnitude"

    def check_settings(self) -> None:
        self._score.check_settings()

    @property
    def score_name(self) -> str:
        """The score that ranks the units."""
        return self._score.name

    def context(self, context: PruningContext) -> PruningContext:
        return self._score.context(super().context(context))

    def create(self) -> None:
        self._score.create()

    def observe(self, group: Group, member: Member, gradient: tf.Tensor) -> tf.Tensor:
        return self._score.observe(group, member, gradient)

    def learn(self, group: Group, gradient: tf.Tensor, batch: Batch) -> None:
        self._score.learn(group, gradient, batch)

    def score(self, group: Group) -> np.ndarray:
        return self._score.of(group)

    def advance(self, step: int) -> None:
        if not step:
            self._score.begin()
        super().advance(step)

    def hide(self, group: Group) -> None:
        self._score.hide(group)
