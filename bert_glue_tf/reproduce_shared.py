"""Command: models of different sparsity that share their weights, beside the report's Table 2.

python -m bert_glue_tf.reproduce_shared --networks=minilm_l6/mrpc --data=/folder/with/glue
"""

from __future__ import annotations

from absl import flags

from bert_glue_tf.core import cli
from bert_glue_tf.studies import arguments

arguments.define_flags("shared", decided=("encoder", *arguments.OF_A_RECIPE))
_NETWORKS = flags.DEFINE_list(
    "networks",
    [],
    "Networks, each encoder/task, or encoder/task=DATA where its data is elsewhere than --data; by "
    "default the report's four. Each has a recipe of its own (docs/shared_weights.md); flags of "
    "the training that are given go before it.",
)
_SPARSITIES = flags.DEFINE_list(
    "sparsities",
    ["0.6024", "0.405", "0.207"],
    "Of the models of each network that the report has not, the sparsest first.",
)
_FILES = flags.DEFINE_bool(
    "files", True, "Make the float32 files of each first seed's models, and time them in turns."
)


def main() -> None:
    from bert_glue_tf.studies import shared_models
    from bert_glue_tf.studies.shared import Shared

    networks = list(dict.fromkeys(_NETWORKS.value or shared_models.PRINTED))
    given = {
        name: flags.FLAGS[name].serialize()
        for name in ("encoder", "data", "sparsities")
        if flags.FLAGS[name].present
    }
    shared_models.refuse_ignored(networks, given)
    study = Shared(
        networks,
        {"data": flags.FLAGS["data"].value, **arguments.given_settings()},
        arguments.numbers("seeds"),
        _SPARSITIES.value,
    )
    study.made_by = arguments.command_line("reproduce_shared")
    arguments.run(study)
    if _FILES.value:
        study.export()
    arguments.present(study, "shared.md, shared.csv, its bytes and switches, and the figures")


def command() -> None:
    """Run the command `bert-glue-reproduce-shared`."""
    cli.run(main, __doc__, "with the runs that are not finished")


if __name__ == "__main__":
    command()
