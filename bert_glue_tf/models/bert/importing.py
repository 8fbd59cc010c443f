"""Import of an encoder, once: foreign weights -> BERT of ours -> a pair of SavedModels.

`imported` keeps the pairs.
"""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

from bert_glue_tf.core import memory
from bert_glue_tf.models import imported
from bert_glue_tf.models.bert import foreign_weights
from bert_glue_tf.models.bert.architecture import Architecture
from bert_glue_tf.models.bert.foreign_tokenizer import VOCABULARY
from bert_glue_tf.models.bert.foreign_weights import Foreign
from bert_glue_tf.models.bert.network import build_encoder
from bert_glue_tf.models.imported import sha256
from bert_glue_tf.models.published_form import write_encoder


def import_pair(name: str, kind: str, folder: Path, licence: str = "") -> Path:
    """Import a folder of weights once; later calls find the finished pair.

    Args:
        name: what the pair is called in the cache (letters, digits, `_`, `-`, `.`).
        kind: "embedded", "huggingface" or "tf_checkpoint".
        folder: holds the weights, the configuration and vocab.txt.
        licence: of the weights, for the record.

    Returns:
        The folder of the pair, as `imported.import_pair` returns it.

    Raises:
        UserError: weights that do not fit, or a cache that cannot be written.
    """
    found = foreign_weights.judge(kind, folder)
    tokenizer = found.tokenizer
    digests = {path.name: sha256(path) for path in found.files}
    decides = {"kind": kind, "lower_case": tokenizer.lower_case, "files": digests}
    if tokenizer.strip_accents != tokenizer.lower_case:
        decides["strip_accents"] = tokenizer.strip_accents
    if found.architecture.pooler_activation != "tanh":
        decides["pooler"] = found.architecture.pooler_activation
    about = {"kind": kind, "source": str(folder), "sha256": digests, "licence": licence}
    told = {"new_weights": found.new, "notes": found.notes, "warnings": found.warnings}
    return imported.import_pair(
        name,
        decides,
        {
            **about,
            "unused_head": found.unused_head,
            **{key: list(values) for key, values in told.items() if values},
        },
        lambda target: {"architecture": dataclasses.asdict(_write_pair(target, found))},
    )


def _write_pair(folder: Path, found: Foreign) -> Architecture:
    import tensorflow as tf

    from bert_glue_tf.data import wordpiece

    read = foreign_weights.reader(found)
    encoder = build_encoder(found.architecture, read, found.origin)
    tokenizer = found.tokenizer
    size = 4 * encoder.count_params()
    try:
        write_encoder(encoder, folder / "encoder")
        del encoder
        memory.collect(size)  # It is loaded from there again.
        with tempfile.TemporaryDirectory() as temporary:
            # As it was read: the folder's own may have other line ends.
            vocabulary = Path(temporary) / VOCABULARY
            vocabulary.write_bytes("".join(f"{piece}\n" for piece in tokenizer.pieces).encode())
            wordpiece.write_preprocessing(
                vocabulary,
                folder / "preprocessing",
                tokenizer.lower_case,
                strip_accents=tokenizer.strip_accents,
            )
    except tf.errors.OpError as error:  # TensorFlow's own word for a full disk
        raise OSError(0, str(error.message).splitlines()[0]) from error
    return found.architecture
