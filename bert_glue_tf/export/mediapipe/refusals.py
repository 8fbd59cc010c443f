"""Refusals of what MediaPipe's TextClassifier cannot answer, with the way that can."""

from __future__ import annotations

import pathlib

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import vocabulary
from bert_glue_tf.data.switches import WORDS, Switches
from bert_glue_tf.data.tasks import TaskSpec

CLIENT = "mediapipe"
_OTHERS = (
    "Good: the file without --client, in LiteRT or LiteRT.js with a tokenizer: "
    "docs/clients/README.md."
)
_NEEDED = ("[UNK]", "[CLS]", "[SEP]")


def require_task(task: TaskSpec) -> None:
    """Refuse a task that the client cannot answer.

    Raises:
      UserError: it takes two texts, does not ask for one of several classes, or has labels that a
        file of lines cannot hold.
    """
    task.modality.require_texts(f"--client={CLIENT}")
    refused = f"--client={CLIENT}: {task.name}"
    if len(task.text_fields) != 1:
        raise UserError(
            f"{refused} takes {len(task.text_fields)} texts ({', '.join(task.text_fields)}), and "
            f"MediaPipe's TextClassifier one. {_OTHERS}"
        )
    labels = task.problem.labels
    if not labels or not task.problem.is_right_or_wrong:
        raise UserError(
            f"{refused} asks for {task.problem.title}, and MediaPipe's TextClassifier answers one "
            f"of several classes. {_OTHERS}"
        )
    for label in labels:
        if not label.strip() or len(label.splitlines()) > 1 or label != label.strip():
            raise UserError(
                f"{refused} has the label {label!r}, and MediaPipe reads labels as lines, of which "
                "it cuts the blanks. Rename the label in the training data, and train again."
            )
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise UserError(
            f"{refused} has two labels of the name {twice!r}, which MediaPipe's answer cannot tell "
            "apart. Rename one in the training data, and train again."
        )


def require_tokenizer(switches: Switches, preprocessing: pathlib.Path) -> tuple[str, ...]:
    """Return the vocabulary of a tokenizer, if MediaPipe can read it.

    Args:
      switches: of the tokenizer.
      preprocessing: folder of its SavedModel.

    Raises:
      UserError: it cannot, or it would read other words.
    """
    if switches.kind == WORDS:
        raise UserError(
            f"--client={CLIENT}: the encoder reads whole words, and MediaPipe's tokenizer makes "
            f"word pieces. {_OTHERS}"
        )
    if not switches.lower_case:
        raise UserError(
            f"--client={CLIENT}: the encoder tells capital letters from small ones, and "
            f"MediaPipe's tokenizer makes all of ASCII small. {_OTHERS}"
        )
    pieces = vocabulary.read(preprocessing)
    for number, piece in enumerate(pieces, 1):
        if not piece or "\r" in piece:
            raise UserError(
                f"--client={CLIENT}: line {number} of the encoder's vocabulary is "
                f"{'empty' if not piece else repr(piece)}. MediaPipe leaves such lines out, and "
                f"all ids behind it would be wrong. {_OTHERS}"
            )
    missing = [token for token in _NEEDED if token not in pieces]
    if missing:
        raise UserError(
            f"--client={CLIENT}: the encoder's vocabulary has no {', '.join(missing)}, which "
            f"MediaPipe's tokenizer looks up. {_OTHERS}"
        )
    return pieces
