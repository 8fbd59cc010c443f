"""Command: local against global ranking over a range of sparsities, and where the zeros are.

python -m bert_glue_tf.reproduce_local_global --data=/folder/with/absa --models=conv4,de_cnn_laptop

Without --models all models of the study are run; --tasks runs one encoder on classification tasks
instead.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags

from bert_glue_tf.core import cli
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.studies import arguments

if TYPE_CHECKING:
    from bert_glue_tf.studies.local_global_grids import Grid
    from bert_glue_tf.studies.local_global_models import Studied, Vectors

# The study prunes the embeddings too.
arguments.define_flags(
    "local_global",
    seeds=(),
    seeds_help="Seeds, separated by commas; tables show mean and range. By default 1, 2, 3; and 1 "
    "of the study's BERTs.",
    pruning_scope="all",
    pruning_schedule="gradual",
)
_MODELS = flags.DEFINE_list(
    "models",
    [],
    "The study's models: conv4, conv6, de_cnn_laptop, de_cnn_restaurant, bert_linear, bert_crf, "
    "bert_tfm, bert_gru, bert_san; by default all. Flags of the training that are given go before "
    "the study's recipe; --encoder, --preprocessing and --encoder_dropout are the BERTs'.",
)
_WAYS = flags.DEFINE_list(
    "ways",
    ["equal", "regrown"],
    "How the rankings of --models are compared: equal = of equal sparsity, masks kept; regrown = "
    "as the authors' code does it, by its shares, weights growing back after each epoch.",
)
_TASKS = flags.DEFINE_list(
    "tasks", [], "Classification tasks in place of --models: rest16, laptop14, rest14, or GLUE's."
)
_SPARSITIES = flags.DEFINE_list(
    "sparsities", [f"0.{tenth}" for tenth in range(1, 10)], "Sparsities, separated by commas."
)
_VECTORS = flags.DEFINE_string(
    "vectors",
    "embeddings/de_cnn_gen_emb.npz",
    "Word vectors of the CNNs' encoders, as of make_encoder; below --data unless it is a path.",
)
_WORDS = flags.DEFINE_string("words", "de_cnn/word_idx.json", "Names of their rows, as --vectors.")
_TABLE = flags.DEFINE_string("table", "spacy_md_300d", "Of an .npz file: which of its arrays.")
_ENCODERS = flags.DEFINE_string(
    "encoders",
    "",
    "Folder of the CNNs' encoders, one below it for each of --models, which is made where it is "
    "not there, before --dry_run too; by default encoders/ in --runs_dir.",
)


# Flags that the study's models alone have, and those that say what their encoders are made of.
_MADE_OF = ("vectors", "words", "table")
_OF_MODELS = ("models", "ways", "encoders", *_MADE_OF)


def main() -> None:
    from bert_glue_tf.studies.local_global import LocalGlobal

    study = LocalGlobal(_of_tasks() if _TASKS.present else _of_models())
    study.made_by = arguments.command_line("reproduce_local_global")
    arguments.run(study)
    arguments.present(study, "local_global.md, tables and figures")


def _of_tasks() -> list[Grid]:
    from bert_glue_tf.studies import local_global_grids

    given = _told(_OF_MODELS)
    if given:
        raise UserError(
            f"{given} --tasks={','.join(_TASKS.value)}: the study's models have tasks, encoders "
            f"and ways of their own, and --tasks has one encoder. Leave {given} out, or --tasks."
        )
    return local_global_grids.of_tasks(
        list(dict.fromkeys(_TASKS.value)),
        arguments.settings("pruning_scope", "pruning_schedule"),
        local_global_grids.sparsities(_SPARSITIES.value),
        _seeds() or (1, 2, 3),
    )


def _of_models() -> list[Grid]:
    from bert_glue_tf.studies import local_global_grids, local_global_models

    models = local_global_models.chosen(_MODELS.value)
    at, seeds = local_global_grids.sparsities(_SPARSITIES.value), _seeds()
    ways = local_global_models.ways(_WAYS.value)
    for name in ("pruning_scope", "pruning_schedule"):
        if flags.FLAGS[name].present:
            raise UserError(
                f"--{name}={flags.FLAGS[name].value}: the study prunes its models along schedules "
                f"of its own, the embeddings too. Leave --{name} out, or give --tasks."
            )
    given = {"data": flags.FLAGS["data"].value, **arguments.given_settings()}
    grids = []
    for one in models:
        encoder = _folder(one) if one.design else flags.FLAGS["encoder"].value
        own = {**given, "encoder": str(encoder)}
        grids += local_global_models.grids(one, own, at, seeds, ways)
    for one in models:  # Now that all settings fit.
        if one.design:
            _make(one)
    return grids


def _folder(one: Studied) -> pathlib.Path:
    """Return the folder of a CNN's encoder, which may not be there yet."""
    named = cli.path("encoders", _ENCODERS.value) if _ENCODERS.value else None
    return (named or arguments.folder("runs_dir") / "encoders").absolute() / one.name


def _make(one: Studied) -> None:
    """Make the encoder of a CNN where it is not there; one that is there has to be the same."""
    folder, given = _folder(one), _told(_MADE_OF)
    if not folder.exists():
        _vectors().write(one, folder)
    elif given:
        _vectors().require_same(folder, given)


def _vectors() -> Vectors:
    from bert_glue_tf.studies.local_global_models import Vectors

    vectors = _below("vectors")
    of_array = vectors.suffix == ".npz"  # A text file names its rows itself.
    words = _below("words") if of_array or flags.FLAGS["words"].present else None
    table = _TABLE.value if of_array or flags.FLAGS["table"].present else ""
    return Vectors(arguments.folder("data"), vectors, words, table)


def _told(names: Sequence[str]) -> str:
    """Return the flags among these that are given, as they were given."""
    return " ".join(flags.FLAGS[name].serialize() for name in names if flags.FLAGS[name].present)


def _seeds() -> tuple[int, ...]:
    return arguments.numbers("seeds") if flags.FLAGS["seeds"].value else ()


def _below(flag: str) -> pathlib.Path:
    """Return the file that a flag names, or that lies below --data under this name."""
    named = arguments.folder(flag)
    inside = arguments.folder("data") / flags.FLAGS[flag].value
    for path in (named, inside):
        if path.exists():
            return path
    raise UserError(
        f"--{flag}={flags.FLAGS[flag].value}: is neither there nor below --data="
        f"{flags.FLAGS['data'].value}. Give the file, or a folder with encoders that are made "
        "already: --encoders=FOLDER."
    )


def command() -> None:
    """Run the command `bert-glue-reproduce-local-global`."""
    cli.run(main, __doc__, "with the runs that are not finished")


if __name__ == "__main__":
    command()
