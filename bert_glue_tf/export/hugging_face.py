"""A finished run to a folder that Hugging Face's transformers loads.

config.json            sizes, labels by their ids, kind of problem; and which run it is of
model.safetensors      the weights, float32; zeros are kept
vocab.txt, tokenizer.json, tokenizer_config.json
README.md              the model card
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
from typing import Any

from absl import logging

from bert_glue_tf import __version__
from bert_glue_tf.core import files, strict_json
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.progress import doing
from bert_glue_tf.data import problems
from bert_glue_tf.data.problems import Problem
from bert_glue_tf.export.settings import weights_sha256
from bert_glue_tf.models.foreign_heads import PROBLEM_TYPES
from bert_glue_tf.runs.finished import Run

FOLDER = "hugging_face"
CONFIG = "config.json"
WEIGHTS = "model.safetensors"
# Under this key config.json says which run it is of; transformers leaves it alone.
_OWN = "bert_glue_tf"


def export(path: pathlib.Path, output: pathlib.Path | None = None) -> pathlib.Path:
    """Write a finished run as a Hugging Face folder, and return the folder.

    A folder that holds this run already is left as it is.

    Args:
      path: folder of the run.
      output: folder to write; by default hugging_face/ in the run.

    Raises:
      UserError: the folder holds no finished run, its classifier cannot be said in that form, or
        the folder to write holds something else.
    """
    run = Run.read(path)
    if run.task.problem.tags_words:
        raise UserError(
            f"{path}: tags words, and a Hugging Face folder is written of classifiers of texts "
            "alone. Good: a .tflite file (python -m bert_glue_tf.export_tflite)."
        )
    folder = output or path / FOLDER
    of_run = {"run": run.path.resolve().name, "weights_sha256": weights_sha256(run)}
    if _is_there(folder, of_run):
        logging.info("%s: holds this run already", folder)
        return folder
    with doing("starting TensorFlow"):
        from bert_glue_tf.data import preprocessing, vocabulary
        from bert_glue_tf.export import hugging_face_card, hugging_face_tokenizer
        from bert_glue_tf.models import saving
    family = saving.family_of(run.folder.model)
    foreign = family.to_hugging_face(run.folder.model, run.config.dropout)
    tokenizer = run.folder.model / "preprocessing"
    loaded = preprocessing.load(str(tokenizer), str(tokenizer))
    switches = vocabulary.switches_of(tokenizer, loaded.tokenize)
    config = {
        **foreign.config,
        **labels(run.task.problem),
        "pad_token_id": switches.special_ids["[PAD]"],
        "dtype": "float32",
        _OWN: {"version": __version__, **of_run},
    }
    has_types = bool(foreign.config.get("type_vocab_size"))
    text_files = hugging_face_tokenizer.files(
        vocabulary.read(tokenizer),
        switches,
        run.config.seq_length,
        run.config.truncation,
        has_types,
    )
    notes = [*foreign.notes, *hugging_face_tokenizer.notes(switches, run.config.truncation)]
    text_files["README.md"] = hugging_face_card.card(run, foreign, [*notes, _zeros(run)])
    text_files[CONFIG] = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    with doing(f"writing {folder}"):
        _write(folder, text_files, foreign.tensors)
    return folder


def labels(problem: Problem) -> dict[str, Any]:
    """Return what config.json says of a task: its labels and the kind of its answers."""
    names = problem.labels or [f"LABEL_{number}" for number in range(problem.width)]
    return {
        "id2label": {str(number): name for number, name in enumerate(names)},
        "label2id": {name: number for number, name in enumerate(names)},
        "problem_type": PROBLEM_TYPES[problems.to_json(problem)["kind"]],
        "num_labels": problem.width,
    }


def _zeros(run: Run) -> str:
    parameters = run.result.parameters
    zeros = parameters["total"] - parameters["nonzero"]
    return (
        f"{zeros:,} of the {parameters['total']:,} weights are zero, and are stored and computed "
        "like all others."
    )


def _is_there(folder: pathlib.Path, of_run: dict[str, str]) -> bool:
    """Tell if a folder holds a run already.

    Raises:
      UserError: it holds something else, or is no folder.
    """
    try:
        if not folder.exists() or not any(folder.iterdir()):
            return False
        found = strict_json.loads((folder / CONFIG).read_text(encoding="utf-8"))[_OWN]
        if all(found[key] == value for key, value in of_run.items()):
            return True
        held = f"holds the run {found['run']}, or other weights of it"
    except NotADirectoryError:
        held = "is no folder"
    except (OSError, ValueError, LookupError, TypeError):
        held = "holds something else"
    raise UserError(
        f"--output={folder}: {held}. Give the name of a new folder, or delete this one."
    )


def _write(folder: pathlib.Path, texts: dict[str, str], tensors: Any) -> None:
    """Write the folder as a whole.

    Raises:
      UserError: it cannot be written.
    """
    from safetensors.numpy import save_file

    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        temporary.mkdir(parents=True)
        for name, text in texts.items():
            files.write_atomically(temporary / name, text)
        # Transformers loads no file that does not say this.
        save_file(dict(tensors), temporary / WEIGHTS, metadata={"format": "pt"})
        (temporary / WEIGHTS).chmod(0o644)  # It comes readable by its owner alone.
        if folder.exists():
            folder.rmdir()  # It is empty.
        os.replace(temporary, folder)
    except OSError as error:
        raise UserError(
            f"--output={folder}: cannot be written ({files.reason(error)}). Give a folder that you "
            "may write, on a disk with space left."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
