"""Command: the report on pruning and quantizing BERT on GLUE, run again, table by table.

python -m bert_glue_tf.reproduce_report
"""

from __future__ import annotations

import re

from absl import flags

from bert_glue_tf.core import cli, layout
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.runs.config import ExperimentConfig

_DEFAULTS = ExperimentConfig.defaults()
_ENCODER = flags.DEFINE_string("encoder", _DEFAULTS["encoder"], "As for the train command.")
_DATA = flags.DEFINE_string("data", _DEFAULTS["data"], "As for the train command.")
_EPOCHS = flags.DEFINE_integer("epochs", _DEFAULTS["epochs"], "Of every training.")
_RATE = flags.DEFINE_float("learning_rate", _DEFAULTS["learning_rate"], "Of every training.")
_SEEDS = flags.DEFINE_list(
    "seeds", ["1", "2", "3"], "Seeds, separated by commas; tables show their mean."
)
_EXAMPLES = flags.DEFINE_integer(
    "train_examples",
    0,
    "Train each task on this many of its examples only; 0 = all. The tables say so.",
)
_SST2 = flags.DEFINE_integer(
    "sst2_train_examples",
    0,
    "Train SST-2 on this many of its 67,349 sentences only; 0 = as --train_examples says.",
)
_WORKDIR = flags.DEFINE_string(
    "workdir", "runs/report", "Folder of the runs; what is finished there is not done again."
)
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Show what would be run, and what is finished.")


def main() -> None:
    if not _SEEDS.value or not all(re.fullmatch("[0-9]{1,10}", seed) for seed in _SEEDS.value):
        raise UserError(f"--seeds={','.join(_SEEDS.value)}: give whole numbers, as in 1,2,3.")
    for limit in (_EXAMPLES, _SST2):
        if limit.value < 0:
            raise UserError(f"--{limit.name}={limit.value}: must be 0 (all) or more.")
    settings = {
        "encoder": _ENCODER.value,
        "data": _DATA.value,
        "epochs": str(_EPOCHS.value),
        "learning_rate": str(_RATE.value),
    }
    from bert_glue_tf.studies import arguments, report_plan
    from bert_glue_tf.studies.report import Report

    root = cli.path("workdir", _WORKDIR.value)
    seeds = list(dict.fromkeys(map(int, _SEEDS.value)))
    plans = report_plan.plans(root, seeds, _SST2.value, _EXAMPLES.value)
    if _DRY_RUN.value:
        from bert_glue_tf.reports import terminal

        terminal.print_plan(root, report_plan.dry_rows(plans))
        return
    study = Report(plans, settings)
    study.made_by = arguments.command_line("reproduce_report")
    study.run()
    study.write(root)
    arguments.show(study)
    layout.say(f"Written to {root / 'report.md'}; the runs are beside it.")


def command() -> None:
    """Run the command `bert-glue-reproduce-report`."""
    cli.run(main, __doc__, "where it stopped")


if __name__ == "__main__":
    command()
