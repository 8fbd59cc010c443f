"""Program: stand in for a run of a sweep, so that many can be run.

python stand_in.py PASSED MODULE --config=FILE --workdir=FOLDER

It takes the lock that PASSED (JSON) names and watches its parent as the train command's process
does, adds its name to the file `begun` beside its folder, and writes the record of TEMPLATE with
its seed as its score. Seeds from 13 on end otherwise.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import signal
import sys
import threading
import time

from bert_glue_tf.core import locks, parents, records
from bert_glue_tf.runs import results, run_folder
from bert_glue_tf.runs.config import ExperimentConfig

UNLUCKY, DEFECT, KILLED, LONG = 13, 14, 15, 16


def main(passed_on: str, module: str, config: str, workdir: str) -> None:
    assert module == "bert_glue_tf.train"
    passed = json.loads(passed_on)
    locks.adopt(passed["lock"])
    watched = threading.Thread(
        target=parents.watch, args=(passed["parent"], passed["grace"]), daemon=True
    )
    watched.start()
    settings = json.loads(pathlib.Path(config.removeprefix("--config=")).read_text())
    path = pathlib.Path(workdir.removeprefix("--workdir="))
    run_folder.RunFolder.open(path, ExperimentConfig.from_json(settings))
    with (path.parent / "begun").open("a") as file:
        file.write(path.name + "\n")
    seed = settings["seed"]
    if seed == UNLUCKY:
        print("12:00:00 loading\nerror: --seed=13: unlucky.\nTake another.", file=sys.stderr)
        sys.exit(2)
    if seed == DEFECT:
        raise ValueError("a defect")
    if seed == KILLED:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60 if seed == LONG else 0.2)
    template = pathlib.Path(os.environ["TEMPLATE"]).read_text()
    record = dataclasses.replace(
        results.ExperimentResult.from_line(template),
        config=settings,
        metrics={"accuracy": seed / 100},
        speed={"seconds": 1.0},
    )
    records.append(path / "results.jsonl", record)


if __name__ == "__main__":
    main(*sys.argv[1:])
