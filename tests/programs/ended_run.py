"""Program: stand in for a run that an executor begins, and end as its seed says.

python ended_run.py PASSED MODULE --config=FILE --workdir=FOLDER

Seed 2 fails, seed 3 takes a minute, and any other writes the record of the variable TEMPLATE with
the settings of the run, after a line in `begun` beside its folder. PASSED is the JSON that an
executor passes to a task's process.
"""

from __future__ import annotations

import json
import os
import pathlib
import sys
import threading
import time

from bert_glue_tf.core import locks, parents
from bert_glue_tf.sweeps.executors import process, task_process


def main(passed_on: str, module: str, config: str, workdir: str) -> None:
    assert module == "bert_glue_tf.train"
    passed = json.loads(passed_on)
    watched = threading.Thread(
        target=parents.watch, args=(passed["parent"], passed["grace"]), daemon=True
    )
    watched.start()
    if passed["lock"] is not None:
        locks.adopt(passed["lock"])
    elif not task_process.take(pathlib.Path(passed["lock_file"])):
        sys.exit(process.BUSY)
    settings = json.loads(pathlib.Path(config.removeprefix("--config=")).read_text())
    path = pathlib.Path(workdir.removeprefix("--workdir="))
    if (path / "results.jsonl").exists():  # As the train command does.
        return
    with (path.parent / "begun").open("a") as file:
        file.write(path.name + "\n")
    if settings["seed"] == 2:
        sys.exit("error: a defect")
    if settings["seed"] == 3:
        time.sleep(60)
    time.sleep(float(os.environ.get("SECONDS_OF_A_RUN", 0)))
    line = json.loads(pathlib.Path(os.environ["TEMPLATE"]).read_text())
    with (path / "results.jsonl").open("a") as file:
        file.write(json.dumps({**line, "config": settings}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
