"""Hybrids: a pruning method with others, with a teacher, or with a quantized file in mind.

The survey that this project reproduces names four of them in its outlook. One is written as its
parts with `+` between them, so that its name tells its settings:

- a pruning method: they prune one after the other, each what the ones before it have left;
- `teacher`: the run learns from the fine-tuned model that it starts from, its layers included;
- a recipe of `--quantize_aware`: the training rounds as that file does.

Source of the list: Touheed et al. 2024, "Applications of Pruning Methods in Natural Language
Processing", IEEE Access, on combinations.
"""

from __future__ import annotations

from collections.abc import Mapping

from bert_glue_tf.compression import registry
from bert_glue_tf.compression.names import NO_PRUNING
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.models.quantization.recipes import TRAINED
from bert_glue_tf.runs.settings import START, UNIFORM

TEACHER = "teacher"

# What the survey names -> its name here.
NAMED: Mapping[str, str] = {
    "structured, then magnitude": "attention_head+neuron+magnitude",
    "structured pruning and quantization": "neuron+dynamic_int8",
    "distillation and unstructured pruning": "layer+magnitude+teacher",
    "pruning, quantization and distillation in one": "magnitude+dynamic_int8+teacher",
}


def is_one(name: str) -> bool:
    """Tell whether a name has several parts."""
    return "+" in name


def methods(name: str) -> list[str]:
    """Return the pruning methods of a name, of a hybrid or of a method, in their order."""
    parts = [part.strip() for part in name.split("+")]
    return [registry.canonical(part) for part in parts if part not in (TEACHER, *TRAINED)]


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


def settings(name: str) -> dict[str, str]:
    """Return the settings of a run that a canonical name stands for, but `pruning_method`."""
    parts = name.split("+")
    found = {}
    for recipe in set(parts) & set(TRAINED):  # At most one.
        found["quantize_aware"] = recipe
    if TEACHER in parts:
        found |= {"teacher": START, "distill_layers": UNIFORM}
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
