"""The networks of the study of shared weights: their recipes, and the models in their runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from bert_glue_tf.compression import registry
from bert_glue_tf.compression.nested import NestedPruning
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.evaluation.sharing import Account
from bert_glue_tf.models import sizes as saved
from bert_glue_tf.runs.paths import RunPaths
from bert_glue_tf.runs.results import ExperimentResult
from bert_glue_tf.studies import printed
from bert_glue_tf.studies.cells import Cell

METHOD = "shared"
FINE_TUNED = "not pruned"
MASKS, TOGETHER = "masks only", "together"
# Way of training -> its option.
TRAININGS = {MASKS: "none", TOGETHER: "together"}
# Settings that say nothing of a way of training.
UNUSED = {
    MASKS: (*NestedPruning.unused, "pruning_schedule", "finetune_epochs"),
    TOGETHER: NestedPruning.unused,
}
# Encoder and task -> the network of the report that they are.
PRINTED = {
    "lenet5/mnist": "LeNet-5 / MNIST",
    "har_net/har": "HAR-Net / UCI HAR",
    "okg_net/keywords": "OKG-Net / Speech Commands (Warden 2018)",
    "sqnxt23/images": "SqNxt-23 / ImageNet",
}
# Encoder and task -> the settings of its trainings. `finetune_epochs` are those of the network
# before any pruning, which is trained as the flags of configs/ have it; `epochs` are those of all
# its models together. A step of the latter computes three networks, and takes three times as long.
RECIPES: Mapping[str, Mapping[str, str]] = {
    "lenet5/mnist": {
        "finetune_epochs": "12",
        "epochs": "6",
        "batch_size": "128",
        "learning_rate": "2e-3",
        "augmentation": "shift",
    },
    "har_net/har": {
        "finetune_epochs": "10",
        "epochs": "10",
        "batch_size": "64",
        "learning_rate": "1e-3",
    },
    "okg_net/keywords": {
        "finetune_epochs": "15",
        "epochs": "15",
        "batch_size": "64",
        "learning_rate": "2e-3",
    },
    "sqnxt23/images": {
        "finetune_epochs": "25",
        "epochs": "8",
        "batch_size": "64",
        "learning_rate": "3e-3",
        "augmentation": "flip_shift",
    },
    "minilm_l6/mrpc": {
        "finetune_epochs": "3",
        "epochs": "3",
        "batch_size": "32",
        "learning_rate": "1e-4",
    },
}
_OF_OTHERS = {"finetune_epochs": "3"}  # And the defaults of the train command.


def parsed(networks: Sequence[str]) -> dict[str, str]:
    """Return encoder/task -> the data that is given with it; empty where none is.

    Args:
      networks: each encoder/task, or encoder/task=DATA.

    Raises:
      UserError: there is none, one is something else, or one stands there twice.
    """
    found: dict[str, str] = {}
    for text in networks:
        name, _, data = text.partition("=")
        encoder, _, task = name.rpartition("/")
        if not encoder or not task:
            raise UserError(
                f"--networks={text}: give encoder/task, or encoder/task=DATA, as minilm_l6/mrpc."
            )
        if name in found:
            raise UserError(
                f"--networks={text}: {name} stands there twice. Leave one out; for other data "
                "give a --runs_dir and an --output of their own."
            )
        found[name] = data
    if not found:
        raise UserError("--networks is empty. Give encoder/task, as minilm_l6/mrpc.")
    return found


def refuse_ignored(networks: Sequence[str], given: Mapping[str, str]) -> None:
    """Refuse flags that no network would heed.

    Args:
      networks: each encoder/task, or encoder/task=DATA.
      given: name of a flag that somebody has given -> the flag as it was given.

    Raises:
      UserError: one is given, or the networks are none.
    """
    found = parsed(networks)
    listed = ", ".join(found)
    ignored = {
        "encoder": f"the networks have their own: {listed}. Leave it out, or name it in "
        "--networks, as in --networks=minilm_l6/mrpc."
    }
    if all(found.values()):
        ignored["data"] = f"each network has data of its own: {listed}. Leave it out."
    if set(found) <= set(PRINTED):
        ignored["sparsities"] = (
            f"the models of {listed} have the sparsities of the report's Table 2. Leave it out, "
            "or name a network of another kind, as in --networks=minilm_l6/mrpc."
        )
    for name, why in ignored.items():
        if name in given:
            raise UserError(f"{given[name]}: {why}")


def recipe(network: str, given: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of a network's trainings.

    Args:
      network: encoder/task.
      given: settings that somebody has chosen, which go before the recipe's.
    """
    encoder, _, task = network.rpartition("/")
    return {**RECIPES.get(network, _OF_OTHERS), **given, "encoder": encoder, "task": task}


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


def account(folder: RunPaths, names: Sequence[str], weights: int) -> Account:
    """Return the bytes of a run's networks.

    Args:
      folder: of the run.
      names: of the networks, from the smallest on.
      weights: number of the whole model's.

    Raises:
      UserError: their masks, or what a network has of its own, are missing or damaged.
    """
    path = folder.sizes / saved.MASKS
    try:
        first = saved.Masks.read(path).first
        own = 0
        for name in names[:-1]:
            path = RunPaths(folder.sizes / name).model
            own = max(own, saved.own_weights(path))
    except (OSError, ValueError, LookupError) as error:
        raise UserError(
            f"{path}: what the run's networks are made of cannot be read ({error}). Delete the "
            "run's folder, and the study trains it again."
        ) from None
    return Account.of(names, first, weights, own)


def scored_on(record: ExperimentResult) -> str:
    """Return of which examples the study's scores of a run are, as a sentence."""
    task = tasks.of(record)
    splits = task.test_splits or task.validation_splits
    told = (f"{record.data[split]['examples']:,} of `{split}`" for split in splits.values())
    return f"Scored on {', '.join(told)} ({task.primary_metric})."


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


def contradiction(network: str) -> tuple[str, ...]:
    """Return a line where the report's text has other numbers of a network than its table."""
    note = printed.shared_note(PRINTED.get(network, ""))
    return (f"The report contradicts itself: {note}.",) if note else ()
