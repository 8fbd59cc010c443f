"""Settings: frozen dataclasses whose fields say their help text and which values are good.

A room writes the settings that it owns as a subclass of `Settings`; a run's settings inherit from
these classes, so that flags and JSON stay flat, and flags, --help, config.json, records and the
run's name are derived from the fields:

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class PruningSettings(Settings):
        final_sparsity: float = option(0.8, "Sparsity at the end.", limits=FRACTION)

Nothing here imports TensorFlow, so that a wrong flag is answered at once.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

from absl import logging

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


def whole(low: int, high: int = LARGEST) -> Limits:
    """Return the limits of a whole number, both included."""
    return Limits(low, high, f"a whole number from {low} to {high}")


def option(
    default: Any,
    help_text: str,
    *,
    choices: Sequence[str] = (),
    limits: Limits | None = None,
    names: Sequence[str] | None = None,
    is_switch: bool = False,
) -> Any:
    """Return a field of a settings class.

    Args:
      default: value where the flag is not given; of type bool, int, float or str.
      help_text: of the flag.
      choices: the good values of a text; empty for any.
      limits: of a number; None for any.
      names: of a text that may name a folder: the values that are names and never a folder; None
        for all other settings.
      is_switch: of a text with the choices auto, true and false: its flag may stand alone, as that
        of a truth value (--name, --noname).
    """
    metadata = {
        "help": help_text,
        "choices": tuple(choices),
        "limits": limits,
        "names": names,
        "is_switch": is_switch,
    }
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

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of the settings in their order."""
        return tuple(field.name for field in dataclasses.fields(cls))

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Return name -> default value."""
        return {field.name: field.default for field in dataclasses.fields(cls)}

    @classmethod
    def places(cls) -> tuple[str, ...]:
        """Return the names of the settings that may name a folder."""
        return tuple(f.name for f in dataclasses.fields(cls) if f.metadata["names"] is not None)

    def given(self) -> dict[str, Any]:
        """Return name -> value of the settings that differ from their defaults."""
        defaults = self.defaults()
        return {name: value for name, value in self.to_json().items() if value != defaults[name]}

    def to_json(self) -> dict[str, Any]:
        """Return name -> value of all settings, as values of JSON."""
        return {name: getattr(self, name) for name in self.names()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], *, is_exact: bool = False) -> Self:
        """Return the settings that `to_json` gave, of this version or of another one.

        A setting that is missing has its default. One that this version does not know is passed
        over with a warning, so that a later version's records can be read.

        Args:
          values: name -> value.
          is_exact: an unknown setting is a mistake, since something is to be made by the settings.

        Raises:
          UserError: a value is out of its range or of another type, or a setting is unknown where
            `is_exact`.
        """
        unknown = sorted(set(values) - set(cls.names()))
        if unknown and is_exact:
            listed = ", ".join(map(repr, unknown))
            what = "setting" if len(unknown) == 1 else "settings"
            raise UserError(f"unknown {what} {listed}; good settings: {', '.join(cls.names())}.")
        if unknown:
            _warn_of_unknown(tuple(unknown))
        return cls._of({name: value for name, value in values.items() if name not in unknown})

    @classmethod
    def _of(cls, values: Mapping[str, Any]) -> Self:
        """Return the settings of these values after a look at their types."""
        defaults = cls.defaults()
        for name, value in values.items():
            wanted = type(defaults[name])
            number_for_float = wanted is float and type(value) is int
            if type(value) is not wanted and not number_for_float:
                raise UserError(f"setting {name}={value!r}: must be of type {wanted.__name__}.")
        # 1 and 1.0 are one setting, and have to be written alike.
        floats = {name for name in values if type(defaults[name]) is float}
        try:
            numbers = {name: float(values[name]) for name in floats}
        except OverflowError:
            raise UserError("a number in it is too large for any setting.") from None
        return cls(**{**values, **numbers})


@functools.cache  # A table of a hundred runs says it once.
def _warn_of_unknown(names: tuple[str, ...]) -> None:
    logging.warning(
        "settings that this version does not have are passed over: %s",
        ", ".join(names),
    )


def refuse_huge(name: str, value: Any) -> None:
    """Refuse a number of thousands of digits, which 0x... can bring in and Python cannot write.

    Raises:
      UserError: the number has more than 64 bits.
    """
    if isinstance(value, int) and value.bit_length() > 64:
        raise UserError(f"--{name}: a number of {value.bit_length()} bits is too large.")


def _require_good(field: dataclasses.Field[Any], value: Any) -> None:
    name, limits, choices = field.name, field.metadata["limits"], field.metadata["choices"]
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
