"""Program: the share of one process in a labelling, a part after the other.

A part that cannot be labelled is noted, and the others go on.
"""

from __future__ import annotations

import dataclasses
import pathlib

from absl import flags, logging

from bert_glue_tf.core import cli, strict_json
from bert_glue_tf.core.errors import UserError, reason_of
from bert_glue_tf.core.files import reason
from bert_glue_tf.labelling.folder import LabelFolder, State
from bert_glue_tf.labelling.plan import LabelSettings, Part, digest_of
from bert_glue_tf.serving.classifier import Classifier
from bert_glue_tf.serving.parts import labelled

FLAG = "share"


def read(path: pathlib.Path) -> tuple[LabelFolder, LabelSettings, list[Part], int]:
    """Return a share: its folder, settings, parts, and the threads of its model.

    Raises:
      UserError: the file cannot be read.
    """
    try:
        values = strict_json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"--{FLAG}={path}: cannot be read ({error}).") from None
    settings = values["settings"]
    return (
        LabelFolder(pathlib.Path(values["folder"])),
        LabelSettings(**{**settings, "text_columns": tuple(settings["text_columns"])}),
        [Part(**part) for part in values["parts"]],
        values["threads"],
    )


def main() -> None:
    """Label what is not labelled yet of a share."""
    folder, settings, parts, threads = read(cli.path(FLAG, flags.FLAGS[FLAG].value))
    found = digest_of(pathlib.Path(settings.model))
    if found != settings.digest:
        raise UserError(
            f"--model={settings.model}: was changed since the labelling began, or is another one "
            f"here (SHA-256 {found[:12]}..., and not {settings.digest[:12]}...)."
        )
    classifier = Classifier.load(settings.model, threads)
    if settings.at:
        classifier = classifier.at(settings.at)
    classifier.load_tokenizer()  # So that no part's time has it.
    for part in parts:
        if folder.state(part) is None:
            _label(classifier, folder, settings, part)
    classifier.tell_cut()


def _label(
    classifier: Classifier, folder: LabelFolder, settings: LabelSettings, part: Part
) -> None:
    """Label one part, or note why it cannot be."""
    source, target = pathlib.Path(part.source), folder.target(part)
    seen = (part.size, part.changed)
    try:
        done = labelled.label(classifier, source, target, settings.text_columns)
    except UserError as error:
        logging.error("%s", error)
        folder.keep(part, State(seen, str(error)))
        return
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({reason(error)}).") from error
    except Exception as error:  # A defect of ours, for which no other part has to wait.
        logging.exception("%s", source)
        folder.keep(part, State(seen, f"{source}: a defect ({reason_of(error)})"))
        return
    folder.keep(part, State(seen, size=target.stat().st_size, **dataclasses.asdict(done)))
    logging.info("%s: %d rows, %.0f s", part.name, done.rows, done.seconds)


def command() -> None:
    """Run the program, as `task_process` calls it."""
    flags.DEFINE_string(FLAG, "", "File with the share.")
    cli.run(main, __doc__, "with the parts that are not labelled")
