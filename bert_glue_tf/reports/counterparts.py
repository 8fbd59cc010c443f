"""Counterparts: the models that lack the pruning of another one and nothing else.

Or its teacher, or the rounding that its training had; or the model that it was made of.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from bert_glue_tf.compression.names import NO_PRUNING
from bert_glue_tf.reports.groups import Group
from bert_glue_tf.reports.measured import (
    BUT_PRUNING,
    BUT_PRUNING_AND_TEACHER,
    BUT_QUANTIZATION,
    BUT_TEACHER,
    KERAS,
    Model,
)


class Counterparts:
    """Finds, among some models, what a model is compared with to see what one thing brings."""

    def __init__(self, groups: Iterable[Group]) -> None:
        """Take the models, seeds together."""
        self._unpruned: dict[str, Group] = {}
        self._plain: dict[str, Group] = {}
        self._untaught: dict[str, Group] = {}
        self._in_float: dict[str, Group] = {}
        self._runs: dict[tuple[str, str], list[tuple[Group, Model]]] = {}
        for one in groups:
            for model in one.models:
                place = model.folder.name, model.recipe
                self._runs.setdefault(place, []).append((one, model))
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
        """Return the models that some models were made of, whose weights they began with.

        Each stands under the seed of the model that was made of it, so that the two are a pair. Of
        a file it is the file of the same recipe.

        Args:
          one: the models of one experiment.

        Returns:
          None where none of their starts is among the models, or the starts are not of one
          experiment. Models whose start is not among these have no pair.
        """
        found = [(model, self._start_of(model)) for model in one.models]
        pairs = [(model, *start) for model, start in found if start]
        if not pairs or any(group is not pairs[0][1] for _, group, _ in pairs):
            return None
        group = pairs[0][1]
        models = (
            dataclasses.replace(start, config={**start.config, "seed": model.seed})
            for model, _, start in pairs
        )
        return dataclasses.replace(group, models=tuple(models))

    def _start_of(self, model: Model) -> tuple[Group, Model] | None:
        """Return the start of one model with its group; None unless exactly one run is meant."""
        if not model.start:
            return None
        run, metrics = model.start["run"], model.start["metrics"]
        trained = [
            start
            for _, start in self._runs.get((run, KERAS), [])
            # Another run can have the name.
            if start.subject == model.subject
            and all(start.metrics.get(name) == value for name, value in metrics.items())
        ]
        if len(trained) != 1:
            return None
        folder = trained[0].folder
        files = self._runs.get((run, model.recipe), [])
        return next((pair for pair in files if pair[1].folder == folder), None)

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
