"""Program: stand in for a run that an executor begins, and end as its seed says.

python ended_run.py PASSED --config=FILE --workdir=FOLDER

Seed 2 fails, seed 3 takes a minute, and any other writes the record of the variable TEMPLATE with
the settings of the run. PASSED is the JSON that an executor passes to the train command.
"""

from __future__ import annotations

import json
import os
import pathlib
import sys
import time

from bert_glue_tf.core import locks


def main(passed: str, config: str, workdir: str) -> None:
    locks.adopt(json.loads(passed)["lock"])
    settings = json.loads(pathlib.Path(config.removeprefix("--config=")).read_text())
    if settings["seed"] == 2:
        sys.exit("error: a defect")
    if settings["seed"] == 3:
        time.sleep(60)
    line = json.loads(pathlib.Path(os.environ["TEMPLATE"]).read_text())
    path = pathlib.Path(workdir.removeprefix("--workdir="))
    (path / "results.jsonl").write_text(json.dumps({**line, "config": settings}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
