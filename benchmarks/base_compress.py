"""Time, memory, size and latency of `compress` at BERT-base's size, with random weights.

.venv/bin/python benchmarks/base_compress.py --workdir=runs/base_compress

What a compression takes asks for no trained weights, so that these are random and nothing has to be
downloaded; the scores say nothing. The classifier is written as a Hugging Face folder, taken over
as a run by `import_classifier` (twice, the second time so that its answers are of both labels),
and searched by `compress --search_only`, each a process of its own whose memory is looked at from
outside. Killed, the same command goes on. With --layers and --hidden it is a smaller network, for a
first try in minutes.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

import numpy as np
import psutil
from absl import flags
from base_sizes import BERT_BASE, weights

from bert_glue_tf.budget.folder import CompressFolder
from bert_glue_tf.budget.record import SEARCHED
from bert_glue_tf.core import cli, files, progress, quantities
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.evaluation import predictions
from bert_glue_tf.export import hugging_face
from bert_glue_tf.models import embedded
from bert_glue_tf.models.bert.architecture import Architecture
from bert_glue_tf.runs.finished import Run

FLAGS = flags.FLAGS
_EVERY = 0.2  # Seconds between two looks at the memory.


def define_flags() -> None:
    """Not at import: the tests import this module beside the commands."""
    flags.DEFINE_string("workdir", "runs/base_compress", "Folder of all that is made.")
    flags.DEFINE_string("data", "sample", "Data of the run, as of the train command.")
    flags.DEFINE_string("task", "cola", "Task of the run, of two labels.")
    flags.DEFINE_integer("layers", BERT_BASE.layers, "Of the network.")
    flags.DEFINE_integer("hidden", BERT_BASE.hidden_size, "Width of a token: a multiple of 64.")
    flags.DEFINE_float("max_mb", 40.0, "Megabytes of the file, at most.")
    flags.DEFINE_integer("at_length", 64, "Length in word pieces at which files are timed.")
    flags.DEFINE_integer("seq_length", 128, "Longest text of the run, in word pieces.")


@dataclasses.dataclass(frozen=True)
class Taken:
    """The time and memory that a command has taken.

    Attributes:
      seconds: from its start to its end.
      process: largest resident set of one of its processes, in bytes.
      together: largest sum over all its processes at one moment, in bytes. What they share, as the
        code of libraries, is counted for each.
    """

    seconds: float
    process: int
    together: int


class Memory(threading.Thread):
    """Looks at the resident sets of a process and of those that it has started, until it ends."""

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self._process = psutil.Process(process)
        self.process = self.together = 0

    def run(self) -> None:
        """Look, and wait, until the process has ended."""
        while True:
            found = 0
            try:
                if self._process.status() == psutil.STATUS_ZOMBIE:
                    return
                for one in [self._process, *self._process.children(recursive=True)]:
                    size = one.memory_info().rss
                    found += size
                    self.process = max(self.process, size)
            except psutil.Error:
                if not self._process.is_running():
                    return  # One that it had started may have ended just now.
            self.together = max(self.together, found)
            time.sleep(_EVERY)


def shapes(layers: int, hidden: int) -> Architecture:
    """Return BERT's architecture with so many layers of a width.

    Raises:
      UserError: there is none.
    """
    if layers < 1 or hidden < 64 or hidden % 64:
        raise UserError(
            f"--layers={layers} --hidden={hidden}: no such BERT. Good: one layer or more, and a "
            "multiple of 64."
        )
    return dataclasses.replace(
        BERT_BASE, layers=layers, hidden_size=hidden, heads=hidden // 64, inner_dim=4 * hidden
    )


def random_classifier(like: Architecture) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Return weights as `base_sizes.weights` does, by which texts have different answers.

    With all of them near nothing, scales of normalization too, no part would change an answer, and
    a classifier that says the same of all texts is refused. So scales are near one, and attention
    and classifier are as strong as in a trained network.
    """
    encoder, kernel, bias = weights(like)
    unit = np.float32(1 / (0.02 * like.hidden_size**0.5))
    for name, value in encoder.items():
        if name.endswith("gamma"):
            value += np.float32(1.0)
        elif name.endswith(("value/kernel", "attention_output/kernel")):
            value *= 2 * unit
    return encoder, 4 * unit * kernel, bias


def write_classifier(
    folder: pathlib.Path, like: Architecture, task: str, shift: float = 0.0
) -> None:
    """Write a random classifier as a Hugging Face folder, unless it is there.

    Args:
      folder: to write.
      like: its architecture.
      task: name of the task that it answers.
      shift: by which its second logit is less, so that its answers are of both labels.

    Raises:
      UserError: another classifier is there, of an earlier call with other sizes.
    """
    if folder.is_dir():
        _require_same_sizes(folder, like)
        return
    from safetensors.numpy import save_file

    from bert_glue_tf.models.bert import to_hugging_face
    from bert_glue_tf.models.bert.classifier_weights import SavedWeights

    encoder, kernel, bias = random_classifier(like)
    bias[1] -= np.float32(shift)
    foreign = to_hugging_face.classifier(
        SavedWeights(like, encoder, kernel, bias), str(folder), dropout=0.1
    )
    config = {**foreign.config, **hugging_face.labels(tasks.get(task).problem), "pad_token_id": 0}
    half = folder.with_name(f".{folder.name}")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    shutil.copy(embedded.find() / "vocab.txt", half / "vocab.txt")
    save_file(dict(foreign.tensors), half / hugging_face.WEIGHTS, metadata={"format": "pt"})
    files.write_atomically(half / hugging_face.CONFIG, json.dumps(config, indent=2) + "\n")
    half.rename(folder)


def _require_same_sizes(folder: pathlib.Path, like: Architecture) -> None:
    found = json.loads((folder / hugging_face.CONFIG).read_text("utf-8"))
    there = found["num_hidden_layers"], found["hidden_size"]
    asked = like.layers, like.hidden_size
    if there != asked:
        raise UserError(
            f"--workdir={folder.parent}: holds a network of {there[0]} layers of {there[1]}, and "
            f"asked for are {asked[0]} of {asked[1]}. Give another --workdir, or the sizes of "
            "before."
        )


def take_over(folder: pathlib.Path, like: Architecture, shift: float) -> Taken:
    """Make a run of a random classifier, in `run` of a folder, and return what that has taken."""
    write_classifier(folder / "classifier", like, FLAGS.task, shift)
    return take(
        "import_classifier",
        *(f"--model={folder / 'classifier'}", f"--task={FLAGS.task}", f"--data={FLAGS.data}"),
        *(f"--workdir={folder / 'run'}", f"--seq_length={FLAGS.seq_length}"),
    )


def median_difference(path: pathlib.Path) -> float:
    """Return by how much the second logit of a run is larger, in the middle of the examples."""
    run = Run.read(path)
    split = next(iter(run.task.validation_splits.values()))
    logits = predictions.read(run.folder.predictions_file(split), run.task).logits
    return float(np.median(logits[:, 1] - logits[:, 0]))


def take(command: str, *arguments: str) -> Taken:
    """Run a command of this package, and return what it has taken.

    Raises:
      UserError: it failed.
    """
    return watch([sys.executable, "-m", f"bert_glue_tf.{command}", *arguments], command)


def watch(command: Sequence[str], name: str) -> Taken:
    """Run a program, and return what it has taken.

    Raises:
      UserError: it failed; its name is in the message.
    """
    began = time.perf_counter()
    with subprocess.Popen(command) as process:
        memory = Memory(process.pid)
        memory.start()
        status = process.wait()
    memory.join()
    if status:
        raise UserError(f"{name} ended with status {status}; it says why above.")
    return Taken(time.perf_counter() - began, memory.process, memory.together)


def told(made: Taken, searched: Taken, folder: CompressFolder) -> str:
    """Return what was taken, step by step, and what came of it.

    Args:
      made: by the run.
      searched: by the compression, by the last process if an earlier one was killed.
      folder: of the compression, which is finished.
    """
    outcome = folder.outcome(SEARCHED)
    assert outcome is not None  # Else the command has failed.
    rows = [("the run, taken over", made.seconds, made.process)]
    rows += [(one.name, one.seconds, one.peak_memory_bytes) for one in folder.steps()]
    lines = [f"{'step':<24}{'time':>14}{'memory until then':>20}"]
    for name, seconds, memory in rows:
        lines.append(f"{name:<24}{progress.duration(seconds):>14}{quantities.size(memory):>20}")
    kept = "kept" if not outcome.missed else f"not kept ({outcome.missed})"
    return "\n".join(
        [
            *lines,
            f"compress: {progress.duration(searched.seconds)}; the largest process held "
            f"{quantities.size(searched.process)}, all at one moment "
            f"{quantities.size(searched.together)}",
            f"{quantities.size(outcome.original['bytes'])} to "
            f"{quantities.size(outcome.file['bytes'])} as {outcome.file['recipe']}; "
            f"{outcome.original['ms']:.2f} ms to {outcome.file['ms']:.2f} ms at length "
            f"{outcome.length}, {outcome.threads} threads; the budget is {kept}",
            *([outcome.busy] if outcome.busy else []),
        ]
    )


def main() -> None:
    like = shapes(FLAGS.layers, FLAGS.hidden)
    folder = pathlib.Path(FLAGS.workdir).expanduser()
    # The first one tells how its answers lie: of one label, or nearly so.
    take_over(folder / "first", like, 0.0)
    made = take_over(folder, like, median_difference(folder / "first" / "run"))
    compressed = folder / "compressed"
    searched = take(
        "compress",
        *(f"--run={folder / 'run'}", f"--max_mb={FLAGS.max_mb}", f"--at_length={FLAGS.at_length}"),
        *(f"--workdir={compressed}", "--search_only"),
    )
    print(told(made, searched, CompressFolder(compressed)))


if __name__ == "__main__":
    define_flags()
    cli.run(main, __doc__)
