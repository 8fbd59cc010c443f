"""A run's pruning in words and settings, from the settings alone: no model is read.

A run that is finished is described even where its method has since changed what it takes, or is
not installed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from bert_glue_tf.compression import registry
from bert_glue_tf.compression.method import PruningMethod
from bert_glue_tf.compression.names import NO_PRUNING
from bert_glue_tf.core.errors import UserError

_SCOPES = {
    "classifier": "the classifier",
    "encoder": "the encoder's matrices",
    "embeddings": "the embeddings",
    "all": "all matrices",
}


@dataclasses.dataclass(frozen=True)
class Pruning:
    """The settings of one method of a run.

    Attributes:
      method: its name.
      sparsity: its own final one, in [0, 1); None where no sparsity comes into it.
      options: name -> value of its own settings, those at their defaults included.
      unused: settings of the run that do not come into it.
    """

    method: str
    sparsity: float | None
    options: Mapping[str, str]
    unused: tuple[str, ...]


def prunings(config: Mapping[str, Any]) -> tuple[Pruning, ...]:
    """Return what each method of a run was asked for, in their order; none without pruning.

    Args:
      config: the settings of the run as JSON.

    Raises:
      UserError: a method's file cannot be imported.
    """
    names = registry.split(config["pruning_method"])
    if names == (NO_PRUNING,):
        return ()
    given = registry.parse_options(config["pruning_options"])
    return tuple(
        _asked(registry.of_finished(name), given, config, len(names) == 1) for name in names
    )


def _asked(
    method: type[PruningMethod],
    given: Mapping[str, str],
    config: Mapping[str, Any],
    is_alone: bool,
) -> Pruning:
    texts = registry.own_texts(method, given)
    sparsity = float(texts.pop("final_sparsity", config["final_sparsity"]))
    try:
        known = method.options_for(texts)
    except UserError:  # A value that the method takes no more: shown as it was given.
        known = method.options
    own = {
        name: value
        for name, value in texts.items()
        # Without a method's name, an option may be another method's.
        if is_alone or name in known or f"{method.name}.{name}" in given
    }
    return Pruning(
        method=method.name,
        sparsity=sparsity if method.takes_sparsity else None,
        options={name: str(default) for name, (default, _) in known.items()} | own,
        unused=(*method.unused, *(("pruning_scope",) if method.part else ())),
    )


def part(config: Mapping[str, Any]) -> str:
    """Return what a run's sparsity is a fraction of: `the classifier`, `all matrices`.

    Args:
      config: the settings of the run as JSON.
    """
    names = registry.split(config["pruning_method"])
    methods = [registry.of_finished(name) for name in names]
    if len(methods) == 1 and not registry.is_known(names[0]):
        return "the weights in its scope"  # It may have had a scope of its own.
    if len(methods) == 1 and methods[0].part:
        return methods[0].part
    if len(methods) > 1 and not all(
        registry.is_known(name) and not method.part
        for name, method in zip(names, methods, strict=True)
    ):
        return "the weights in their scopes"
    scope = _SCOPES[config["pruning_scope"]]
    return f"the chosen weights of {scope}" if config["pruning_weights"] else scope
