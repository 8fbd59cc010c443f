"""Program: do what `python ARGUMENTS` would do, with a tiny encoder and a few examples.

The commands of the README and of docs/ run through it as they stand (tests/docs/test_snippets.py).
Whatever encoder a run names, it gets the one of the variable TINY_ENCODER; what TFDS would load
comes from the embedded sample; a training takes one epoch of a few examples. Of what takes minutes
by itself only the command line is checked: a study, a sweep and a compression show their plan, a
benchmark has to know the flags that it is given, and pytest has to find what it is asked to run.
"""

from __future__ import annotations

import os
import pathlib
import re
import runpy
import subprocess
import sys

TRAIN_EXAMPLES = 32
PLANNED = (
    "sweep",
    "survey",
    "reproduce_report",
    "reproduce_structured",
    "reproduce_local_global",
    "reproduce_tagging",
)


def _shrink_settings() -> None:
    """Make every `ExperimentConfig` one of a tiny run."""
    from bert_glue_tf.export import making, measure
    from bert_glue_tf.runs.config import ExperimentConfig

    checked = ExperimentConfig.__post_init__

    def shrunk(self: ExperimentConfig) -> None:
        checked(self)  # What the page gives has to be right before it is shrunk.
        values = {
            "encoder": os.environ["TINY_ENCODER"],
            "data": "sample" if self.data == "tfds" else self.data,
            "epochs": 1,
            "finetune_epochs": min(self.finetune_epochs, 1),
            "train_examples": TRAIN_EXAMPLES,
            "batch_size": 16,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    ExperimentConfig.__post_init__ = shrunk  # type: ignore[method-assign]
    # As in the tests' own process (conftest.py), and in real_runs.py.
    measure.REPETITIONS = 1
    making.PROBE_EXAMPLES = 16


def _run(arguments: list[str]) -> None:
    """Run a program of Python in this process, as `python` itself would."""
    _shrink_settings()
    if arguments[0] == "-m":
        module, sys.argv = arguments[1], arguments[1:]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")


def _knows_flags(program: str, arguments: list[str]) -> int:
    """Return 0 if the help of a program has all flags that it is given."""
    done = subprocess.run([sys.executable, program, "--help"], capture_output=True, text=True)
    known = set(re.findall(r"--(?:\[no\])?(\w+)", done.stdout))
    wrong = [flag for flag in re.findall(r"--(\w+)", " ".join(arguments)) if flag not in known]
    if wrong:
        print(f"{program} has no --{', --'.join(wrong)}", file=sys.stderr)
    return int(bool(wrong))


def main() -> int:
    """Run the program that the arguments name; return its exit status."""
    sys.path.insert(0, os.getcwd())
    arguments = sys.argv[1:]
    if arguments[:2] == ["-m", "pytest"]:
        if not any(one.startswith("tests") for one in arguments):
            arguments.append("--version")  # The whole suite: of it this is a test.
        arguments += ["--collect-only", "-q", "-n", "0"]
        arguments = [one for one in arguments if not one.startswith("--dist")]
        return subprocess.run([sys.executable, *arguments]).returncode
    if pathlib.Path(arguments[0]).parent.name == "benchmarks":
        return _knows_flags(arguments[0], arguments[1:])
    if arguments[0] == "-m" and arguments[1].removeprefix("bert_glue_tf.") in PLANNED:
        arguments.append("--dry_run")
    if arguments[:2] == ["-m", "bert_glue_tf.compress"]:
        arguments.append("--plan")
    _run(arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
