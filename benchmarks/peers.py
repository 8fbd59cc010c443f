"""The same fine-tuned weights in PyTorch, ONNX Runtime, OpenVINO and our files, side by side.

make bench-peers RUN=runs/cola-minilm_l6-sample-none-seed1

Runs in an environment of its own, without TensorFlow; benchmarks/peers_weights.py comes first.
Every float32 model has to give the labels of the Keras model on the whole dev split, or nothing
is timed. Then each takes its turn in every round, one example at a time, so that whatever else
the machine does meets all of them alike: on another machine only the ratios mean something.
"""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import os
import pathlib
import platform
import sys
import textwrap
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from absl import flags

from bert_glue_tf.core import cli, records
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.evaluation import metrics
from bert_glue_tf.export import defaults
from bert_glue_tf.export.folder import FOLDER, ExportFolder
from bert_glue_tf.runs import versions

FLAGS = flags.FLAGS

TOLERANCE = 1e-3  # Of a float32 logit, as in the parity of our own export.
UNPADDED = "unpadded"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PeerResult(records.Record):
    """One model in one runtime.

    Attributes:
      run: name of the source run.
      task, encoder, data: its task, encoder, and provenance of the dev split.
      runtime, recipe: what was measured.
      settings: of the runtime and its quantizer.
      bytes: of the model's file(s).
      metrics: name -> value over the examples.
      flips: labels that differ from the Keras model's.
      largest_difference: of a logit from the Keras model's.
      examples: of the dev split that fit into the longest length, and how many did not.
      latency: length, or "unpadded" -> see `summary`.
      threads, rounds, sentences: of the latency.
      environment: machine, Python, library versions, commit.
      finished: time in UTC, ISO 8601.
    """

    run: str
    task: str
    encoder: str
    data: Mapping[str, Any]
    runtime: str
    recipe: str
    settings: Mapping[str, Any]
    bytes: int
    metrics: Mapping[str, float]
    flips: int
    largest_difference: float
    examples: Mapping[str, int]
    latency: Mapping[str, Mapping[str, Any]]
    threads: int
    rounds: int
    sentences: int
    environment: Mapping[str, Any]
    finished: str = dataclasses.field(
        default_factory=lambda: datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    )


@dataclasses.dataclass(frozen=True)
class Score:
    """The score of a peer's answers on the dev split; see `PeerResult`."""

    metrics: Mapping[str, float]
    flips: int
    largest_difference: float


def score(peer: Any, inputs: Any, chosen: np.ndarray, lengths: Sequence[int]) -> Score:
    """Runs the chosen examples, each padded to the shortest length that holds it."""
    pieces = inputs.dev.lengths
    logits = np.concatenate(
        [
            peer.predict(inputs.dev.batch([i], next(n for n in lengths if n >= pieces[i])))
            for i in chosen
        ]
    )
    keras = inputs.keras_logits[chosen]
    return Score(
        metrics.compute(inputs.task, inputs.labels[chosen], logits),
        inputs.task.problem.flips(keras, logits),
        float(np.max(np.abs(keras - logits))),
    )


def require_same(peer: Any, found: Score) -> None:
    """Raises UserError unless a float32 model answers as the Keras model does."""
    if found.flips or not found.largest_difference <= TOLERANCE:
        raise UserError(
            f"{peer.name}: {found.flips} labels differ from the Keras model's, logits by up to "
            f"{found.largest_difference:.1e} (good: 0 and {TOLERANCE:.0e}). It is not the same "
            "model, so its times would say nothing."
        )


def score_all(builder: Any, inputs: Any, lengths: Sequence[int]) -> list[tuple[Any, Score]]:
    """Makes every peer and scores it, float32 first.

    Raises:
      UserError: a float32 model is not the Keras model; nothing is made from it then.
    """
    chosen = np.flatnonzero(inputs.dev.lengths <= lengths[-1])

    def scored(peer: Any) -> tuple[Any, Score]:
        _say(f"{peer.name}: {len(chosen):,} dev examples")
        return peer, score(peer, inputs, chosen, lengths)

    found = []
    for peer in builder.float32():
        found.append(scored(peer))
        require_same(*found[-1])
    return [*found, *map(scored, builder.quantized())]


def time_in_turns(
    peers: Sequence[Any], features: Mapping[str, Sequence[Any]], rounds: int
) -> dict[str, np.ndarray]:
    """Milliseconds float64 [rounds, sentences] of each peer on its own features.

    A turn begins with a call that is not timed: caches, and threads of the one before.
    """
    found = {peer.name: np.empty((rounds, len(features[peer.name]))) for peer in peers}
    for turn in range(rounds):
        shift = turn % len(peers)  # So that nobody always follows the same one.
        for peer in (*peers[shift:], *peers[:shift]):
            peer.predict(features[peer.name][0])
            for i, example in enumerate(features[peer.name]):
                start = time.perf_counter()
                peer.predict(example)
                found[peer.name][turn, i] = 1e3 * (time.perf_counter() - start)
    return found


def summary(found: np.ndarray, reference: np.ndarray) -> dict[str, Any]:
    """Summarise the times of a model, alone and relative to our float32 file's.

    Args:
      found: float64 [rounds, sentences], milliseconds.
      reference: the same of our float32 file.

    Returns:
      `p50`, `p90` and `min` in milliseconds; `ratio`, the median over the rounds of the p50
      relative to the reference's in the same round, and `ratio_quartiles`; `ratio_of_min`,
      that of the two minima, which says most where other programs take the processor away.
    """
    ratios = np.median(found, axis=1) / np.median(reference, axis=1)
    low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    return {
        "p50": float(np.median(found)),
        "p90": float(np.quantile(found, 0.9)),
        "min": float(found.min()),
        "ratio": float(middle),
        "ratio_quartiles": [float(low), float(high)],
        "ratio_of_min": float(found.min() / reference.min()),
    }


def measure(peers: Sequence[Any], inputs: Any, lengths: Sequence[int]) -> dict[str, dict[str, Any]]:
    """Length (or "unpadded") -> name of a peer -> `summary`."""
    (reference,) = (peer for peer in peers if peer.is_reference)
    timed = {}
    for length in (*lengths, 0):
        fitting = np.flatnonzero(inputs.dev.lengths <= (length or lengths[-1]))
        few = len(fitting) < FLAGS.sentences
        chosen = np.random.default_rng(0).choice(fitting, FLAGS.sentences, replace=few)
        features = {
            peer.name: [
                inputs.dev.batch([i], length or peer.padded_length(int(inputs.dev.lengths[i])))
                for i in chosen
            ]
            for peer in peers
        }
        label = str(length or UNPADDED)
        _say(f"timing {len(peers)} models in turns, {_place(label)}")
        found = time_in_turns(peers, features, FLAGS.rounds)
        timed[label] = {
            name: summary(values, found[reference.name]) for name, values in found.items()
        }
    return timed


def environment(distributions: Iterable[str]) -> dict[str, Any]:
    """Machine, versions and commit; no folder of the machine."""
    return {
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        # What else the machine did: above `cores`, the programs took turns.
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in distributions},
        "commit": versions.commit(),
    }


def print_tables(found: Sequence[PeerResult], primary: str) -> None:
    """Print the measurements, at most 80 columns wide."""
    first = found[0]
    examples = first.examples["scored"]
    print(f"{first.run}: {first.task}, {first.encoder}, {examples:,} dev examples")
    if first.examples["too_long"]:
        print(f"({first.examples['too_long']:,} are longer than the longest length: left out)")
    versions = ", ".join(f"{k} {v}" for k, v in first.environment["packages"].items())
    print(textwrap.fill(versions, 79))
    where = first.environment
    print(f"{where['cores']} cores, load average {where['load_average']:.1f} in the last minute")
    print(f"\n{'':<27}{'other labels':>14}{'logits':>10}{primary:>12}{'MB':>10}")
    for record in found:
        print(
            f"{_name(record):<27}{record.flips:>14}{record.largest_difference:>10.1e}"
            f"{record.metrics[primary]:>12.4f}{record.bytes / 1e6:>10.2f}"
        )
    for label in first.latency:
        print(f"\n{_place(label)}, {_threads(first.threads)}")
        print(f"{'':<27}{'p50 ms':>9}{'min':>8}{'ratio':>8}   {'(quartiles)':<14}{'of min':>8}")
        for record in found:
            timed = record.latency[label]
            low, high = timed["ratio_quartiles"]
            spread = f"({low:.2f} to {high:.2f})"
            print(
                f"{_name(record):<27}{timed['p50']:>9.2f}{timed['min']:>8.2f}"
                f"{timed['ratio']:>8.2f}   {spread:<14}{timed['ratio_of_min']:>8.2f}"
            )
    print()
    print(
        textwrap.fill(
            "Other labels, and the largest difference of a logit: compared with the Keras "
            f"model's. Times: {first.rounds} rounds of {first.sentences} dev sentences. Ratio: "
            "time relative to our float32 file's in the same round (below 1 is faster), median "
            "and quartiles over the rounds; and that of the two shortest times.",
            79,
        )
    )


def _place(label: str) -> str:
    if label == UNPADDED:
        return "one example not padded (ours: to the next of its lengths)"
    return f"one example padded to {label}"


def _threads(number: int) -> str:
    return f"{number} thread{'s' if number > 1 else ''}"


def _name(record: PeerResult) -> str:
    return f"{record.runtime} {record.recipe}"


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _lengths() -> tuple[int, ...]:
    for value in FLAGS.lengths:
        if not value.isdigit() or int(value) < 2:
            raise UserError(
                f"--lengths={','.join(FLAGS.lengths)}: {value!r} is no length. Give whole "
                "numbers, separated by commas, that the run was exported for."
            )
    if not FLAGS.lengths:
        raise UserError("--lengths is empty. Give lengths that the run was exported for.")
    return tuple(sorted(set(map(int, FLAGS.lengths))))


def define_flags() -> None:
    """Not at import: the tests import this module beside the commands."""
    flags.DEFINE_string("run", "", "Folder of a finished and exported run.")
    flags.DEFINE_string("inputs", "", "What peers_weights.py wrote; by default peers/ in the run.")
    flags.DEFINE_string("tflite", "", f"Folder of our files; by default {FOLDER}/ in the run.")
    flags.DEFINE_string("output", "runs/peers.jsonl", "File to which a line per model is added.")
    flags.DEFINE_list("lengths", ["32", "128"], "Lengths in word pieces to pad to, and time at.")
    flags.DEFINE_integer("threads", defaults.THREADS, "Threads of every runtime.")
    flags.DEFINE_integer("rounds", 20, "Rounds in which each model has its turn.")
    flags.DEFINE_integer("sentences", 8, "Dev sentences that are timed in a turn.")


def _require_fitting(inputs: Any, lengths: Sequence[int]) -> None:
    shortest = int(inputs.dev.lengths.min())
    if lengths[0] < shortest:
        raise UserError(
            f"--lengths={','.join(FLAGS.lengths)}: no dev sentence fits into {lengths[0]} word "
            f"pieces. Good: {shortest} or more."
        )


def _require_writable(output: pathlib.Path) -> None:
    """Before the models are made and timed, which takes minutes."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.open("ab").close()
        if not output.stat().st_size:
            output.unlink()
    except OSError as error:
        raise UserError(
            f"--output={output}: cannot be written ({error.strerror}). Give a file that you may "
            "write; records are added to it."
        ) from None


def main() -> None:
    if not FLAGS.run:
        raise UserError("--run is missing. Give the folder of a finished and exported run.")
    for name in ("threads", "rounds", "sentences"):
        if FLAGS[name].value < 1:
            raise UserError(f"--{name}={FLAGS[name].value}: must be 1 or more.")
    lengths = _lengths()
    import peer_models
    from peer_inputs import FOLDER as INPUTS
    from peer_inputs import PeerInputs

    output = pathlib.Path(FLAGS.output).expanduser()
    _require_writable(output)
    run = pathlib.Path(FLAGS.run).expanduser()
    folder = pathlib.Path(FLAGS.inputs).expanduser() if FLAGS.inputs else run / INPUTS
    inputs = PeerInputs.load(folder)
    export = ExportFolder(pathlib.Path(FLAGS.tflite).expanduser() if FLAGS.tflite else run / FOLDER)
    _require_fitting(inputs, lengths)
    builder = peer_models.Builder(inputs, folder / "models", export, FLAGS.threads, lengths)
    scored = score_all(builder, inputs, lengths)
    peers = [peer for peer, _ in scored]
    timed = measure(peers, inputs, lengths)
    where = environment((*peer_models.LIBRARIES.values(), *peer_models.TOOLS))
    too_long = int(np.sum(inputs.dev.lengths > lengths[-1]))
    found = [
        PeerResult(
            run=inputs.run,
            task=inputs.task.name,
            encoder=inputs.encoder,
            data=inputs.data,
            runtime=peer.runtime,
            recipe=peer.recipe,
            settings=peer.settings,
            bytes=peer.bytes,
            **dataclasses.asdict(own),
            examples={"scored": len(inputs.dev) - too_long, "too_long": too_long},
            latency={label: by_name[peer.name] for label, by_name in timed.items()},
            threads=FLAGS.threads,
            rounds=FLAGS.rounds,
            sentences=FLAGS.sentences,
            environment=where,
        )
        for peer, own in scored
    ]
    for record in found:
        records.append(output, record)
    print_tables(found, inputs.task.primary_metric)
    print(f"The records were added to {output}.")


if __name__ == "__main__":
    define_flags()
    cli.run(main, __doc__)
