"""Program: work for 0.9 s of processor time, and print what a training prints meanwhile."""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
import time

LINES = ("first step", "epoch 1/2, 0 s: loss 1", "epoch 2/2, 0 s: loss 1")


def work(seconds: float) -> list[float]:
    """Use a processor for so long, and return about a thousand moments a second of it."""
    moments = []
    begun = now = noted = time.process_time()
    while now < begun + seconds:
        if now >= noted:
            moments.append(time.monotonic())  # The same clock in all processes of a machine.
            noted = now + 0.001
        now = time.process_time()
    return moments


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--moments", type=pathlib.Path, help="file for the moments of the work")
    parser.add_argument("--fails", action="store_true")
    given = parser.parse_args()
    moments: list[float] = []
    for line in LINES:
        moments += work(0.3)
        print(line, flush=True)
    if given.moments:
        given.moments.write_text(json.dumps(moments))
    sys.exit("it broke" if given.fails else 0)


if __name__ == "__main__":
    main()
