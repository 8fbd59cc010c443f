"""The layers of a student, and those of its teacher whose states they learn."""

from __future__ import annotations

from collections.abc import Sequence

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.models import saving
from bert_glue_tf.models.parts import States
from bert_glue_tf.runs.settings import LAST, UNIFORM, DistillationSettings
from bert_glue_tf.training.teachers import Teacher

# Layers of the student and of the teacher, from 1.
Pairs = Sequence[tuple[int, int]]


def states_of(teacher: Teacher, flag: str) -> States:
    """Return the number and the widths of the layers of a teacher.

    Args:
      teacher: of the run.
      flag: that asks for them, with its value.

    Raises:
      UserError: its layers cannot be read.
    """
    folder = teacher.run.folder.model
    try:
        return saving.family_of(folder).saved_states(folder)
    except UserError as error:
        raise UserError(f"{flag}: {error}") from None


def choose(settings: DistillationSettings, student: States, teacher: States) -> Pairs:
    """Return the pairs of layers that the settings ask for.

    `uniform` takes layer ceil(k m / n) of m layers for k = 1 to n, the smaller of the two numbers,
    so that the last layer learns from the last (Sun et al. 2019, "PKD-skip"; Jiao et al. 2020,
    "TinyBERT", https://arxiv.org/abs/1909.10351, whose layers divide evenly).

    Args:
      settings: of the run; `distill_layers` is given.
      student: the layers of the run's encoder, as it trains.
      teacher: those of the teacher's.

    Raises:
      UserError: one of the two has no such layer.
    """
    if settings.distill_layers == UNIFORM:
        count = min(student.count, teacher.count)
        # -(-a // b) is the quotient, rounded up.
        return [
            (-(-k * student.count // count), -(-k * teacher.count // count))
            for k in range(1, count + 1)
        ]
    pairs = settings.layer_pairs
    flag = f"--distill_layers={settings.distill_layers}: "
    _require_there(flag, pairs[-1], student, teacher, UNIFORM)
    return pairs


def choose_attention(
    settings: DistillationSettings, student: States, teacher: States
) -> tuple[int, int]:
    """Return the layers of student and teacher, from 1, whose attention is compared.

    Args:
      settings: of the run; `distill_attention` is given.
      student: the layers of the run's encoder, as it trains.
      teacher: those of the teacher's.

    Raises:
      UserError: one of the two has no such layer.
    """
    if settings.distill_attention == LAST:
        return student.count, teacher.count
    pair = settings.attention_pair
    flag = f"--distill_attention={settings.distill_attention}: "
    _require_there(flag, pair, student, teacher, LAST)
    return pair


def _require_there(
    flag: str, pair: tuple[int, int], student: States, teacher: States, good: str
) -> None:
    """Refuse a pair of layers that one of the two lacks; `good` is a value without numbers."""
    for name, layer, count in (
        ("this encoder", pair[0], student.count),
        ("the teacher's encoder", pair[1], teacher.count),
    ):
        if layer > count:
            raise UserError(
                f"{flag}{name} has {count} layer(s), and none of number {layer}. Good: "
                f"{good}, or pairs up to {student.count}:{teacher.count}."
            )
