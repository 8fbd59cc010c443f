"""The families of encoders: each folder beside this file that holds a `backbone.py`.

The folder's name is the family's, and the file defines the one subclass of `Backbone` with that
name. Nothing is imported before a family is asked for.
"""

from __future__ import annotations

import functools
import importlib
import pathlib

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.models.backbone import Backbone
from bert_glue_tf.models.saved_encoders import TakesOver


@functools.cache
def names() -> tuple[str, ...]:
    """Return the families' names, in alphabetical order."""
    folder = pathlib.Path(__file__).parent
    return tuple(sorted(path.parent.name for path in folder.glob("*/backbone.py")))


def importing(kind: str, folder: pathlib.Path) -> type[Backbone] | None:
    """Return the family that imports a folder of foreign weights; None where none has its kind.

    Where families have the kind and none of them reads the folder, it is the first of them, whose
    `check_weights` says what is wrong with it.
    """
    able = [one for one in map(get, names()) if kind in one.imports]
    return next((one for one in able if one.reads(kind, folder)), next(iter(able), None))


def may_hold(kind: str, folder: pathlib.Path) -> list[type[Backbone]]:
    """Return the families that an encoder of a source may be held in, as far as the source tells.

    Args:
      kind, folder: of an `encoders.EncoderSource`.
    """
    family = importing(kind, folder)
    if family is not None:
        return [family]
    # A network that is begun here comes from its folder.
    return [one for one in taking_over() if not one.designs]


def why_never(kind: str, folder: pathlib.Path, capability: str) -> str:
    """Return why no encoder of a source has a capability; empty where one may have it.

    Args:
      kind, folder: of an `encoders.EncoderSource`.
      capability: one of `parts.CAPABILITIES`.
    """
    reasons = [one.why_never(capability) for one in may_hold(kind, folder)]
    return reasons[0] if all(reasons) else ""


def taking_over() -> list[type[Backbone]]:
    """Return the families that hold SavedModels, in the order in which they are to be asked."""
    order = (TakesOver.ITS_OWN, TakesOver.ANY)
    found = [one for one in map(get, names()) if one.takes_over_from in order]
    return sorted(found, key=lambda one: order.index(one.takes_over_from))


def get(family: str) -> type[Backbone]:
    """Return the class of a family.

    Raises:
      UserError: there is no such family.
    """
    if family not in names():
        raise UserError(
            f"family {family!r}: no such family of encoders. Good: {', '.join(names())}."
        )
    module = importlib.import_module(f"{__package__}.{family}.backbone")
    (found,) = (
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Backbone)
        and value.__module__ == module.__name__
    )
    return found
