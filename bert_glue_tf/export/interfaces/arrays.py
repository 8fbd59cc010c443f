"""Files that take arrays of numbers."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bert_glue_tf.core import lazy
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.arrays import VALUES
from bert_glue_tf.data.examples import Examples
from bert_glue_tf.data.task_spec import TaskSpec
from bert_glue_tf.export.folder import ExportFolder
from bert_glue_tf.export.interfaces.base import Interface
from bert_glue_tf.export.record import ExportResult
from bert_glue_tf.models.quantization.recipes import RECIPES, QuantizationRecipe
from bert_glue_tf.runs.finished import Run

if TYPE_CHECKING:
    import numpy as np

    from bert_glue_tf.export import litert
    from bert_glue_tf.export.litert import LiteModel
else:
    np = lazy.module("numpy")  # The export command imports this module with its flags.
    litert = lazy.module("bert_glue_tf.export.litert")

# Golden arrays: value i is low + (high - low) * ((i * step) mod _MODULUS) / (_MODULUS - 1), row by
# row, which a port writes in a line. Steps that share no factor with it visit all its values.
_MODULUS, _STEPS = 251, (1, 7, 101)


class ArrayInterface(Interface):
    """Files of arrays: one input, of one shape."""

    def given_lengths(self, run: Run, given: Sequence[str]) -> tuple[int, ...]:
        if given:
            raise UserError(
                f"--seq_lengths={','.join(given)}: the files of {run.task.name} take arrays of one "
                "shape. Leave the flag out."
            )
        return (1,)

    def own_lengths(self, run: Run, train: Examples) -> tuple[int, ...]:
        del run, train
        return (1,)

    def copy(self, source: pathlib.Path, folder: ExportFolder) -> None:
        folder.copy_preprocessing(source)

    def described(self, run: Run, folder: ExportFolder, reader: Any) -> dict[str, Any]:
        del folder
        first = run.result.data["train"].get("range", (0, 255))
        return {"array": VALUES, "shape": list(reader.shape), "range": list(first)}

    def golden(
        self,
        reader: Any,
        described: Mapping[str, Any],
        model: LiteModel,
        lengths: Sequence[int],
    ) -> list[dict[str, Any]]:
        low, high = described["range"]
        found = []
        for step in _STEPS:
            example: dict[str, Any] = {"step": step, "modulus": _MODULUS, "low": low, "high": high}
            (output,) = model.predict({VALUES: array_of(example, reader.shape)[None]})
            found.append({**example, model.output: np.round(output.astype(float), 7).tolist()})
        return found

    def refused(self, recipe: QuantizationRecipe) -> str:
        return recipe.untested_on_arrays

    def use(self, record: ExportResult, task: TaskSpec) -> list[str]:
        signature = litert.SIGNATURE.format(record.seq_lengths[0])
        shape = ", ".join(map(str, record.data[next(iter(task.scored_splits.values()))]["shape"]))
        is_whole = RECIPES[record.recipe].is_whole
        kind = "int8" if is_whole else "float32"
        more = (
            [
                "A number x of the input is round(x / scale) + zero point in int8, with the scale "
                "and the zero point of the input tensor; the logits likewise.",
                f"`{record.recipe}.cc` and `{record.recipe}.h` hold the same file as a C array for "
                "TFLite Micro.",
            ]
            if is_whole
            else []
        )
        return [
            f"Signature `{signature}`: {kind} `[1, {shape}]` input `{VALUES}`, {kind} output "
            f"`logits` `[1, {task.problem.width}]` ({task.problem.output_text}).",
            "The numbers are those of the training's files: what centres and scales them is in the "
            "file.",
            *more,
            "",
            "```",
            f"python -m bert_glue_tf.predict --model={record.file} --input=FILE.npz",
            "```",
        ]

    def reading(self, described: Mapping[str, Any]) -> str:
        low, high = described["range"]
        return (
            f"An example is an array of the shape {described['shape']}, row by row; those of the "
            f"training had numbers from {low:g} to {high:g}."
        )

    def golden_table(self, described: Mapping[str, Any]) -> Iterator[str]:
        output = described["output"]
        yield f"| golden example: number i of the array | `{output}` |"
        yield "|---|---|"
        for one in described["golden"]:
            numbers = ", ".join(f"{value:.5f}" for value in one[output])
            yield (
                f"| {one['low']} + {one['high'] - one['low']} x ((i x {one['step']}) mod "
                f"{one['modulus']}) / {one['modulus'] - 1} | {numbers} |"
            )


def array_of(example: Mapping[str, Any], shape: Sequence[int]) -> np.ndarray:
    """Return the array of a golden example, float32 of a shape."""
    places = np.arange(math.prod(shape), dtype=np.int64) * int(example["step"])
    modulus = int(example["modulus"])
    share = (places % modulus) / (modulus - 1)
    low, high = float(example["low"]), float(example["high"])
    return (low + (high - low) * share).astype(np.float32).reshape(tuple(shape))
