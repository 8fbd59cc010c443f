"""Files that take texts in word pieces."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bert_glue_tf.core import files, lazy
from bert_glue_tf.data import preprocessing, vocabulary
from bert_glue_tf.data.examples import Examples
from bert_glue_tf.data.preprocessing import INPUTS
from bert_glue_tf.data.switches import WORDS
from bert_glue_tf.data.task_spec import TaskSpec
from bert_glue_tf.export import golden, lengths
from bert_glue_tf.export.folder import ExportFolder
from bert_glue_tf.export.interfaces.base import Interface
from bert_glue_tf.export.record import ExportResult
from bert_glue_tf.models.quantization.recipes import QuantizationRecipe
from bert_glue_tf.runs.finished import Run

if TYPE_CHECKING:
    from bert_glue_tf.export import litert
    from bert_glue_tf.export.litert import LiteModel
else:
    litert = lazy.module("bert_glue_tf.export.litert")

_SHOWN = 24  # Ids of a golden example.


class TextInterface(Interface):
    """Files of texts: int32 word pieces, at several lengths."""

    def given_lengths(self, run: Run, given: Sequence[str]) -> tuple[int, ...]:
        return lengths.seq_lengths(list(given), run.config.seq_length) if given else ()

    def own_lengths(self, run: Run, train: Examples) -> tuple[int, ...]:
        return lengths.of_texts(run, train)

    def copy(self, source: pathlib.Path, folder: ExportFolder) -> None:
        folder.copy_tokenizer(source)

    def described(self, run: Run, folder: ExportFolder, reader: Any) -> dict[str, Any]:
        tokenizer = reader.get_layer(preprocessing.TOKENIZER).resolved_object
        switches = vocabulary.switches_of(folder.preprocessing, tokenizer)
        return {
            "texts": list(run.task.text_fields),
            "tokenizer": dataclasses.asdict(switches),
            "truncation": run.config.truncation,
            "vocabulary_sha256": files.sha256(folder.vocabulary),
        }

    def golden(
        self,
        reader: Any,
        described: Mapping[str, Any],
        model: LiteModel,
        lengths: Sequence[int],
    ) -> list[dict[str, Any]]:
        return golden.examples(reader, len(described["texts"]), model, lengths)

    def refused(self, recipe: QuantizationRecipe) -> str:
        if not recipe.is_whole:
            return ""
        return "makes files whose inputs are int8, and numbers of word pieces are larger"

    def use(self, record: ExportResult, task: TaskSpec) -> list[str]:
        signatures = ", ".join(f"`{litert.SIGNATURE.format(n)}`" for n in record.seq_lengths)
        inputs = ", ".join(f"`{name}`" for name in INPUTS)
        positions = "length, " if task.problem.tags_words else ""
        return [
            f"Signatures {signatures}: int32 `[1, length]` inputs {inputs}, float32 output "
            f"`logits` `[1, {positions}{task.problem.width}]` ({task.problem.output_text}).",
            "Take the shortest signature that holds the text: `[CLS] a [SEP]` or "
            "`[CLS] a [SEP] b [SEP]` in the word pieces of `vocab.txt`, padded with 0.",
            "",
            "```",
            f"python -m bert_glue_tf.predict --model={record.file}"
            + " --text='...'" * len(task.text_fields),
            "```",
        ]

    def reading(self, described: Mapping[str, Any]) -> str:
        return f"Tokenizer: {_tokenizer(described['tokenizer'])}."

    def golden_table(self, described: Mapping[str, Any]) -> Iterator[str]:
        yield f"| golden example | word pieces | ids | `{described['output']}` |"
        yield "|---|---|---|---|"
        for one in described["golden"]:
            yield _golden(one, described["output"])


def _tokenizer(switches: Mapping[str, Any]) -> str:
    """Return the switches of a tokenizer in words."""
    longest = (
        f"{switches['bytes_a_word']} bytes"
        if switches["characters_a_word"] is None
        else f"{switches['characters_a_word']} characters"
    )
    special = ", ".join(f"`{token}` {number}" for token, number in switches["special_ids"].items())
    if switches["kind"] == WORDS:
        return f"`{WORDS}` (docs/tokenization.md), whole words, case kept; {special}"
    return (
        f"`{switches['kind']}` (docs/tokenization.md), "
        f"{'lower case' if switches['lower_case'] else 'case kept'}, accents "
        f"{'taken off' if switches['strip_accents'] else 'kept'}, words of more than {longest} are "
        f"one `[UNK]`; {special}"
    )


def _golden(example: Mapping[str, Any], output: str) -> str:
    texts = " / ".join(_short(text, 60) for text in example["texts"]).replace("|", "\\|")
    ids: Sequence[int] = example["ids"]
    shown = ", ".join(map(str, ids[:_SHOWN])) + (", ..." if len(ids) > _SHOWN else "")
    found = example[output]
    is_of_positions = isinstance(found[0], list)
    numbers = ", ".join(f"{value:.5f}" for value in (found[1] if is_of_positions else found))
    numbers += " at the second position" if is_of_positions else ""
    return f"| {texts} | {len(ids)} at length {example['length']} | {shown} | {numbers} |"


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 4] + " ..."
