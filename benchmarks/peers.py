"""The same fine-tuned weights in PyTorch, ONNX Runtime, OpenVINO and our files, side by side.

make bench-peers RUN=runs/cola-minilm_l6-sample-none-seed1

Runs in an environment of its own, without TensorFlow; benchmarks/peers_weights.py comes first.
Every float32 model has to give the labels of the Keras model on the whole dev split, or nothing
is timed. Then each takes its turn in every round, one example at a time, so that whatever else
the machine does meets all of them alike: on another machine only the ratios mean something.

make bench-peers RUN=runs/mrpc ALSO=runs/mrpc-compressed-6mb/trained-int4/tflite/int4.tflite

has files of other weights in the same turns, and their times relative to each of the others.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import pathlib
import platform
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import peer_others
from absl import flags
from peer_tables import UNPADDED, PeerResult, place, print_tables

from bert_glue_tf.core import cli, records
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.evaluation import metrics
from bert_glue_tf.export import defaults
from bert_glue_tf.export.folder import FOLDER, ExportFolder
from bert_glue_tf.runs import versions

FLAGS = flags.FLAGS

TOLERANCE = 1e-3  # Of a float32 logit, as in the parity of our own export.


@dataclasses.dataclass(frozen=True)
class Score:
    """The score of a peer's answers on the dev split; see `PeerResult`."""

    metrics: Mapping[str, float]
    flips: int | None
    largest_difference: float | None


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


def score_other(peer: Any, inputs: Any, chosen: np.ndarray) -> Score:
    """Return the score of a file of other weights, whose labels are compared with no others."""
    logits = peer_others.logits(peer, chosen)
    return Score(metrics.compute(inputs.task, inputs.labels[chosen], logits), None, None)


def require_same(peer: Any, found: Score) -> None:
    """Raises UserError unless a float32 model answers as the Keras model does."""
    assert found.largest_difference is not None
    if found.flips or not found.largest_difference <= TOLERANCE:
        raise UserError(
            f"{peer.name}: {found.flips} labels differ from the Keras model's, logits by up to "
            f"{found.largest_difference:.1e} (good: 0 and {TOLERANCE:.0e}). It is not the same "
            "model, so its times would say nothing."
        )


def score_all(
    builder: Any, inputs: Any, lengths: Sequence[int], others: Sequence[Any] = ()
) -> list[tuple[Any, Score]]:
    """Makes every peer and scores it, float32 first, and files of other weights last.

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
    found += map(scored, builder.quantized())
    for peer in others:
        _say(f"{peer.name}: {len(chosen):,} dev examples, by its own tokenizer")
        found.append((peer, score_other(peer, inputs, chosen)))
    return found


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
    """Length (or "unpadded") -> name of a peer that runs at it -> `summary`.

    That of a file of other weights has `relative` besides: name of each other peer -> the same
    relative to it.
    """
    (reference,) = (peer for peer in peers if peer.is_reference)
    timed = {}
    for length in (*lengths, 0):
        here = [peer for peer in peers if not length or peer.runs_at(length)]
        fitting = _fitting(inputs, here, length, lengths[-1])
        few = len(fitting) < FLAGS.sentences
        chosen = np.random.default_rng(0).choice(fitting, FLAGS.sentences, replace=few)
        features = {peer.name: _features(peer, inputs, chosen, length) for peer in here}
        label = str(length or UNPADDED)
        _say(f"timing {len(here)} models in turns, {place(label)}")
        found = time_in_turns(here, features, FLAGS.rounds)
        timed[label] = {
            name: summary(values, found[reference.name]) for name, values in found.items()
        }
        for peer in here:
            if peer.other:
                timed[label][peer.name]["relative"] = {
                    name: summary(found[peer.name], values)
                    for name, values in found.items()
                    if name != peer.name
                }
    return timed


def _features(peer: Any, inputs: Any, chosen: np.ndarray, length: int) -> list[Any]:
    """Return some dev examples as a peer takes them, padded to a length, or as it needs it."""
    tokens = inputs.dev if peer.tokens is None else peer.tokens
    return [tokens.batch([i], length or peer.padded_length(int(tokens.lengths[i]))) for i in chosen]


def _fitting(inputs: Any, peers: Sequence[Any], length: int, longest: int) -> np.ndarray:
    """Return the dev examples that all of some peers read whole, int [n].

    Args:
      inputs: with the word pieces of the run.
      peers: that run at the length.
      length: to which texts are padded; 0 where each is padded to what a peer needs.
      longest: length of the run's files.
    """
    fits = inputs.dev.lengths <= (length or longest)
    for peer in peers:
        if peer.tokens is not None and (not length or peer.runs_at(length)):
            fits &= peer.tokens.lengths <= (length or peer.lengths[-1])
    return np.flatnonzero(fits)


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


def results(
    inputs: Any,
    scored: Sequence[tuple[Any, Score]],
    timed: Mapping[str, Mapping[str, Any]],
    lengths: Sequence[int],
    where: Mapping[str, Any],
) -> Iterator[PeerResult]:
    """Yield the record of each model."""
    too_long = int(np.sum(inputs.dev.lengths > lengths[-1]))
    for peer, own in scored:
        yield PeerResult(
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
            latency={
                label: by_name[peer.name]
                for label, by_name in timed.items()
                if peer.name in by_name
            },
            threads=FLAGS.threads,
            rounds=FLAGS.rounds,
            sentences=FLAGS.sentences,
            environment=where,
            other=peer.other,
        )


def define_flags() -> None:
    """Not at import: the tests import this module beside the commands."""
    flags.DEFINE_string("run", "", "Folder of a finished and exported run.")
    flags.DEFINE_string("inputs", "", "What peers_weights.py wrote; by default peers/ in the run.")
    flags.DEFINE_string("tflite", "", f"Folder of our files; by default {FOLDER}/ in the run.")
    flags.DEFINE_multi_string("also", [], peer_others.HELP)
    flags.DEFINE_string("output", "runs/peers.jsonl", "File to which a line per model is added.")
    flags.DEFINE_list("lengths", ["32", "128"], "Lengths in word pieces to pad to, and time at.")
    flags.DEFINE_integer("threads", defaults.THREADS, "Threads of every runtime.")
    flags.DEFINE_integer("rounds", 20, "Rounds in which each model has its turn.")
    flags.DEFINE_integer("sentences", 8, "Dev sentences that are timed in a turn.")


def _require_fitting(inputs: Any, lengths: Sequence[int], others: Sequence[Any]) -> None:
    shortest = int(inputs.dev.lengths.min())
    for length in lengths:
        if length >= shortest and not len(_fitting(inputs, others, length, lengths[-1])):
            raise UserError(
                f"--lengths={','.join(FLAGS.lengths)}: no dev sentence fits into {length} word "
                "pieces by the tokenizer of each --also. Leave the length out."
            )
    if not len(_fitting(inputs, others, 0, lengths[-1])):
        raise UserError(
            "--also: no dev sentence is read whole at the longest length of each file. Give files "
            "of longer lengths."
        )
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
    lengths, also = _lengths(), peer_others.paths(FLAGS.also)
    import peer_models
    from peer_inputs import FOLDER as INPUTS
    from peer_inputs import PeerInputs

    output = pathlib.Path(FLAGS.output).expanduser()
    _require_writable(output)
    run = pathlib.Path(FLAGS.run).expanduser()
    folder = pathlib.Path(FLAGS.inputs).expanduser() if FLAGS.inputs else run / INPUTS
    inputs = PeerInputs.load(folder)
    export = ExportFolder(pathlib.Path(FLAGS.tflite).expanduser() if FLAGS.tflite else run / FOLDER)
    others = peer_others.peers(also, inputs, FLAGS.threads)
    _require_fitting(inputs, lengths, others)
    builder = peer_models.Builder(inputs, folder / "models", export, FLAGS.threads, lengths)
    scored = score_all(builder, inputs, lengths, others)
    timed = measure([peer for peer, _ in scored], inputs, lengths)
    where = environment((*peer_models.LIBRARIES.values(), *peer_models.TOOLS))
    found = list(results(inputs, scored, timed, lengths, where))
    for record in found:
        records.append(output, record)
    for peer, path in zip(others, also, strict=True):
        print(f"{peer.name}: {path}")
    print_tables(found, inputs.task.primary_metric)
    print(f"The records were added to {output}.")


if __name__ == "__main__":
    define_flags()
    cli.run(main, __doc__)
