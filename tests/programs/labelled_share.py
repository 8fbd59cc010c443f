"""Program: stand in for the process of a labelling's share, without a model.

python labelled_share.py PASSED MODULE --share=FILE

Each part becomes a copy of itself; one whose name begins with `bad` is noted as damaged, and one
that begins with `die` kills the process.
"""

from __future__ import annotations

import os
import pathlib
import signal
import sys

from bert_glue_tf.labelling import share
from bert_glue_tf.labelling.folder import State


def main(passed: str, module: str, given: str) -> None:
    assert module == share.__name__
    folder, _, parts, _ = share.read(pathlib.Path(given.removeprefix("--share=")))
    for part in parts:
        if folder.state(part) is not None:
            continue
        seen = (part.size, part.changed)
        if part.name.startswith("die"):
            os.kill(os.getpid(), signal.SIGKILL)
        if part.name.startswith("bad"):
            folder.keep(part, State(seen, "damaged"))
            continue
        folder.target(part).write_bytes(pathlib.Path(part.source).read_bytes())
        folder.keep(part, State(seen, size=part.size, rows=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
