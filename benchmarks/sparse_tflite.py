"""Zeros in a .tflite file: is it smaller, does LiteRT compute with them, and how fast.

python benchmarks/sparse_tflite.py --output=sparse

Places zeros by magnitude in the six matrices of every layer: singly (as --pruning_method=magnitude
does), or in blocks of 4 or 16 inputs of one output (--pruning_method=block with block=4x1 or
block=16x1, which counts inputs first as Keras's kernels do; in TFLite's weights, [out, in], these
are blocks of 1x4 and 1x16, the ones for which LiteRT has kernels). Nothing is trained afterwards:
bytes and time do not depend on it, scores would. Each is exported dense and with TensorFlow's
sparse encoding (tf.lite.Optimize.EXPERIMENTAL_SPARSITY), and run with XNNPACK, as LiteRT does by
default, and in LiteRT's own kernels alone. What is stored sparse and which operators read it is
read from the file.

Without --run the encoder is minilm_l6 as pre-trained, with a fresh classifier. Only ratios mean
something on another machine.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import itertools
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from absl import flags, logging

from bert_glue_tf.core import cli
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import write_atomically
from bert_glue_tf.core.records import FORMAT
from bert_glue_tf.export import convert, quantize
from bert_glue_tf.models.quantization import recipes
from bert_glue_tf.runs import finished, versions

if TYPE_CHECKING:
    import numpy as np

    from bert_glue_tf.models.bert.classifier_weights import SavedWeights

# Name -> inputs of a block (its outputs are always one).
_PATTERNS = {"unstructured": 1, "1x4": 4, "1x16": 16}
_RECIPES = {
    "float32": "TensorFlow's converter",
    "dynamic_int8": "the float32 file through ai-edge-quantizer, as export-tflite does",
    "converter_dynamic_int8": "TensorFlow's converter, Optimize.DEFAULT",
    "converter_static_int8": "the same, calibrated on training sentences",
}
_RUNTIMES = {"XNNPACK": True, "own kernels": False}
_PROGRAM = pathlib.Path(__file__).with_name("sparse_tflite_run.py")
_NAME = "sparse_tflite"
_FORMAT = 1  # Of the records; raised when a field changes its meaning.
# Of the table's columns those that fit into a terminal.
_BRIEF = ("zeros", "encoding", "MB", "gzip", "sparse", "DENSIFY", "XNNPACK: runs", "XNNPACK: time")
# More than float32's rounding, and than what two roundings of the same int8 weights may differ
# by: then the file computes something else.
_FLOAT_TOLERANCE = 1e-4
_INT8_TOLERANCE = 4.0  # Times the dense file's own distance from float32.

flags.DEFINE_string("run", "", "Folder of a finished run, whose weights are taken.")
flags.DEFINE_string("output", "", f"New folder for {_NAME}.jsonl and {_NAME}.md.")
flags.DEFINE_string("records", "", f"A {_NAME}.jsonl: print its tables again, measure nothing.")
flags.DEFINE_list("sparsities", ["50", "70", "90"], "Percent of zeros.")
flags.DEFINE_list("recipes", list(_RECIPES), f"Of {', '.join(_RECIPES)}.")
flags.DEFINE_integer("seq_length", 128, "Length in word pieces.")
flags.DEFINE_integer("repetitions", 20, "Timed runs of each file.")
flags.DEFINE_integer("sentences", 8, "On which files are compared.")
flags.DEFINE_integer("threads", 2, "Threads of LiteRT.")
FLAGS = flags.FLAGS


@dataclasses.dataclass
class _File:
    """One exported file and what is known of it; becomes a line of the records."""

    recipe: str
    pattern: str
    sparsity: float
    encoding: str
    refused: str = ""
    bytes: dict[str, int] = dataclasses.field(default_factory=dict)
    weight_bytes: int = 0
    sparse_tensors: int = 0
    blocks: dict[str, int] = dataclasses.field(default_factory=dict)
    consumers: dict[str, int] = dataclasses.field(default_factory=dict)
    densify: int = 0
    runs: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)

    @property
    def key(self) -> str:
        return f"{self.recipe}-{self.pattern}-{100 * self.sparsity:.0f}-{self.encoding}"


def zeroed(weights: SavedWeights, sparsity: float, inputs: int) -> SavedWeights:
    """The six matrices of every layer without their weakest blocks of so many inputs."""
    import numpy as np

    from bert_glue_tf.compression import ranking
    from bert_glue_tf.models import transformer_names

    encoder = dict(weights.encoder)
    for name, value in encoder.items():
        if not name.startswith("transformer/") or not name.endswith("kernel"):
            continue
        height, width = transformer_names.matrix_shape(name, value.shape)
        blocks = value.reshape(height // inputs, inputs, width)
        scores = np.linalg.norm(blocks.astype(np.float64), axis=1)
        mask = ranking.lowest(scores, round(sparsity * scores.size))
        encoder[name] = (blocks * mask[:, None, :]).reshape(value.shape).astype(np.float32)
    return dataclasses.replace(weights, encoder=encoder)


def run_apart(path: pathlib.Path, features: pathlib.Path) -> dict[str, dict[str, Any]]:
    """Return each runtime's answer to a file: logits and pieces, or why it does not run.

    A process of its own for each, since a file that LiteRT misreads may end it.
    """
    told: dict[str, dict[str, Any]] = {}
    # LiteRT's own kernels first: they have not been seen to crash.
    for name in reversed(_RUNTIMES):
        kernels = "xnnpack" if _RUNTIMES[name] else "own"
        done = subprocess.run(
            [sys.executable, str(_PROGRAM), str(path), str(features), kernels, str(FLAGS.threads)],
            capture_output=True,
            text=True,
        )
        lines = [line for line in done.stdout.splitlines() if line.startswith("RUN ")]
        if lines:
            told[name] = json.loads(lines[0].removeprefix("RUN "))
        elif done.returncode < 0:
            told[name] = {"refused": f"crashed: {signal.Signals(-done.returncode).name}"}
        else:
            raise RuntimeError(f"the process that was to run {path.name} failed:\n{done.stderr}")
    return told


class _Experiment:
    """Makes, reads, runs and times the files of one recipe after the other."""

    def __init__(self, folder: pathlib.Path) -> None:
        from bert_glue_tf.data import preprocessing, readers, tasks
        from bert_glue_tf.models import classifiers, encoders, loading
        from bert_glue_tf.models.bert.backbone import BertBackbone
        from bert_glue_tf.models.bert.classifier_weights import read_weights, weights_of

        if FLAGS.run:
            run = finished.Run.read(pathlib.Path(FLAGS.run))
            task, source = tasks.get(run.config.task), run.config.data
            self.weights = read_weights(run.folder.model)
            location = str(run.folder.model / "preprocessing")
            saved = preprocessing.load(location, location)
            self.what = run.path.name
        else:
            task, source = tasks.get("cola"), "sample"
            encoder = loading.load(encoders.resolve("minilm_l6"), seq_length=FLAGS.seq_length)
            model = classifiers.build_classifier(encoder.layer, task, dropout=0.0, seed=1)
            assert isinstance(encoder, BertBackbone)
            self.weights = weights_of(model, encoder.architecture)
            saved = encoder.preprocessing
            self.what = "minilm_l6, fresh classifier"
        preprocessor = preprocessing.build(saved, task.text_fields, FLAGS.seq_length)

        def features(split: str) -> list[dict[str, np.ndarray]]:
            examples = readers.load(task, source, split, FLAGS.sentences)
            tokens = preprocessing.tokenize(preprocessor, examples.texts)
            return [tokens.batch([i], FLAGS.seq_length) for i in range(len(tokens))]

        import numpy as np

        self.calibration = features("train")
        self.sentences = features(next(iter(task.validation_splits.values())))
        self.folder = folder
        self.features = folder / "features.npz"
        np.savez(
            self.features,
            allow_pickle=False,
            **{k: np.concatenate([s[k] for s in self.sentences]) for k in self.sentences[0]},
        )
        self.float_logits: dict[tuple[str, float], np.ndarray] = {}

    def settings(self) -> list[tuple[str, float]]:
        shares = [int(percent) / 100 for percent in FLAGS.sparsities]
        return [("none", 0.0), *((pattern, share) for pattern in _PATTERNS for share in shares)]

    def make(self, recipe: str) -> list[_File]:
        """The recipe's files, each written, read and run."""
        files = []
        for pattern, share in self.settings():
            for encoding in ("dense", "sparse"):
                file = _File(recipe, pattern, share, encoding)
                logging.info("%s", file.key)
                try:
                    self._read(file, self._convert(file))
                except UserError as error:
                    file.refused = str(error)
                files.append(file)
            self._judge(*files[-2:])
        return files

    def path(self, file: _File) -> pathlib.Path:
        return self.folder / f"{file.key}.tflite"

    def _convert(self, file: _File) -> bytes:
        import tensorflow as tf

        from bert_glue_tf.models.bert import export_graph

        inputs = _PATTERNS.get(file.pattern)
        weights = zeroed(self.weights, file.sparsity, inputs) if inputs else self.weights
        graph = export_graph.ExportGraph(weights)
        lengths, sparse = (FLAGS.seq_length,), file.encoding == "sparse"
        if not file.recipe.startswith("converter"):
            # Left there by the recipe float32, which comes first.
            float32 = self.path(dataclasses.replace(file, recipe="float32"))
            if float32.exists():
                content = float32.read_bytes()
            else:
                content = convert.convert_module(graph, lengths, file.key, sparse)
            return quantize.quantize(content, recipes.RECIPES[file.recipe].rules)
        optimizations = [tf.lite.Optimize.DEFAULT]
        if sparse:
            optimizations.append(tf.lite.Optimize.EXPERIMENTAL_SPARSITY)
        examples = self.calibration if file.recipe == "converter_static_int8" else ()
        return convert.from_converter(graph, lengths, file.key, optimizations, examples)

    def _read(self, file: _File, content: bytes) -> None:
        import collections

        from bert_glue_tf.evaluation import cost
        from bert_glue_tf.export import flatbuffer

        self.path(file).write_bytes(content)
        model = flatbuffer.read(content)
        sparse = flatbuffer.sparse_tensors(model)
        file.bytes = cost.size_on_disk(self.path(file))
        file.weight_bytes = flatbuffer.dense_weight_bytes(model)
        file.sparse_tensors = len(sparse)
        file.blocks = dict(collections.Counter("x".join(map(str, t.block)) for t in sparse))
        file.consumers = dict(collections.Counter(name for t in sparse for name in t.consumers))
        file.densify = flatbuffer.operator_counts(model).get("DENSIFY", 0)
        file.runs = run_apart(self.path(file), self.features)

    def _judge(self, dense: _File, sparse: _File) -> None:
        """Says of both files how they run and how far their logits are from the dense one's."""
        import numpy as np

        case = (dense.pattern, dense.sparsity)
        for name in _RUNTIMES:
            of_dense = np.array(dense.runs[name]["logits"])
            if dense.recipe == "float32" and name == "XNNPACK":
                self.float_logits[case] = of_dense
            noise = float(np.abs(of_dense - self.float_logits[case]).max())
            for file in (dense, sparse):
                run = file.runs.get(name)
                if run is None:
                    continue
                if "refused" in run:
                    run["how"] = "refused"
                    continue
                difference = np.abs(np.array(run.pop("logits")) - of_dense)
                run["difference"] = float(difference.max())
                run["float32_difference"] = noise
                allowed = max(_FLOAT_TOLERANCE, _INT8_TOLERANCE * noise)
                run["how"] = (
                    "wrong logits" if run["difference"] > allowed else self._how(file, dense, name)
                )

    @staticmethod
    def _how(file: _File, dense: _File, runtime: str) -> str:
        direct = file.consumers.get("FULLY_CONNECTED", 0)
        if not file.sparse_tensors:
            return "dense"
        if not direct:
            return "dense, by DENSIFY"
        # XNNPACK leaves out what it cannot do; where nothing is left out, it has taken all.
        if runtime == "XNNPACK" and file.runs[runtime]["pieces"] == dense.runs[runtime]["pieces"]:
            return "inside XNNPACK"
        return "sparse" if not file.densify else f"{direct} sparse, {file.densify} by DENSIFY"

    def time(self, files: Sequence[_File]) -> None:
        """Times all files of a recipe that give the right logits, in one interleaved run."""
        from bert_glue_tf.evaluation import cost
        from bert_glue_tf.export import litert

        calls: dict[tuple[str, str], Callable[[], object]] = {}
        for file in files:
            for name, run in file.runs.items():
                # Dense files differ in their numbers only: one tells the own kernels' time.
                repeats = name != "XNNPACK" and file.encoding == "dense" and file.pattern != "none"
                if run["how"] in ("refused", "wrong logits") or repeats:
                    continue
                model = litert.LiteModel(
                    self.path(file).read_bytes(), FLAGS.threads, file.key, _RUNTIMES[name]
                )
                calls[file.key, name] = functools.partial(model.predict, self.sentences[0])
        logging.info("timing %d files and runtimes", len(calls))
        # The names are only carried through.
        timed: Mapping[Any, dict[str, float]] = cost.interleaved_latency(
            calls,  # type: ignore[arg-type]
            FLAGS.repetitions,
            warmup=3,
        )
        for file in files:
            for name, run in file.runs.items():
                if (latency := timed.get((file.key, name))) is not None:
                    run["latency_ms"] = latency


def _dense_times(files: Sequence[_File]) -> dict[str, list[float]]:
    """Times of the recipe's dense files in XNNPACK, ascending, by "min" and "p50".

    They hold the same operators and differ in their numbers only, so that what they differ by
    is the machine's doing.
    """
    times = [
        file.runs["XNNPACK"]["latency_ms"]
        for file in files
        if file.encoding == "dense" and "latency_ms" in file.runs.get("XNNPACK", {})
    ]
    return {key: sorted(each[key] for each in times) for key in ("min", "p50")}


def _cells(file: _File, plain_bytes: int, reference: Mapping[str, float]) -> dict[str, str]:
    """A row of the table; bytes and milliseconds of the dense, unpruned file to compare with."""
    row = {
        "zeros": f"{100 * file.sparsity:.0f} % {file.pattern}" if file.sparsity else "none",
        "encoding": file.encoding,
        **dict.fromkeys(("MB", "gzip", "weights", "smaller", "sparse", "DENSIFY", "read by"), ""),
    }
    if file.refused:
        row["sparse"] = "no file"
    else:
        plain = file.bytes["plain"]
        blocks = ", ".join(f"{number} of {block}" for block, number in file.blocks.items())
        row |= {
            "MB": f"{plain / 1e6:.2f}",
            "gzip": f"{file.bytes['gzip'] / 1e6:.2f}",
            "weights": f"{file.weight_bytes / 1e6:.2f}",
            "smaller": f"{100 * (1 - plain / plain_bytes):.0f} %".replace("-0", "0"),
            "sparse": blocks or "0",
            "DENSIFY": str(file.densify),
            "read by": ", ".join(f"{n} {name}" for name, n in file.consumers.items()) or "-",
        }
    for name in _RUNTIMES:
        run = file.runs.get(name, {})
        row[f"{name}: runs"] = run.get("how", "")
        row[f"{name}: difference"] = f"{run['difference']:.1e}" if "difference" in run else ""
        latency = run.get("latency_ms")
        row[f"{name}: time"] = (
            " / ".join(f"{latency[key] / reference[key]:.2f}" for key in ("min", "p50"))
            if latency
            else ""
        )
    row["pieces"] = str(file.runs.get("XNNPACK", {}).get("pieces", ""))
    return row


def _reasons(files: Sequence[_File]) -> list[str]:
    """Return the reasons why files were refused, each once, with the cases that it meets."""
    found: dict[str, list[str]] = {}
    for file in files:
        case = f"{100 * file.sparsity:.0f} % {file.pattern}"
        if file.refused:
            found.setdefault(f"No file: {_first(file.refused)}", []).append(case)
        for name, run in file.runs.items():
            if "refused" in run:
                found.setdefault(f"{name}: {_first(run['refused'])}", []).append(case)
    return [f"{reason} ({', '.join(cases)})" for reason, cases in found.items()]


def _first(reason: str) -> str:
    """The first of LiteRT's complaints about one operator after the other, without numbers."""
    reason = re.sub(r"^the file: cannot be run by LiteRT \((.*)\)\.$", r"\1", reason)
    reason = re.sub(r" node #\d+.*", "", reason)
    return re.sub(r"of size \d+", "of size ...", reason)


def _page(records: Sequence[Mapping[str, Any]], show: bool = False) -> str:
    """The records of one recipe as Markdown; `show` prints what of it fits into a terminal."""
    from bert_glue_tf.reports import terminal

    fields = [field.name for field in dataclasses.fields(_File)]
    files = [_File(**{name: record[name] for name in fields}) for record in records]
    first = records[0]
    times = _dense_times(files)
    reference = {"min": times["min"][0], "p50": statistics.median(times["p50"])}
    rows = [_cells(file, files[0].bytes["plain"], reference) for file in files]
    title = f"{first['recipe']}: {_RECIPES[first['recipe']]}"
    low, high = (times["p50"][place] / reference["p50"] for place in (0, -1))
    note = (
        f"1.00 is {reference['min']:.1f} ms (shortest call of all dense files) and "
        f"{reference['p50']:.1f} ms (median of their medians, which reach from {low:.2f} to "
        f"{high:.2f} of it) at length {first['seq_length']}, {first['threads']} threads, "
        f"{first['repetitions']} calls of each; load average {first['load_average']:.1f}."
    )
    reasons = _reasons(files)
    if show:
        terminal.print_rows(title, [{head: row[head] for head in _BRIEF} for row in rows])
        print(note, *reasons, sep="\n")
    heads = list(rows[0])
    lines = [heads, ["---"] * len(heads), *([row[head] for head in heads] for row in rows)]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    listed = "".join(f"\n- {reason}" for reason in reasons)
    return f"## {title}\n\n{note}\n\n{table}\n{listed}\n"


def _tables_again(path: pathlib.Path) -> None:
    """Prints the tables of earlier records."""
    try:
        records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise UserError(f"--records={path}: cannot be read ({error}).") from None
    for _, some in itertools.groupby(records, key=lambda record: record["recipe"]):
        print(_page(list(some)))


def main() -> None:
    if FLAGS.records:
        _tables_again(pathlib.Path(FLAGS.records))
        return
    if not FLAGS.output:
        raise UserError("--output is missing. Give a folder for the records and the table.")
    output = pathlib.Path(FLAGS.output)
    records, page = output / f"{_NAME}.jsonl", output / f"{_NAME}.md"
    for path in (records, page):
        if path.exists():
            raise UserError(f"--output={output}: {path.name} is there already. Give a new folder.")
    for recipe in FLAGS.recipes:
        if recipe not in _RECIPES:
            raise UserError(f"--recipes={recipe}: none. Good values: {', '.join(_RECIPES)}.")
    if "float32" != FLAGS.recipes[0]:
        raise UserError("--recipes: must begin with float32, which the others are compared with.")

    output.mkdir(parents=True, exist_ok=True)
    environment = versions.environment(["CPU"])
    pages, lines = [], []
    with tempfile.TemporaryDirectory() as folder:
        experiment = _Experiment(pathlib.Path(folder))
        for recipe in FLAGS.recipes:
            files = experiment.make(recipe)
            experiment.time(files)
            common = {
                "model": experiment.what,
                "seq_length": FLAGS.seq_length,
                "threads": FLAGS.threads,
                "repetitions": FLAGS.repetitions,
                "load_average": os.getloadavg()[0],
                "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                "environment": environment,
            }
            made = [{FORMAT: _FORMAT, **dataclasses.asdict(file), **common} for file in files]
            lines += [json.dumps(record) + "\n" for record in made]
            pages.append(_page(made, show=True))
            # After each recipe, so that an interruption loses one only.
            write_atomically(records, "".join(lines))
            write_atomically(page, "\n".join(pages))
            for file in files if recipe != "float32" else ():
                experiment.path(file).unlink(missing_ok=True)


if __name__ == "__main__":
    cli.run(main, __doc__)
