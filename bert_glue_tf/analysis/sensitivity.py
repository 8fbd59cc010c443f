"""The sensitivity of a finished classifier: what it costs to remove or to round each of its parts.

Measured on texts of the training split, without training. The estimate of first order comes from
one pass over the texts (Michel et al. 2019, "Are sixteen heads really better than one?",
https://arxiv.org/abs/1905.10650; Molchanov et al. 2017, https://arxiv.org/abs/1611.06440). The rise
of the loss is measured by making each change, scoring the texts again, and taking it back.
"""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf
from absl import logging

from bert_glue_tf.analysis.changes import Arrays, Change, Removal, Rounding
from bert_glue_tf.analysis.defaults import RECIPES
from bert_glue_tf.analysis.probe import Probe
from bert_glue_tf.analysis.record import Base, Sensitivity
from bert_glue_tf.analysis.texts import Texts
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.models import imported
from bert_glue_tf.models.backbone import Backbone
from bert_glue_tf.models.parts import Part
from bert_glue_tf.runs import versions
from bert_glue_tf.runs.finished import Run


@dataclasses.dataclass(frozen=True)
class Estimate:
    """The cost of a change to first order; see `Sensitivity`."""

    first_order: float
    predicted: float


@dataclasses.dataclass(frozen=True)
class Cost:
    """The measured cost of a change; see `Sensitivity`."""

    rise: float
    rise_error: float
    score_rise: float
    flips: int


_UNKNOWN = Cost(math.nan, math.nan, math.nan, 0)


def changes_of(
    run: Run, probe: Probe, recipes: Sequence[str], removals: bool = True
) -> list[Change]:
    """Return all changes of a classifier: removals from its first layer to its tables, roundings.

    Args:
      run: of the classifier.
      probe: with the classifier.
      recipes: names of those on whose grids weights are rounded.
      removals: False leaves the removals out.
    """
    family = probe.family
    found: list[Change] = []
    if removals:
        found += map(Removal, family.parts(probe.variables.values()))
    for recipe in recipes:
        rounded = family.rounded(run.folder.model, recipe)
        for kind, name, some in _rounded_parts(family, rounded):
            values = {one: rounded[one] for one in some}
            found.append(Rounding(_part(kind, name, values), recipe, values))
    return found


def _rounded_parts(
    family: type[Backbone], names: Iterable[str]
) -> Iterator[tuple[str, str, list[str]]]:
    """Yield kind, name and weights of the parts that are rounded together, from bottom to top."""
    by_part: dict[str, list[str]] = defaultdict(list)
    for name in names:
        by_part[family.part_of(name)].append(name)
    for part in sorted(by_part, key=family.place_of):
        some = by_part[part]
        halves: dict[str, list[str]] = defaultdict(list)
        for name in some:
            halves[family.region_of([name])].append(name)
        if len(halves) == 1:
            yield part, part, some
            continue
        yield "layer", part, some
        for half, own in halves.items():
            yield half.replace("-", "_"), f"{part}, {half}", own


def _part(kind: str, name: str, arrays: Mapping[str, np.ndarray]) -> Part:
    number = name.removeprefix("layer ").split(",")[0]
    layer = int(number) if number.isdecimal() else 0
    return Part(kind, name, layer, 0, {}, sum(value.size for value in arrays.values()))


@dataclasses.dataclass(frozen=True)
class Plan:
    """The changes of a classifier that are to be measured.

    Attributes:
      base: the classifier and the texts.
      changes: those that were not measured before.
      estimates: their costs to first order.
      probe: with the classifier.
      each_head: False leaves single heads at their first-order estimates.
    """

    base: Base
    changes: Sequence[Change]
    estimates: Sequence[Estimate]
    probe: Probe
    each_head: bool

    def measured(self) -> Iterator[Sensitivity]:
        """Yield the cost of each change, as soon as it is measured."""
        now = {name: variable.numpy() for name, variable in self.probe.variables.items()}
        devices = [device.name for device in tf.config.list_logical_devices()]
        environment = versions.environment(devices)
        for change, estimate in zip(self.changes, self.estimates, strict=True):
            is_made = self.each_head or change.part.kind != "head"
            cost = _cost(self.probe, change, now) if is_made else _UNKNOWN
            yield Sensitivity(
                base=dataclasses.asdict(self.base),
                part=change.part.name,
                what=change.part.kind,
                layer=change.part.layer,
                head=change.part.head,
                change=change.name,
                weights=change.part.weights,
                environment=environment,
                **dataclasses.asdict(estimate),
                **dataclasses.asdict(cost),
            )


def plan(
    run: Run,
    texts: Texts,
    *,
    recipes: Sequence[str] = RECIPES,
    each_head: bool = True,
    removals: bool = True,
    known: Sequence[Sensitivity] = (),
) -> Plan:
    """Load a classifier, list the changes that are to be measured, and estimate their costs.

    Args:
      run: a finished one.
      texts: of its training split.
      recipes: names of those on whose grids weights are rounded.
      each_head: False leaves single heads at their first-order estimates.
      removals: False leaves out what the parts cost when they are gone.
      known: what was found before; of the same weights and texts it is not measured again.

    Raises:
      UserError: the model cannot be loaded, its answers are no numbers, or none of its parts can
        be told apart.
    """
    probe = Probe(run, texts.tokenize(run))
    base = _base(run, texts, probe)
    done = {
        (one.part, one.change)
        for one in known
        if one.of_what.texts == base.texts and (one.is_measured or not each_head)
    }
    changes = _require_some(run, changes_of(run, probe, recipes, removals))
    wanted = [one for one in changes if (one.part.name, one.name) not in done]
    estimates = first_order(probe, wanted) if wanted else []
    return Plan(base, wanted, estimates, probe, each_head)


def first_order(probe: Probe, changes: Sequence[Change]) -> list[Estimate]:
    """Return the first-order cost of each change, from one pass over the texts."""
    names = sorted({name for change in changes for name in change.names})
    now = {name: probe.variables[name].numpy() for name in names}
    size, signed = np.zeros(len(changes)), np.zeros(len(changes))
    for share, gradients in probe.gradients(names):
        found = np.array([change.estimate(now, gradients) for change in changes])
        size += share * np.abs(found)
        signed += share * found
    return [Estimate(float(one), float(other)) for one, other in zip(size, signed, strict=True)]


def _cost(probe: Probe, change: Change, now: Arrays) -> Cost:
    """Make a change, score the texts, and take it back."""
    with probe.changed(change.values(now)):
        logits = probe.logits()
    rises = probe.losses(logits) - probe.losses(probe.reference)
    return Cost(
        rise=float(rises.mean()),
        rise_error=float(rises.std(ddof=1) / math.sqrt(len(rises))),
        score_rise=probe.score(logits) - probe.score(probe.reference),
        flips=probe.flips(logits),
    )


def _base(run: Run, texts: Texts, probe: Probe) -> Base:
    """Return the classifier and the texts as a record has them."""
    return Base(
        run=run.path.name,
        weights_sha256=imported.folder_sha256(run.folder.model / "variables"),
        data_sha256=str(texts.examples.provenance["sha256"]),
        examples=len(texts.examples),
        held_out=texts.held_out,
        metric=run.task.primary_metric,
        score=probe.score(probe.reference),
        loss=float(probe.losses(probe.reference).mean()),
    )


def _require_some(run: Run, changes: list[Change]) -> list[Change]:
    """Return the changes; tell or refuse what cannot be told apart in the encoder's weights."""
    encoder = run.result.encoder
    if any(change.part.layer for change in changes):
        return changes
    reason = encoder.get("family_reason") or "it is of a family that does not show its layers"
    lacking = (
        f"--run={run.path}: layers, heads and feed-forward blocks cannot be measured, since the "
        f"encoder {encoder.get('name')} is held as a SavedModel ({reason})"
    )
    if not changes:
        raise UserError(f"{lacking}, and no table is known in it. Give a run of a standard BERT.")
    logging.warning("%s; nor can weights be rounded as a file rounds them", lacking)
    return changes
