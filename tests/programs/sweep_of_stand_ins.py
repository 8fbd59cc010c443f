"""Program: run a sweep over SST-2 whose runs are another program.

python sweep_of_stand_ins.py FOLDER GRID COMMAND...

COMMAND stands in for the train command; two of its processes run at once.
"""

from __future__ import annotations

import pathlib
import sys

from bert_glue_tf.core import cli
from bert_glue_tf.sweeps import grid as grids
from bert_glue_tf.sweeps import plan
from bert_glue_tf.sweeps.executors.local import LocalExecutor
from bert_glue_tf.sweeps.sweep import Sweep


def main(root: str, grid: str, *command: str) -> None:
    del sys.argv[1:]  # Nothing of it is meant for the flags of absl.
    cli.flags.FLAGS(sys.argv)
    configs = grids.configurations({"task": "sst2"}, grids.parse_grid(grid))
    runs = plan.plan(configs, pathlib.Path(root))
    sweep = Sweep(runs, LocalExecutor(2, command))
    sweep.run()
    assert sorted(sweep.records) == sorted(run.name for run in runs), sweep.failures


if __name__ == "__main__":
    main(*sys.argv[1:])
