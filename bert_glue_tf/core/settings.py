"""Settings: frozen dataclasses whose fields say their help text and which values are good.

A room writes the settings that it owns as a subclass of `Settings`; a run's settings inherit from
these classes, so that flags and JSON stay flat:

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class PruningSettings(Settings):
        final_sparsity: float = option(0.8, "Sparsity at the end.", limits=BELOW_ONE)

Nothing here imports TensorFlow, so that a wrong flag is answered at once.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from bert_glue_tf.core.errors import UserError


@dataclasses.dataclass(frozen=True)
class Limits:
    """The numbers that a setting may be.

    Attributes:
      low: smallest good value.
      high: largest good value.
      text: the good values in words, after "must be".
      computed: value outside of the limits that stands for "computed from other settings".
      is_fraction: True where a user may have meant percent.
    """

    low: float
    high: float
    text: str
    computed: float | None = None
    is_fraction: bool = False


BELOW_ONE = math.nextafter(1.0, 0.0)
FRACTION = Limits(0.0, BELOW_ONE, "in [0, 1)", is_fraction=True)
LARGEST = 2**31 - 1


def option(
    default: Any, help_text: str, *, choices: Sequence[str] = (), limits: Limits | None = None
) -> Any:
    """Return a field of a settings class.

    Args:
      default: value where the flag is not given.
      help_text: of the flag.
      choices: the good values of a text; empty for any.
      limits: of a number; None for any.
    """
    metadata = {"help": help_text, "choices": tuple(choices), "limits": limits}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of all settings: each field is the flag of the same name.

    A subclass checks what concerns several of its fields in a `__post_init__` that begins with
    `super().__post_init__()`.

    Raises:
      UserError: a value is none of its field's choices or outside of its limits; the message
        names the flag and the good values.
    """

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            refuse_huge(field.name, getattr(self, field.name))
        for field in dataclasses.fields(self):
            _require_good(field, getattr(self, field.name))


def refuse_huge(name: str, value: Any) -> None:
    """Refuse a number of thousands of digits, which 0x... can bring in and Python cannot write.

    Raises:
      UserError: the number has more than 64 bits.
    """
    if isinstance(value, int) and value.bit_length() > 64:
        raise UserError(f"--{name}: a number of {value.bit_length()} bits is too large.")


def _require_good(field: dataclasses.Field[Any], value: Any) -> None:
    name, limits = field.name, field.metadata.get("limits")
    choices = field.metadata.get("choices")
    if choices and value not in choices:
        raise UserError(
            f"--{name}={value}: no such {name.removeprefix('pruning_')}. "
            f"Good values: {', '.join(choices)}."
        )
    if limits is None or value == limits.computed:
        return
    # `not (a <= b)` and not `a > b`, so that NaN is refused as well.
    if not limits.low <= value <= limits.high or not math.isfinite(value):
        # A sparsity of 80 is most likely meant in percent.
        is_percent = limits.is_fraction and 1 < value < 100
        meant = f" Is {value / 100:g} meant ({value:g} %)?" if is_percent else ""
        raise UserError(f"--{name}={value}: must be {limits.text}.{meant}")
