"""Questions to a teacher besides its answers: for values of its encoder, of each token."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from bert_glue_tf.models.parts import Attention, States
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.settings import ALL
from bert_glue_tf.training import layer_pairs
from bert_glue_tf.training.hints import Hint, LayerStates, Relations
from bert_glue_tf.training.layer_pairs import Pairs
from bert_glue_tf.training.token_rows import TokenRows

_PARTS = ("queries", "keys", "values")


@dataclasses.dataclass(frozen=True)
class Question(abc.ABC):
    """Something that a teacher's encoder computes, and that a student learns as a hint.

    Attributes:
      flag: that asks for it, with its value.
      weight: of the distance in the loss.
    """

    flag: str
    weight: float

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """Its name among the files of the answers."""

    @property
    @abc.abstractmethod
    def of_all_tokens(self) -> bool:
        """Tell if it is asked of all word pieces of a text, which then have to be the student's.

        Else it is asked of the first one alone.
        """

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, int]:
        """The shape of what a token has."""

    @property
    @abc.abstractmethod
    def title(self) -> str:
        """The thing that is asked for, for messages."""

    @property
    @abc.abstractmethod
    def told(self) -> str:
        """The layers that learn from the teacher's, for the log."""

    @property
    @abc.abstractmethod
    def remedy(self) -> str:
        """The changes of settings that take less room, as the beginning of a list in a message."""

    @property
    @abc.abstractmethod
    def needs_pieces(self) -> str:
        """The flag that asks for all tokens, with its value."""

    @property
    @abc.abstractmethod
    def without_pieces(self) -> str:
        """The change of settings that does without the same tokens, for a message."""

    @abc.abstractmethod
    def select(self, outputs: Mapping[str, Any]) -> list[Any]:
        """Return tensors [rows, width, ...], one for each row of `shape`, of the outputs of the
        teacher's encoder."""

    def kept(self, values: np.ndarray) -> np.ndarray:
        """Return what is kept of values float32 [m, *shape]; by default these."""
        return values

    @abc.abstractmethod
    def hint(self, rows: TokenRows) -> Hint:
        """Return what the student learns, of the teacher's rows [tokens, *shape]."""

    @abc.abstractmethod
    def record(self) -> dict[str, Any]:
        """Return what a run's record says of it, in JSON types."""

    @abc.abstractmethod
    def asked(self) -> list[Any]:
        """Return all that its answers depend on, in JSON types."""


@dataclasses.dataclass(frozen=True)
class StatesQuestion(Question):
    """The states of some layers, as directions.

    Attributes:
      pairs: of layers.
      student: the layers of the student's encoder.
      teacher: those of the teacher's.
      tokens: value of --distill_tokens.
    """

    pairs: Pairs
    student: States
    teacher: States
    tokens: str

    @property
    def name(self) -> str:
        return "states"

    @property
    def of_all_tokens(self) -> bool:
        return self.tokens == ALL

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.pairs), self.teacher.width

    @property
    def title(self) -> str:
        return f"the states of {len(self.pairs)} layer(s)"

    @property
    def remedy(self) -> str:
        return "fewer layers, --distill_tokens=first"

    @property
    def told(self) -> str:
        return ", ".join(f"{mine} from {theirs}" for mine, theirs in self.pairs)

    @property
    def needs_pieces(self) -> str:
        return f"--distill_tokens={self.tokens}"

    @property
    def without_pieces(self) -> str:
        return "--distill_tokens=first"

    def select(self, outputs: Mapping[str, Any]) -> list[Any]:
        return [outputs["encoder_outputs"][theirs - 1] for _, theirs in self.pairs]

    def kept(self, values: np.ndarray) -> np.ndarray:
        """Return the directions of states: these vectors at length 1."""
        length = np.linalg.norm(values, axis=-1, keepdims=True)
        return values / np.maximum(length, np.finfo(np.float32).tiny)

    def hint(self, rows: TokenRows) -> LayerStates:
        layers = [mine for mine, _ in self.pairs]
        are_whole = [layer < self.student.count for layer in layers]
        return LayerStates(rows, self.weight, layers, are_whole, self.student.width)

    def record(self) -> dict[str, Any]:
        return {"layers": [list(pair) for pair in self.pairs]}

    def asked(self) -> list[Any]:
        return [self.name, self.record(), self.tokens]


@dataclasses.dataclass(frozen=True)
class RelationsQuestion(Question):
    """The queries, keys or values of one layer's attention.

    Attributes:
      pair: the layers of student and teacher, from 1.
      part: 0 for queries, 1 for keys, 2 for values.
      student: the attention of the student's layer.
      teacher: that of the teacher's.
    """

    pair: tuple[int, int]
    part: int
    student: Attention
    teacher: Attention

    @property
    def name(self) -> str:
        return _PARTS[self.part]

    @property
    def of_all_tokens(self) -> bool:
        return True

    @property
    def shape(self) -> tuple[int, int]:
        return 1, self.teacher.widths[self.part]

    @property
    def title(self) -> str:
        return f"the {self.name} of a layer"

    @property
    def remedy(self) -> str:
        return "no --distill_attention"

    @property
    def told(self) -> str:
        return f"{self.pair[0]} from {self.pair[1]}, in {self.heads} relation heads"

    @property
    def needs_pieces(self) -> str:
        return self.flag

    @property
    def without_pieces(self) -> str:
        return "leave the flag out"

    @property
    def heads(self) -> int:
        """The relation heads: as many as the teacher has heads, or the next fewer that divide the
        features of both."""
        common = math.gcd(self.student.widths[self.part], self.teacher.widths[self.part])
        return max(r for r in range(1, self.teacher.heads + 1) if common % r == 0)

    def select(self, outputs: Mapping[str, Any]) -> list[Any]:
        return [outputs["attention_inputs"][self.pair[1] - 1][self.part]]

    def hint(self, rows: TokenRows) -> Relations:
        return Relations(rows, self.weight, self.part, self.pair[0], self.heads)

    def record(self) -> dict[str, Any]:
        return {"attention": list(self.pair)}

    def asked(self) -> list[Any]:
        return [self.name, self.record()]


def of(settings: ExperimentConfig, student: States, teacher: States) -> list[Question]:
    """Return what a run asks its teacher for besides its answers.

    Args:
      settings: of the run.
      student: the layers of its encoder, as it trains.
      teacher: those of the teacher's.

    Raises:
      UserError: as `layer_pairs.choose`.
    """
    found: list[Question] = []
    if settings.distill_layers:
        found.append(
            StatesQuestion(
                f"--distill_layers={settings.distill_layers}",
                settings.distill_layers_weight,
                layer_pairs.choose(settings, student, teacher),
                student,
                teacher,
                settings.distill_tokens,
            )
        )
    if settings.distill_attention:
        pair = layer_pairs.choose_attention(settings, student, teacher)
        flag = f"--distill_attention={settings.distill_attention}"
        # The mean over the three.
        weight = settings.distill_attention_weight / len(_PARTS)
        mine, theirs = student.attention[pair[0] - 1], teacher.attention[pair[1] - 1]
        found += [
            RelationsQuestion(flag, weight, pair, part, mine, theirs) for part in range(len(_PARTS))
        ]
    return found


def flag_of(settings: ExperimentConfig) -> str:
    """Return the flag that asks for the insides of both encoders, with its value; empty if none."""
    for name in ("distill_layers", "distill_attention"):
        if value := getattr(settings, name):
            return f"--{name}={value}"
    return ""
