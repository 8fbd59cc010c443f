"""Hybrids: rows of a survey that combine methods, a quantized file and a teacher.

The survey that this project reproduces names four of them in its outlook. One is written as its
parts with `+` between them, so that its name tells its settings:

- a pruning method: they prune one after the other, each what the ones before it have left;
- `teacher`: the run learns from the fine-tuned model that it starts from, its layers included
  where the encoder shows them and the texts as a whole have answers;
- a recipe of `--quantize_aware`: the training rounds as that file does, where the encoder can;
  elsewhere it is the recipe of the row's own file, which is made after the training.

Source of the list: Touheed et al. 2024, "Applications of Pruning Methods in Natural Language
Processing", IEEE Access, on combinations.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

from bert_glue_tf.compression import registry
from bert_glue_tf.compression.names import NO_PRUNING
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.models.quantization.recipes import TRAINED
from bert_glue_tf.runs.settings import START, UNIFORM

TEACHER = "teacher"
_LAYERS, _ROUNDING = "states", "quantization"  # Capabilities of encoders.


@dataclasses.dataclass(frozen=True)
class Offer:
    """Hold what an encoder and a problem offer to the rows of a survey.

    Attributes:
      why_not: capability of an encoder (`models.parts.CAPABILITIES`) -> why it lacks it; empty
        where it may have it.
      tags_words: tells whether each word has an answer; a teacher's layers are not learned then.
        It is asked where there is a teacher only, since the user's own data are read for it.
    """

    why_not: Callable[[str], str]
    tags_words: Callable[[], bool]

    def lacks(self, methods: Sequence[str], also: Sequence[str] = ()) -> str:
        """Return why methods cannot be carried; empty where they may be.

        Args:
          methods: names of pruning methods.
          also: further capabilities that are needed.
        """
        needed = [one for name in methods for one in registry.get(name).needs]
        return next(filter(None, map(self.why_not, [*needed, *also])), "")


@dataclasses.dataclass(frozen=True)
class Combination:
    """A combination that the survey names.

    Attributes:
      words: its own.
      names: of hybrids that are one, of which the first that an encoder can carry is run.
      needs: capabilities that the combination takes besides those of its methods.
    """

    words: str
    names: tuple[str, ...]
    needs: tuple[str, ...] = ()


# A CNN's filters are what heads and neurons are to a BERT. It is rounded after its training only,
# so that nothing of it is pruned, rounded and taught in one training.
COMBINATIONS = (
    Combination(
        "structured, then magnitude", ("attention_head+neuron+magnitude", "filter+magnitude")
    ),
    Combination("filter pruning and quantization", ("neuron+dynamic_int8", "filter+int8")),
    Combination(
        "distillation, then unstructured pruning", ("layer+magnitude+teacher", "magnitude+teacher")
    ),
    Combination(
        "pruning + quantization + distillation in one network (PQK)",
        ("magnitude+dynamic_int8+teacher",),
        needs=(_ROUNDING,),
    ),
)


def named(offer: Offer) -> Iterator[tuple[str, str]]:
    """Yield each combination that the survey names: a name, and why it is left out.

    Args:
      offer: of the encoder and the problem.

    Yields:
      The name of the hybrid that is run, with an empty text; or that of the first one there is,
      with the reason why it cannot be.
    """
    for one in COMBINATIONS:
        reasons = [offer.lacks(methods(name), one.needs) for name in one.names]
        found = next((name for name, why in zip(one.names, reasons, strict=True) if not why), None)
        yield (found, "") if found else (one.names[0], reasons[0])


def words_of(name: str) -> str:
    """Return the survey's words for a hybrid; empty where it names none like it."""
    return next((one.words for one in COMBINATIONS if name in one.names), "")


def is_one(name: str) -> bool:
    """Tell whether a name has several parts."""
    return "+" in name


def methods(name: str) -> list[str]:
    """Return the pruning methods of a name, of a hybrid or of a method, in their order."""
    parts = [part.strip() for part in name.split("+")]
    return [registry.canonical(part) for part in parts if part not in (TEACHER, *TRAINED)]


def recipe(name: str) -> str:
    """Return the recipe of a row's own file, by its canonical name; empty where it has none."""
    return next((part for part in name.split("+") if part in TRAINED), "")


def canonical(name: str) -> str:
    """Return a name in which each method has its own name; recipes and the teacher stand last.

    Raises:
      UserError: it has no pruning method, an unknown part, one twice, or two recipes.
    """
    parts = [part.strip() for part in name.split("+")]
    found = methods(name)
    unknown = [one for one in found if not registry.is_known(one) or one == NO_PRUNING]
    if unknown:
        raise UserError(
            f"--methods={name}: {unknown[0]!r} is no part of a hybrid. Good parts: "
            f"{', '.join(registry.names()[1:])}; {TEACHER}; {', '.join(TRAINED)}."
        )
    recipes = [part for part in parts if part in TRAINED]
    if not found:
        raise UserError(f"--methods={name}: has no pruning method. Good: magnitude+{name}.")
    if len(recipes) > 1:
        raise UserError(
            f"--methods={name}: a training rounds as one file does. Good: "
            f"{'+'.join(part for part in parts if part not in recipes[1:])}."
        )
    if len(set(parts)) < len(parts) or len(set(found)) < len(found):
        raise UserError(f"--methods={name}: a part is named twice. Name it once.")
    return "+".join([*found, *recipes, *([TEACHER] if TEACHER in parts else [])])


def settings(name: str, offer: Offer) -> dict[str, str]:
    """Return the settings of a run that a canonical name stands for, but `pruning_method`.

    Args:
      name: of a hybrid or a method.
      offer: of the encoder and the problem.
    """
    found = {}
    if recipe(name) and not offer.why_not(_ROUNDING):
        found["quantize_aware"] = recipe(name)
    if TEACHER in name.split("+"):
        found["teacher"] = START
        if not offer.why_not(_LAYERS) and not offer.tags_words():
            found["distill_layers"] = UNIFORM
    return found


def require_start(names: list[str], finetune_epochs: int) -> None:
    """Refuse hybrids with a teacher where nothing is fine-tuned that could be one.

    Raises:
      UserError: names the first of them.
    """
    taught = [name for name in names if TEACHER in name.split("+")]
    if taught and not finetune_epochs:
        raise UserError(
            f"--methods={taught[0]} --finetune_epochs={finetune_epochs}: its teacher is the model "
            "that is fine-tuned first. Add --finetune_epochs=3, or choose others by --methods."
        )
