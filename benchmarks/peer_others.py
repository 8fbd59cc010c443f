"""Files of other weights than the run's, timed beside its peers: a compressed network, say.

Each reads the run's dev examples by the tokenizer that lies beside it (`peers_weights.py` asks
TensorFlow for that), so that one of a smaller vocabulary has its own word pieces, and is cut and
padded to its own lengths as `predict` does it.
"""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from peer import ALSO, Peer

from bert_glue_tf.core import files, strict_json
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.preprocessing import TokenizedTexts
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.export import litert
from bert_glue_tf.export.folder import ExportFolder
from bert_glue_tf.export.litert import LiteModel

if TYPE_CHECKING:
    from peer_inputs import PeerInputs

HELP = (
    "File of other weights, or a folder with an export of them, that is scored and timed in the "
    "same turns, by its own tokenizer; may be repeated."
)


def paths(given: Sequence[str]) -> list[pathlib.Path]:
    """Return the files that --also names, those of a folder in their alphabetical order.

    Raises:
      UserError: one is not there, or is a folder without a whole file and its record.
    """
    found: list[pathlib.Path] = []
    for value in given:
        path = pathlib.Path(value).expanduser()
        if path.is_dir():
            folder = ExportFolder(path)
            here = sorted(folder.model(recipe) for recipe in folder.records())
            if not here:
                raise UserError(
                    f"--also={value}: holds no whole .tflite file with its record. Give a file, or "
                    "the folder that export_tflite or compress wrote it to."
                )
            found += here
        elif path.is_file():
            found.append(path)
        else:
            raise UserError(f"--also={value}: no such file or folder.")
    return list(dict.fromkeys(found))


def tokens(path: pathlib.Path, task: TaskSpec, texts: Sequence[Sequence[str]]) -> TokenizedTexts:
    """Return the word pieces of texts as a file reads them; needs TensorFlow.

    Args:
      path: of the file.
      task: that the texts are of.
      texts: a list for each of its text fields.

    Raises:
      UserError: it is no file of an export, or of another task.
    """
    from bert_glue_tf.serving.classifier import Classifier

    classifier = Classifier.load(path)
    if classifier.task.name != task.name:
        raise UserError(
            f"--also={path}: answers {classifier.task.name}, and the run {task.name}. Give files "
            "of the same task."
        )
    found = task.modality.encode(classifier.preprocessor, tuple(texts))
    assert isinstance(found, TokenizedTexts)  # The peers' tasks are of texts.
    return found


def peers(some: Sequence[pathlib.Path], inputs: PeerInputs, threads: int) -> list[Peer]:
    """Return the files as peers.

    Args:
      some: of `paths`.
      inputs: whose `also` has the word pieces of each.
      threads: of LiteRT.

    Raises:
      UserError: a file is not among those of the inputs, or cannot be run.
    """
    return [_peer(number, path, inputs, threads) for number, path in enumerate(some, start=1)]


def _peer(number: int, path: pathlib.Path, inputs: PeerInputs, threads: int) -> Peer:
    digest = files.sha256(path)
    if digest not in inputs.also:
        raise UserError(
            f"--also={path}: the dev examples were not read by its tokenizer yet. Give "
            f"benchmarks/peers_weights.py the same --also, or `make bench-peers RUN=... "
            f"ALSO={path}`, which begins with it."
        )
    model = LiteModel.load(path, threads)
    return Peer(
        ALSO,
        path.stem,
        path.stat().st_size,
        functools.partial(litert.logits, inputs.task.problem, model),
        model.lengths,
        tokens=inputs.also[digest],
        other={
            "number": number,
            "run": _run_of(path),
            "file": path.name,
            "sha256": digest,
            "lengths": list(model.lengths),
        },
    )


def _run_of(path: pathlib.Path) -> str:
    """Return the name of the run that a file was exported from; empty where nothing says it."""
    try:
        settings = strict_json.loads(ExportFolder(path.parent).settings_file.read_text("utf-8"))
        return str(settings["run"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""


def logits(peer: Peer, chosen: np.ndarray) -> np.ndarray:
    """Return the answers to some dev examples, float32 [chosen, classes].

    Each is padded to the shortest length of the file that holds it.
    """
    assert peer.tokens is not None
    return np.concatenate(list(_answers(peer, peer.tokens, chosen)))


def _answers(peer: Peer, read: TokenizedTexts, chosen: np.ndarray) -> Iterator[np.ndarray]:
    for i in chosen:
        yield peer.predict(read.batch([i], peer.padded_length(int(read.lengths[i]))))
