"""A folder of word vectors and the design of a network over them -> a pair of SavedModels.

text_cnn.json   {"design": "de_cnn"}; or "layers" and "dropouts" of a network of one's own, and
                "tables", the names of the vectors that it reads. `licence` and `source` are told.
vocab.txt       one word a line; the first four are [PAD], [UNK], [CLS] and [SEP]
vectors.npz     float [words, width] for each table by its name, a row for each line of vocab.txt
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bert_glue_tf.core import strict_json
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.whole_words import SPECIAL_TOKENS
from bert_glue_tf.models import imported
from bert_glue_tf.models.imported import sha256
from bert_glue_tf.models.text_cnn.architecture import DESIGNS, Architecture, table_of

DESIGN, VOCABULARY, VECTORS = FILES = "text_cnn.json", "vocab.txt", "vectors.npz"
_REMEDY = "python -m bert_glue_tf.make_encoder writes such a folder"


@dataclasses.dataclass(frozen=True)
class Folder:
    """A folder of word vectors, read.

    Attributes:
      architecture: of the network over them.
      words: of the vocabulary.
      tables: name of a weight -> float32 [words, width].
      said: what text_cnn.json says.
    """

    architecture: Architecture
    words: tuple[str, ...]
    tables: Mapping[str, np.ndarray]
    said: Mapping[str, Any]


def read(folder: pathlib.Path) -> Folder:
    """Read a folder of word vectors.

    Raises:
      UserError: a file is missing or damaged, or two of them do not fit.
    """
    said = _design(folder / DESIGN)
    words = _words(folder / VOCABULARY)
    found = _vectors(folder / VECTORS)
    design = DESIGNS.get(str(said.get("design", "")))
    names = said.get("tables", design.tables if design else tuple(found))
    for name in names:
        if name not in found:
            raise UserError(
                f"{folder / VECTORS}: has no vectors called {name}, which {folder / DESIGN} reads "
                f"(it has {', '.join(sorted(found)) or 'none'}). {_REMEDY}."
            )
        if found[name].ndim != 2 or len(found[name]) != len(words):
            raise UserError(
                f"{folder / VECTORS}: {name} has the shape {list(found[name].shape)}, which does "
                f"not fit the {len(words):,} words of {folder / VOCABULARY}: a row for each word "
                "is needed."
            )
        if not np.isfinite(found[name]).all():
            raise UserError(f"{folder / VECTORS}: {name} has numbers that are not finite.")
    try:
        architecture = Architecture(
            rows=len(words),
            tables=tuple((name, found[name].shape[1]) for name in names),
            layers=design.layers if design else said["layers"],
            dropouts=said.get("dropouts", design.dropouts if design else ()),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{folder / DESIGN}: describes no network: {error}. Good: a design "
            f"({', '.join(DESIGNS)}), or layers and dropouts."
        ) from None
    tables = {table_of(name): np.asarray(found[name], np.float32) for name in names}
    return Folder(architecture, words, tables, said)


def _design(path: pathlib.Path) -> Mapping[str, Any]:
    try:
        said = strict_json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as JSON: {error}. {_REMEDY}.") from None
    if not isinstance(said, dict) or ("design" in said and said["design"] not in DESIGNS):
        raise UserError(
            f"{path}: names no design that is known. Good: {', '.join(DESIGNS)}; or layers and "
            "dropouts instead of it."
        )
    return said


def _words(path: pathlib.Path) -> tuple[str, ...]:
    try:
        words = tuple(path.read_bytes().decode("utf-8").removesuffix("\n").split("\n"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as UTF-8 text: {error}. {_REMEDY}.") from None
    if words[: len(SPECIAL_TOKENS)] != SPECIAL_TOKENS:
        raise UserError(
            f"{path}: begins with {', '.join(words[:4])}; the first lines have to be "
            f"{', '.join(SPECIAL_TOKENS)}."
        )
    twice = len(words) - len(set(words))
    if twice:
        raise UserError(f"{path}: {twice} of its {len(words):,} words stand there more than once.")
    return words


def _vectors(path: pathlib.Path) -> Mapping[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}). {_REMEDY}.") from None
    except (ValueError, EOFError, zipfile.BadZipFile):
        raise UserError(f"{path}: is no .npz file with arrays of numbers. {_REMEDY}.") from None


def import_pair(name: str, folder: pathlib.Path, licence: str = "") -> pathlib.Path:
    """Import a folder of word vectors once; later calls find the finished pair.

    Args:
      name: what the pair is called in the cache.
      folder: of `read`.
      licence: of the vectors, for the record; by default what text_cnn.json says.

    Raises:
      UserError: as `read`, or a cache that cannot be written.
    """
    found = read(folder)
    digests = {file: sha256(folder / file) for file in FILES}
    kernels = [name for name in found.architecture.shapes() if name not in found.tables]
    return imported.import_pair(
        name,
        {"kind": "text_cnn", "files": digests},
        {
            "kind": "text_cnn",
            "source": str(folder),
            "sha256": digests,
            "licence": licence or str(found.said.get("licence", "")),
            "architecture": dataclasses.asdict(found.architecture),
            # A run draws them by its seed.
            "new_weights": kernels,
        },
        lambda target: _write_pair(target, found),
    )


def _write_pair(folder: pathlib.Path, found: Folder) -> Mapping[str, Any]:
    import tensorflow as tf

    from bert_glue_tf.data import whole_words
    from bert_glue_tf.models.published_form import write_encoder
    from bert_glue_tf.models.text_cnn import layer

    shapes = found.architecture.shapes()
    encoder = layer.build(
        found.architecture,
        lambda name: (
            found.tables[name] if name in found.tables else layer.first_weights(name, shapes, 0)
        ),
    )
    try:
        write_encoder(encoder, folder / "encoder")
        with tempfile.TemporaryDirectory() as temporary:
            vocabulary = pathlib.Path(temporary) / VOCABULARY
            vocabulary.write_bytes("".join(f"{word}\n" for word in found.words).encode())
            whole_words.write_preprocessing(vocabulary, folder / "preprocessing")
    except tf.errors.OpError as error:  # TensorFlow's own word for a full disk
        raise OSError(0, str(error.message).splitlines()[0]) from error
    return {}


def write(
    folder: pathlib.Path,
    design: str,
    words: Sequence[str],
    vectors: Mapping[str, np.ndarray],
    about: Mapping[str, str],
) -> None:
    """Write a folder of word vectors, which must not be there yet, as a whole.

    Args:
      folder: to write to.
      design: one of `DESIGNS`.
      words: n words, without special tokens.
      vectors: name of a table -> float [n, width], in the words' order; the special tokens' vectors
        are zero.
      about: what text_cnn.json says besides.

    Raises:
      UserError: the folder is there already or cannot be written, or the design reads other tables.
    """
    missing = [name for name in DESIGNS[design].tables if name not in vectors]
    if missing:
        raise UserError(
            f"--design={design}: also reads {' and '.join(missing)} vectors. Those of a domain are "
            "learned from its training texts: add --task and --data."
        )
    if folder.exists():
        raise UserError(f"{folder}: is there already. Give a new folder.")
    padding = ((len(SPECIAL_TOKENS), 0), (0, 0))
    tables = {
        name: np.pad(np.asarray(vectors[name], np.float32), padding)
        for name in DESIGNS[design].tables
    }
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            target = pathlib.Path(temporary) / "written"
            target.mkdir()
            text = json.dumps({"design": design, **about}, indent=1) + "\n"
            (target / DESIGN).write_text(text, encoding="utf-8")
            listed = "".join(f"{word}\n" for word in (*SPECIAL_TOKENS, *words))
            (target / VOCABULARY).write_bytes(listed.encode())
            np.savez_compressed(target / VECTORS, **tables)  # type: ignore[arg-type]
            read(target)  # Before it gets its name.
            os.replace(target, folder)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror}).") from None
