"""Counterparts: the models that lack the pruning of another one and nothing else.

Or its teacher, or the rounding that its training had; or the model that it was made of.
"""

from __future__ import annotations

from collections.abc import Iterable

from bert_glue_tf.compression.names import NO_PRUNING
from bert_glue_tf.reports.groups import Group
from bert_glue_tf.reports.measured import (
    BUT_PRUNING,
    BUT_PRUNING_AND_TEACHER,
    BUT_QUANTIZATION,
    BUT_TEACHER,
)


class Counterparts:
    """Finds, among some models, what a model is compared with to see what one thing brings."""

    def __init__(self, groups: Iterable[Group]) -> None:
        """Take the models, seeds together."""
        self._unpruned: dict[str, Group] = {}
        self._plain: dict[str, Group] = {}
        self._untaught: dict[str, Group] = {}
        self._in_float: dict[str, Group] = {}
        self._runs: dict[tuple[str, str], list[Group]] = {}
        for one in groups:
            for model in one.models:
                self._runs.setdefault((model.folder.name, model.recipe), []).append(one)
            is_pruned, is_taught = one.first.method != NO_PRUNING, bool(one.first.teacher)
            if not is_pruned:
                self._unpruned[one.first.key(BUT_PRUNING)] = one
            if not is_taught:
                self._untaught[one.first.key(BUT_TEACHER)] = one
            if not one.first.is_quantize_aware:
                self._in_float[one.first.key(BUT_QUANTIZATION)] = one
            if not is_pruned and not is_taught:
                self._plain[one.first.key(BUT_PRUNING_AND_TEACHER)] = one

    def unpruned(self, one: Group) -> Group | None:
        """Return the unpruned model of a pruned one.

        It has the same teacher, or none where there is no such model of a seed in common: without
        pruning a network is itself what a teacher would be.

        Args:
          one: the models of one experiment; None is returned for unpruned ones.
        """
        model = one.first
        if model.method == NO_PRUNING:
            return None
        taught = self._unpruned.get(model.key(BUT_PRUNING))
        plain = self._plain.get(model.key(BUT_PRUNING_AND_TEACHER))
        found = [base for base in (taught, plain) if base]
        sharing = [base for base in found if set(base.seeds) & set(one.seeds)]
        return next(iter(sharing or found), None)

    def start(self, one: Group) -> Group | None:
        """Return the model that a model was made of: that of the run whose weights it began with.

        Of a file it is the file of the same recipe. None where no run of that name is among the
        models, or two are.

        Args:
          one: the models of one experiment, whose runs began with the models of one other.
        """
        first = one.first
        found = self._runs.get((first.start, first.recipe), []) if first.start else []
        return found[0] if len(found) == 1 else None

    def untaught(self, one: Group) -> Group | None:
        """Return the model without a teacher of the otherwise same settings as a taught one.

        Args:
          one: the models of one experiment; None is returned for untaught ones.
        """
        return self._untaught.get(one.first.key(BUT_TEACHER)) if one.first.teacher else None

    def in_float(self, one: Group) -> Group | None:
        """Return the model of the same settings whose training rounded nothing.

        Of a file it is the file of the same recipe, quantized after the training.

        Args:
          one: the models of one experiment; None is returned where it is trained in float itself.
        """
        model = one.first
        return self._in_float.get(model.key(BUT_QUANTIZATION)) if model.is_quantize_aware else None
