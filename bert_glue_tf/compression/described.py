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

_WEIGHTS = "the weights of "
_SCOPES = {
    "classifier": "the classifier",
    "encoder": f"{_WEIGHTS}the encoder's dense layers",
    "embeddings": "the embeddings",
    "all": f"{_WEIGHTS}encoder, embeddings and classifier",
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
        unused=(
            *method.unused_with(own),
            *(("pruning_scope",) if method.part else ()),
            *(() if method.takes_sparsity else ("final_sparsity",)),
        ),
    )


def part(config: Mapping[str, Any]) -> str:
    """Return what a run's sparsity is a fraction of: `the classifier`, `all attention heads`.

    Of several methods it is a fraction of all weights that they prune:
    `the weights of all attention heads and the encoder's dense layers`.

    Args:
      config: the settings of the run as JSON.
    """
    parts = [_part(name, config) for name in registry.split(config["pruning_method"])]
    first, *others = dict.fromkeys(parts)
    if not others:
        return first
    return _WEIGHTS + " and ".join(one.removeprefix(_WEIGHTS) for one in (first, *others))


def _part(name: str, config: Mapping[str, Any]) -> str:
    """Return what the sparsity of one of a run's methods is a fraction of."""
    if not registry.is_known(name):
        return f"{_WEIGHTS}what {name} may prune"  # It may have had a scope of its own.
    own = registry.get(name).part
    if own:
        return own
    scope = _SCOPES[config["pruning_scope"]]
    return f"{scope} that --pruning_weights chooses" if config["pruning_weights"] else scope
