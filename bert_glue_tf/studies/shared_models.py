"""The models of the study of shared weights: what they are called, and the masks of their runs."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

from bert_glue_tf.compression import registry
from bert_glue_tf.compression.nested import NestedPruning
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.models import sizes as saved
from bert_glue_tf.studies import printed
from bert_glue_tf.studies.cells import Cell

METHOD = "shared"
FINE_TUNED = "not pruned"
MASKS, TOGETHER = "masks only", "together"
# Way of training -> its option.
TRAININGS = {MASKS: "none", TOGETHER: "together"}
# Encoder and task -> the network of the report that they are.
PRINTED = {
    "lenet5/mnist": "LeNet-5 / MNIST",
    "har_net/har": "HAR-Net / UCI HAR",
    "okg_net/keywords": "OKG-Net / Speech Commands (Warden 2018)",
    "sqnxt23/images": "SqNxt-23 / ImageNet",
}


@dataclasses.dataclass(frozen=True)
class Level(Cell):
    """One of the models of a trained network, with all its seeds.

    Attributes:
      trained: the network.
      network: encoder and task.
      size: name of the model.
      is_densest: True for the model that is the run's own.
    """

    trained: Cell
    network: str
    size: str
    is_densest: bool

    @classmethod
    def of(cls, trained: Cell, network: str, size: str, is_densest: bool) -> Level:
        """Return a model of a trained network; the arguments are its attributes."""
        label = f"{trained.label}, {size}"
        return cls(label, trained.configs, trained, network, size, is_densest)


def sparsities(network: str, given: Sequence[str]) -> list[str]:
    """Return the sparsities of a network's models: those that the report prints, else the given.

    Raises:
      UserError: none are given.
    """
    theirs = printed.shared(PRINTED.get(network, ""))
    if theirs:
        return [f"{one.sparsity:g}" for one in theirs]
    if not any(given):
        raise UserError("--sparsities is empty. Good: --sparsities=0.6024,0.405,0.207.")
    return list(given)


def masks(path: pathlib.Path) -> saved.Masks:
    """Return the masks of a run.

    Raises:
      UserError: they are missing or damaged.
    """
    try:
        return saved.Masks.read(path)
    except (OSError, ValueError, LookupError) as error:
        raise UserError(
            f"{path}: the masks of the run's networks cannot be read ({error}). Delete the run's "
            "folder, and the study trains it again."
        ) from None


def names(one: Cell, given: Sequence[str]) -> list[str]:
    """Return the names of a training's models, as the method calls them.

    Args:
      one: the training.
      given: the sparsities, as they were given.

    Raises:
      UserError: they are none of `shared`.
    """
    try:
        method = registry.build(one.configs[0])
    except UserError as error:
        text = ",".join(given)
        told = str(error).removeprefix(f"--pruning_options: sparsities={text}: ")
        raise UserError(f"--sparsities={text}: {told}") from None
    assert isinstance(method, NestedPruning)
    return list(method.networks)
