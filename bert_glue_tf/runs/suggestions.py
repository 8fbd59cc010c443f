"""The same command with what needs no network, where something cannot be reached."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from absl import flags

from bert_glue_tf.core import cli, layout
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.network import UnreachableError
from bert_glue_tf.data import file_formats, sample, tasks, tfds
from bert_glue_tf.data.settings import DataSettings
from bert_glue_tf.models import encoders, tfhub


@contextlib.contextmanager
def suggesting_local_command(
    settings: DataSettings, encoder: encoders.EncoderSource
) -> Iterator[None]:
    """Append to an `UnreachableError` the same command with what needs no network.

    Args:
      settings: of the run.
      encoder: what --encoder stands for.
    """
    try:
        yield
    except UnreachableError as error:
        replaced = {}
        note = ""
        if error.what == "encoder" or not tfhub.is_cached(encoder.encoder, encoder.preprocessing):
            replaced["encoder"] = encoders.EMBEDDED
        task = tasks.TASKS.get(settings.task)
        if task is not None and settings.data == "tfds" and not tfds.is_prepared(task):
            replaced["data"] = "sample"
            note = f" (and so does --data=/folder/with/glue, where {task.folder}/train.tsv lies)"
            if task.name not in sample.TASKS:
                replaced["data"] = "FOLDER"
                note = f" (FOLDER: where {file_formats.training_place(task)} lies)"
        raise UserError(
            f"{error}\nWithout the network, this works{note}:\n  {_command_with(replaced)}"
        ) from None


def _command_with(replaced: dict[str, str]) -> str:
    """Return the command line as given, with some flags replaced."""
    dropped = {*replaced, *(["preprocessing"] if "encoder" in replaced else [])}
    if "encoder" in replaced and flags.FLAGS["preprocessing"].value:
        # It may come from a flagfile, which stays: the encoder's own is asked for.
        replaced = {**replaced, "preprocessing": ""}
    arguments: list[str] = []
    skip_value = False
    for argument in sys.argv[1:]:
        if skip_value:
            skip_value = False
            continue
        name, equals, _ = argument.lstrip("-").partition("=")
        if argument.startswith("-") and name in dropped:
            skip_value = not equals
            continue
        arguments.append(argument)
    arguments += [f"--{name}={value}" for name, value in replaced.items()]
    return layout.joined([*cli.program(), *arguments])
