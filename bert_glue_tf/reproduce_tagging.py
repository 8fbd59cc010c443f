"""Command: aspects and their polarity by BERT and five heads, beside the published scores.

python -m bert_glue_tf.reproduce_tagging --data=/folder/with/absa --encoder=minilm_l6
"""

from __future__ import annotations

from absl import flags

from bert_glue_tf.core import cli
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.studies import arguments

# --learning_rate is one of the flags, so that whoever gives it is told of --rates.
arguments.define_flags("tagging", decided=arguments.OF_A_RECIPE)
_DATA_SETS = flags.DEFINE_list(
    "data_sets",
    ["laptop14", "rest14", "rest16"],
    "Data sets, folders below --data. Flags of the training that are given go before the "
    "published recipe.",
)
_HEADS = flags.DEFINE_list(
    "heads",
    ["linear", "gru", "self_attention", "transformer", "crf"],
    "Heads, as of --tagging_head.",
)
_RATES = flags.DEFINE_list(
    "rates", ["2e-5", "2e-4"], "Learning rates: the published one, and one for a small encoder."
)


def main() -> None:
    from bert_glue_tf.studies.tagging import Tagging

    if flags.FLAGS["learning_rate"].present:
        rate = flags.FLAGS["learning_rate"].value
        raise UserError(
            f"--learning_rate={rate:g}: the study compares several. Good: --rates={rate:g}."
        )
    given = arguments.given_settings()
    study = Tagging(
        _DATA_SETS.value,
        _HEADS.value,
        _RATES.value,
        {**given, **{name: flags.FLAGS[name].value for name in ("data", "encoder")}},
        arguments.numbers("seeds"),
    )
    study.made_by = arguments.command_line("reproduce_tagging")
    arguments.run(study)
    arguments.present(study, "tagging.md and tagging.csv")


def command() -> None:
    """Run the command `bert-glue-reproduce-tagging`."""
    cli.run(main, __doc__, "with the runs that are not finished")


if __name__ == "__main__":
    command()
