"""BERT weights of other programs: judged without TensorFlow, read one tensor at a time.

Two kinds of folder: Hugging Face's (config.json, safetensors, vocab.txt or tokenizer.json) and
Google's (bert_config.json, a TensorFlow checkpoint, vocab.txt). `judge` looks at one without
importing TensorFlow, so that a bad folder answers at once; `reader` reads what it found.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bert_glue_tf.models.bert import (
    foreign_checkpoint,
    foreign_config,
    foreign_huggingface,
    foreign_tokenizer,
    structure,
)
from bert_glue_tf.models.bert.architecture import Architecture
from bert_glue_tf.models.bert.foreign_config import CONFIG, TF_ACTIVATIONS, TF_CONFIG
from bert_glue_tf.models.bert.foreign_huggingface import Head, Stored
from bert_glue_tf.models.bert.foreign_tokenizer import Tokenizer
from bert_glue_tf.models.bert.network import Reader, first_weights

_SHOWN = 6  # Of a head's labels.


@dataclasses.dataclass(frozen=True)
class Foreign:
    """A folder of foreign weights that can be imported.

    Attributes:
        kind: "embedded", "huggingface" or "tf_checkpoint".
        folder: that was judged.
        model_type: "bert", "distilbert" or "electra".
        architecture: of the encoder; its word embeddings have a row for each piece.
        rows: of the word embeddings in the file, which may be more.
        tokenizer: of its vocabulary.
        origin: the file of the weights, or the prefix of the checkpoint, for messages.
        files: what decides an import's result.
        header: the tensors of a Hugging Face folder by name.
        tensors: canonical name -> name of the tensor, of a Hugging Face folder.
        new: canonical names of the weights that the folder lacks and that are drawn.
        unused_head: what the log says of a head that an encoder leaves out; empty without one.
        notes: sentences for log and record.
        warnings: sentences on what was mended, for log and record.
    """

    kind: str
    folder: Path
    model_type: str
    architecture: Architecture
    rows: int
    tokenizer: Tokenizer
    origin: str
    files: tuple[Path, ...]
    header: Mapping[str, Stored] = dataclasses.field(default_factory=dict)
    tensors: Mapping[str, str] = dataclasses.field(default_factory=dict)
    new: tuple[str, ...] = ()
    unused_head: str = ""
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def head(self) -> Head:
        """The head of a classifier of this kind."""
        return foreign_huggingface.HEADS[self.model_type]


def judge(kind: str, folder: Path) -> Foreign:
    """Judge the configuration, the tokenizer, and the names and shapes of a folder's weights.

    Args:
        kind: "embedded", "huggingface" or "tf_checkpoint".
        folder: with the weights, their configuration and the vocabulary.

    Raises:
        UserError: naming the file and what does not fit.
    """
    found = _checkpoint(folder) if kind == "tf_checkpoint" else _huggingface(kind, folder)
    if kind == "embedded":  # Its files are known to the byte.
        return found
    notes = [found.tokenizer.told()]
    if spare := found.rows - len(found.tokenizer.pieces):
        notes.append(
            f"{found.rows:,} rows of word embeddings for {len(found.tokenizer.pieces):,} pieces: "
            f"the last {spare:,}, which no piece reads, are left out"
        )
    if found.architecture.pooler_activation != "tanh":
        notes.append(
            f"the first dense layer of its classification head, {found.head.dense} "
            f"({found.head.activation}), is its pooler"
        )
    if found.new:
        notes.append("it has no pooler: a new one is drawn from the run's seed")
    if found.architecture.type_vocab_size == 1:
        notes.append("it knows one type of segment: both texts of a pair are of type 0")
    warnings = (*found.tokenizer.warnings, *found.warnings)
    return dataclasses.replace(found, notes=tuple(notes), warnings=warnings)


def reader(found: Foreign) -> Reader:
    """Return what reads the weights of a folder one at a time, by canonical name.

    Raises:
        UserError: the weights cannot be read; and the reader, where one cannot be.
    """
    pieces = found.architecture.vocab_size
    if found.kind == "tf_checkpoint":
        stored = dataclasses.replace(found.architecture, vocab_size=found.rows)
        read_all = foreign_checkpoint.reader(found.origin, stored)
        return lambda name: read_all(name)[:pieces] if name == structure.TABLE else read_all(name)
    read = foreign_huggingface.reader(found.header, found.tensors, pieces)
    shapes = found.architecture.shapes()
    drawn = {name: first_weights(name, shapes[name], seed=0) for name in found.new}
    return lambda name: drawn[name] if name in drawn else read(name)


def _huggingface(kind: str, folder: Path) -> Foreign:
    config = foreign_config.read_json(folder / CONFIG)
    model_type = str(config.get("model_type", "bert"))
    architecture = foreign_config.read_config(folder / CONFIG)
    tokenizer = foreign_tokenizer.read(folder)
    rows, added = architecture.vocab_size, foreign_tokenizer.added_tokens(folder)
    foreign_tokenizer.spare_rows(tokenizer, rows, added)
    header = foreign_huggingface.read_header(folder)
    tensors = foreign_huggingface.find_tensors(folder, header, architecture, model_type)
    new = tuple(name for name in architecture.shapes() if name not in tensors)
    if not new:
        activation = foreign_huggingface.HEADS[model_type].activation
        architecture = dataclasses.replace(architecture, pooler_activation=activation)
    weights = foreign_huggingface.files(folder)
    return Foreign(
        kind=kind,
        folder=folder,
        model_type=model_type,
        architecture=dataclasses.replace(architecture, vocab_size=len(tokenizer.pieces)),
        rows=rows,
        tokenizer=tokenizer,
        origin=str(weights[0]),
        files=(*weights, folder / CONFIG, tokenizer.source),
        header=header,
        tensors=tensors,
        new=new,
        unused_head=_unused_head(folder, header, config, model_type),
    )


def _unused_head(
    folder: Path, header: Mapping[str, Stored], config: Mapping[str, Any], model_type: str
) -> str:
    """Return a note where the folder is of a whole classifier, whose head an encoder leaves out."""
    output = f".{foreign_huggingface.HEADS[model_type].output}.weight"
    if not any(f".{name}".endswith(output) for name in header):
        return ""
    labels = list(map(str, dict(config.get("id2label") or {}).values()))
    shown = [*labels[:_SHOWN], *(["..."] if len(labels) > _SHOWN else [])]
    named = f" ({', '.join(shown)})" if shown else ""
    return (
        f"its classification head{named} is not used; this takes the whole classifier over:\n"
        f"  python -m bert_glue_tf.import_classifier --model={shlex.quote(str(folder))}"
        " --task=... --data=..."
    )


def _checkpoint(folder: Path) -> Foreign:
    architecture = foreign_config.read_config(folder / TF_CONFIG, TF_ACTIVATIONS)
    tokenizer = foreign_tokenizer.read(folder)
    rows = architecture.vocab_size
    foreign_tokenizer.spare_rows(tokenizer, rows)
    prefix = Path(foreign_checkpoint.find(folder))
    return Foreign(
        kind="tf_checkpoint",
        folder=folder,
        model_type="bert",
        architecture=dataclasses.replace(architecture, vocab_size=len(tokenizer.pieces)),
        rows=rows,
        tokenizer=tokenizer,
        origin=str(prefix),
        files=(
            *sorted(folder.glob(f"{prefix.name}.*")),
            folder / TF_CONFIG,
            tokenizer.source,
        ),
    )
