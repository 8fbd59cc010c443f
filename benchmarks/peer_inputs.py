"""Inputs of the comparison with other runtimes: one run's weights, sentences and logits.

Written in the project's own environment (`peers_weights.py`), read in the peers' (`peers.py`),
which has no TensorFlow. A folder of three files:

weights.safetensors  float32, under the encoder's canonical names, and classifier/kernel, /bias
examples.npz         word pieces and labels of the dev split, the Keras logits of each example,
                     word pieces of training sentences for calibration, and the dev split's as
                     files of other weights read them
inputs.json          run, task, architecture, checksum of the weights; written last
"""

from __future__ import annotations

import dataclasses
import io
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import write_atomically
from bert_glue_tf.data import tasks
from bert_glue_tf.data.preprocessing import TokenizedTexts
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.models.bert.architecture import Architecture

FOLDER = "peers"
_DESCRIPTION, _WEIGHTS, _EXAMPLES = "inputs.json", "weights.safetensors", "examples.npz"
_ALSO = "also"
_TOKENS = ("ids", "type_ids", "row_splits")


@dataclasses.dataclass(frozen=True)
class PeerInputs:
    """One fine-tuned classifier and the examples that it is compared on.

    Attributes:
      run: name of the source run's folder.
      task: that it was trained on.
      split: TFDS name of the dev split.
      encoder: its name.
      data: provenance of the dev split.
      weights_sha256: of the run's saved weights, as `export.json` has it.
      architecture: of the encoder.
      weights: float32, canonical name -> array; `classifier/kernel` [hidden, classes] and
        `classifier/bias` [classes] among them.
      dev: word pieces of the n dev examples.
      labels: [n], int32, or float32 for regression.
      keras_logits: float32 [n, classes] of the saved model.
      calibration: word pieces of training sentences.
      also: SHA-256 of a file of other weights -> word pieces of the n dev examples as it reads
        them.
    """

    run: str
    task: TaskSpec
    split: str
    encoder: str
    data: Mapping[str, Any]
    weights_sha256: str
    architecture: Architecture
    weights: Mapping[str, np.ndarray]
    dev: TokenizedTexts
    labels: np.ndarray
    keras_logits: np.ndarray
    calibration: TokenizedTexts
    also: Mapping[str, TokenizedTexts] = dataclasses.field(default_factory=dict)

    def save(self, folder: pathlib.Path) -> None:
        """Writes the folder anew.

        Raises:
          UserError: it cannot be written, or holds something else.
        """
        description = folder / _DESCRIPTION
        arrays = {"labels": self.labels, "keras_logits": self.keras_logits}
        read = {"dev": self.dev, "calibration": self.calibration}
        read |= {f"{_ALSO}_{digest}": tokens for digest, tokens in self.also.items()}
        for name, tokens in read.items():
            arrays |= {f"{name}_{part}": getattr(tokens, part) for part in _TOKENS}
        content = io.BytesIO()
        np.savez(content, allow_pickle=False, **arrays)
        try:
            if folder.is_dir() and any(folder.iterdir()) and not description.is_file():
                raise UserError(
                    f"--output={folder}: holds files, but none of this benchmark (no "
                    f"{_DESCRIPTION}). Give an empty or a new folder."
                )
            description.unlink(missing_ok=True)
            write_atomically(folder / _WEIGHTS, safetensors.save(dict(self.weights)))
            write_atomically(folder / _EXAMPLES, content.getvalue())
            write_atomically(description, json.dumps(self._description(), indent=2) + "\n")
        except OSError as error:
            raise UserError(
                f"--output={folder}: cannot be written ({error.strerror}). "
                "Give a folder that you may write, on a disk with space left."
            ) from error

    def _description(self) -> dict[str, Any]:
        return {
            "run": self.run,
            "task": self.task.name,
            "split": self.split,
            "encoder": self.encoder,
            "data": dict(self.data),
            "weights_sha256": self.weights_sha256,
            "architecture": dataclasses.asdict(self.architecture),
            "padding_id": self.dev.padding_id,
            _ALSO: {
                digest: {"padding_id": tokens.padding_id, "cut": tokens.cut}
                for digest, tokens in self.also.items()
            },
        }

    @classmethod
    def load(cls, folder: pathlib.Path) -> PeerInputs:
        """Reads what `save` wrote.

        Raises:
          UserError: the folder holds no such files, or damaged ones.
        """
        try:
            description = json.loads((folder / _DESCRIPTION).read_text(encoding="utf-8"))
            weights = safetensors.load_file(folder / _WEIGHTS)
            with np.load(folder / _EXAMPLES) as arrays:
                examples = {name: arrays[name] for name in arrays.files}

            def tokens(name: str, padding_id: int, cut: int = 0) -> TokenizedTexts:
                parts = {part: examples[f"{name}_{part}"] for part in _TOKENS}
                return TokenizedTexts(**parts, padding_id=padding_id, cut=cut)

            padding = description["padding_id"]

            return cls(
                run=description["run"],
                task=tasks.get(description["task"]),
                split=description["split"],
                encoder=description["encoder"],
                data=description["data"],
                weights_sha256=description["weights_sha256"],
                architecture=Architecture(**description["architecture"]),
                weights=weights,
                dev=tokens("dev", padding),
                labels=examples["labels"],
                keras_logits=examples["keras_logits"],
                calibration=tokens("calibration", padding),
                also={
                    digest: tokens(f"{_ALSO}_{digest}", **settings)
                    for digest, settings in description.get(_ALSO, {}).items()
                },
            )
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise UserError(
                f"{folder}: not what benchmarks/peers_weights.py writes ({error}). "
                "Give `make bench-peers RUN=...`, which begins with it."
            ) from None
