"""Shared weights: networks of several sparsities, each of which has all weights of the sparser."""

from __future__ import annotations

import itertools
import types
from collections.abc import Mapping
from typing import Any

from bert_glue_tf.compression.nested import NestedPruning
from bert_glue_tf.core.errors import UserError

NONE, TOGETHER = "none", "together"
MOST_NETWORKS = 16  # Beyond which nobody has tried it.
_OF_SCHEDULE = ("pruning_schedule", "begin_step", "end_step", "pruning_frequency")
_GOOD = "Good: sparsities=0.6024,0.405,0.207."


class Shared(NestedPruning):
    """Prunes one set of weights to networks of several sparsities, whose masks are nested.

    A denser network keeps the weights of the sparser one unchanged and adds others (W_m = W x M_hm
    + W_h), so that a device that switches between them rewrites none of them. Weights are ranked
    by their magnitude.

    training=none is the second report's ("Cloud Computing Final Report", shared-weights training):
    masks of the trained network, no step after them. training=together trains on with the masks:
    each step computes the densest network, the sparsest and one between, of which the smaller ones
    learn from the densest one's answers ("sandwich rule" and "inplace distillation", Yu and Huang
    2019, "Universally slimmable networks and improved training techniques",
    https://arxiv.org/abs/1903.05134; Yu et al. 2018, "Slimmable neural networks",
    https://arxiv.org/abs/1812.08928). They nest widths of layers; single weights are nested here.
    """

    name = "shared"
    takes_score = False
    options: Mapping[str, tuple[Any, str]] = types.MappingProxyType(
        {
            "sparsities": (
                "0.6024,0.405,0.207",
                "of the networks, the sparsest first, separated by commas",
            ),
            "training": (
                TOGETHER,
                "of the masked networks: together, or none for masks of the trained network",
            ),
        }
    )

    why_unused = f"training={NONE}, whose masks are taken after the last step"

    @classmethod
    def unused_with(cls, texts: Mapping[str, str]) -> tuple[str, ...]:
        return (*cls.unused, *(_OF_SCHEDULE if texts.get("training") == NONE else ()))

    @property
    def together(self) -> bool:  # type: ignore[override]
        return bool(self.settings["training"] == TOGETHER)

    @property
    def networks(self) -> Mapping[str, float]:
        return {f"{value:g}": value for value in self._sparsities()}

    def _sparsities(self) -> list[float]:
        """Return the sparsities as they are given.

        Raises:
          UserError: one is no number.
        """
        text = self.settings["sparsities"]
        found = []
        for part in text.split(","):
            try:
                found.append(float(part))
            except ValueError:
                raise UserError(
                    f"--pruning_options: sparsities={text}: {part!r} is no number. {_GOOD}"
                ) from None
        return found

    def check_settings(self) -> None:
        super().check_settings()
        text, training = self.settings["sparsities"], self.settings["training"]
        found = self._sparsities()
        for value in found:
            if not 0.0 <= value < 1.0:
                raise UserError(
                    f"--pruning_options: sparsities={text}: {value:g} is not in [0, 1). {_GOOD}"
                )
        if len(found) < 2:
            raise UserError(
                f"--pruning_options: sparsities={text}: one network shares its weights with none. "
                f"Give two or more; for one: --pruning_method=magnitude. {_GOOD}"
            )
        for large, small in itertools.pairwise(found):
            if f"{small:g}" == f"{large:g}" or small > large:
                raise UserError(
                    f"--pruning_options: sparsities={text}: {small:g} stands behind {large:g}: "
                    f"the sparsest network comes first, and each is denser than the one before. "
                    f"{_GOOD}"
                )
        if len(found) > MOST_NETWORKS:
            raise UserError(
                f"--pruning_options: sparsities={text}: {len(found)} networks. Give at most "
                f"{MOST_NETWORKS}."
            )
        if training not in (NONE, TOGETHER):
            raise UserError(
                f"--pruning_options: training={training}: no such training. Good values: "
                f"{TOGETHER}, {NONE}."
            )
