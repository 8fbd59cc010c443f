"""Program: what short runs of every part give, a line for each fact, to be compared with `diff`.

python tests/programs/same_results.py --workdir=/tmp/before --output=before.txt

Run before and after a change that is to change no result, on the same machine: the two files are
to be the same. The commands of the repository in which this file lies are run, as processes of
one CPU thread each; nothing is imported from the package, and what they leave behind is read here
anew, so that its modules may be moved and renamed. What is measured (times, memory) is left out,
and so is what only says where and by which version something was made.

--glue, or the variable BERT_GLUE_TF_GLUE_DIR, names the folder with GLUE's own .tsv folders; the
runs that need it are passed over without it.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import csv
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import shutil
import string
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGE = "bert_glue_tf"
GLUE_DIR = "BERT_GLUE_TF_GLUE_DIR"

# Logical name -> what it was called before the renaming. The lines have the logical names, in
# whichever version of the code they were made.
METHODS = {
    "magnitude": "irregular",
    "classifier_magnitude": "magnitude",
    "attention_head": "head",
}
SCOPES = {"classifier": "head"}
# Logical flag -> its name, where a version has another one; see `Names`.
FLAGS: dict[str, str] = {}
NEW_NAME = "classifier_magnitude"  # The help text has it from the renaming on.

Facts = dict[str, str]


# The runs.


@dataclasses.dataclass(frozen=True)
class Case:
    """One training and what is made of it.

    Attributes:
      name: of the folder, and at the start of each line.
      settings: flags of the train command, by their logical names.
      encoder: "tiny", "saved_model" or a name that --encoder knows.
      recipes: to export; None for none, empty for all.
      predicts: whether the model and its float32 file answer a few sentences.
      submits: whether the benchmark's submission file is written.
      needs: "glue", "words" or "aspects", files that --data names.
    """

    name: str
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    encoder: str = "tiny"
    recipes: tuple[str, ...] | None = None
    predicts: bool = False
    submits: bool = False
    needs: str = ""


# A dozen steps, long enough for every method to begin and to end.
COMMON = {
    "task": "cola",
    "data": "sample",
    "train_examples": 96,
    "epochs": 2,
    "batch_size": 16,
    "seq_length": 32,
    "learning_rate": 1e-3,
    "strategy": "cpu",
}
# What a tiny encoder learns, so that files and comparisons have labels that differ.
LEARNED = {
    "task": "sst2",
    "batch_size": 8,
    "epochs": 5,
    "seq_length": 16,
    "learning_rate": 3e-3,
    "dropout": 0.0,
    "encoder_dropout": 0.0,
}
SMALL = {"train_examples": 64, "epochs": 1, "learning_rate": 1e-4}
HALF = {"final_sparsity": 0.5}


def _pruned(method: str, options: str = "", **settings: Any) -> dict[str, Any]:
    chosen = {"pruning_method": method, **HALF, **settings}
    return chosen | ({"pruning_options": options} if options else {})


# Others start from what it has imported.
_FIRST = Case("words-unpruned", LEARNED, recipes=(), predicts=True, needs="words")
CASES = (
    Case("minilm-prune", {**SMALL, "prune": True}, "minilm_l6", recipes=(), predicts=True),
    Case("minilm-unpruned", SMALL, "minilm_l6"),
    Case("minilm-attention_head", {**SMALL, **_pruned("attention_head")}, "minilm_l6"),
    Case(
        "minilm-movement",
        {**SMALL, **_pruned("movement", "initial=magnitude", task="mrpc")},
        "minilm_l6",
        recipes=("dynamic_int8",),
    ),
    Case("words-unpruned-seed2", {**LEARNED, "seed": 2}, needs="words"),
    Case("words-prune", {**LEARNED, "prune": True}, recipes=("dynamic_int8",), needs="words"),
    Case("words-prune-seed2", {**LEARNED, "prune": True, "seed": 2}, needs="words"),
    Case(
        "words-magnitude",
        {**LEARNED, **_pruned("magnitude")},
        recipes=("float32",),
        needs="words",
    ),
    Case("tiny-unpruned"),
    Case("tiny-magnitude", _pruned("magnitude")),
    Case("tiny-magnitude-global", _pruned("magnitude", ranking="global", pruning_scope="all")),
    Case(
        "tiny-magnitude-classifier",
        _pruned("magnitude", pruning_scope="classifier", task="sst2", encoder_dropout=0.0),
    ),
    Case(
        "tiny-magnitude-lamp-bfloat16",
        _pruned("magnitude", ranking="lamp", mixed_precision="bfloat16", pruning_weights="output"),
    ),
    Case(
        "tiny-magnitude-one_shot",
        _pruned("magnitude", pruning_schedule="one_shot", finetune_epochs=1),
    ),
    Case("tiny-random", _pruned("random", pruning_scope="embeddings")),
    Case("tiny-gradient", _pruned("gradient", pruning_schedule="iterative")),
    Case("tiny-movement", _pruned("movement", "variant=soft")),
    Case("tiny-lottery_ticket", _pruned("lottery_ticket", "rounds=2")),
    Case("tiny-row", _pruned("row", pruning_schedule="one_shot", finetune_epochs=1)),
    Case("tiny-column", _pruned("column", ranking="global")),
    Case("tiny-block", _pruned("block", "block=8x8", ranking="lamp")),
    Case("tiny-pattern", _pruned("pattern", "block=4x4 patterns=4")),
    Case("tiny-admm", _pruned("admm")),
    Case("tiny-admm-row", _pruned("admm", "structure=row")),
    Case(
        "words-attention_head",
        {**LEARNED, **_pruned("attention_head")},
        recipes=("float32",),
        predicts=True,
        needs="words",
    ),
    Case("tiny-attention_head", _pruned("attention_head", pruning_schedule="iterative")),
    Case("tiny-neuron", _pruned("neuron", ranking="global")),
    Case("tiny-layer", _pruned("layer")),
    Case("tiny-layer-greedy", _pruned("layer", "order=greedy", finetune_epochs=1, held_out=24)),
    Case("tiny-vocabulary", _pruned("vocabulary", task="mrpc"), recipes=("float32",)),
    Case(
        "tiny-combined",
        _pruned("vocabulary,attention_head,neuron", "vocabulary.final_sparsity=0.3", task="sst2"),
    ),
    Case("tiny-mrpc", {"task": "mrpc", "packing": "false"}, predicts=True),
    Case("tiny-sst2", {"task": "sst2", "length_buckets": False}),
    Case("tiny-stsb", {"task": "stsb"}, recipes=("int8",), submits=True, needs="glue"),
    Case("tiny-stsb-magnitude", {"task": "stsb", **_pruned("magnitude")}, needs="glue"),
    Case("tiny-rest16", {"task": "rest16"}, recipes=("float32",), predicts=True, needs="aspects"),
    Case(
        "saved_model-unpruned",
        {},
        "saved_model",
        recipes=("float32", "dynamic_int8"),
        predicts=True,
    ),
    Case("saved_model-prune", {"prune": True}, "saved_model"),
    Case("saved_model-magnitude", _pruned("magnitude", finetune_epochs=1), "saved_model"),
)
SWEEP, COMPARE = "sweep", "compare"
SWEPT = {"grid": "pruning_method=none,magnitude;seed=1,2", **HALF, "epochs": 1}
# One task and encoder; with files of two of them.
COMPARED = (
    "words-unpruned",
    "words-unpruned-seed2",
    "words-prune",
    "words-prune-seed2",
    "words-magnitude",
    "words-attention_head",
)
SENTENCES = {
    1: ("The cat sat on the mat.", "Mary are here", "this film is not bad at all", "Ünïcode 42!"),
    2: ("The cat sat.\tThe cat was sitting.", "John sold a book.\tA book was bought by Mary."),
}
PAIRS = ("mrpc", "stsb", "rest16")  # Of the tasks above, those of two texts.


class Names:
    """The names of the version that is run: old ones until its help text has a new one."""

    def __init__(self, is_new: bool) -> None:
        self.is_new = is_new

    @classmethod
    def of(cls, runner: Runner) -> Names:
        """Asks the train command."""
        return cls(NEW_NAME in runner.run("train", ["--help"], may_fail=True))

    def flags(self, settings: dict[str, Any]) -> list[str]:
        """Arguments of a command from settings by logical names."""
        found = []
        for flag, value in settings.items():
            value = str(value)
            if not self.is_new and flag in ("pruning_method", "pruning_options", "grid"):
                value = _replaced(value, METHODS)
            elif not self.is_new and flag == "pruning_scope":
                value = SCOPES.get(value, value)
            found.append(f"--{FLAGS.get(flag, flag)}={value}")
        return found

    def logical(self, text: str) -> str:
        """A text in which methods stand, by their logical names."""
        return text if self.is_new else _replaced(text, {old: new for new, old in METHODS.items()})


def _replaced(text: str, names: dict[str, str]) -> str:
    # Not after `=` but in a grid's list of methods: initial=magnitude is no method.
    pattern = rf"(?<![\w.])(?<!initial=)({'|'.join(names)})(?![\w.]*=)(?!\w)"
    return re.sub(pattern, lambda found: names[found[1]], text)


class Runner:
    """Runs the package's commands, each with one thread.

    Attributes:
      workdir: of everything.
    """

    def __init__(self, workdir: pathlib.Path) -> None:
        self.workdir = workdir
        variables = {name: value for name, value in os.environ.items() if name != "TF_CONFIG"}
        self._variables = variables | {
            # Before the installed package, which may be that of another folder.
            "PYTHONPATH": str(ROOT),
            "PYTHONHASHSEED": "0",
            "OMP_NUM_THREADS": "1",
            "TF_NUM_INTRAOP_THREADS": "1",
            "TF_NUM_INTEROP_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "BERT_GLUE_TF_CACHE": str(workdir / "cache"),
            # The commit stands in what is written; git that finds no repository gives none.
            "GIT_DIR": os.devnull,
            "COLUMNS": "200",
        }

    def run(
        self, command: str, arguments: Sequence[str], *, stdin: str = "", may_fail: bool = False
    ) -> str:
        """Runs a command and returns its standard output.

        Raises:
          RuntimeError: it failed; the message holds the end of its standard error.
        """
        done = subprocess.run(
            [sys.executable, "-m", f"{PACKAGE}.{command}", *arguments],
            cwd=ROOT,
            env=self._variables,
            input=stdin,
            capture_output=True,
            encoding="utf-8",
        )
        if done.returncode and not may_fail:
            end = "\n".join(done.stderr.splitlines()[-15:])
            raise RuntimeError(f"{command} {' '.join(arguments)}: exit {done.returncode}\n{end}")
        return done.stdout


# The encoders and the data.

_WORDS = (
    "the a an and or not no is are was were be been it he she they we you i of in on at to for "
    "from with by as that this these those who what which how when will would can could did do "
    "does has have had book film movie story man woman boy girl cat dog good bad very well great "
    "mary john read saw said sold gave went came if but so than more all some any her him his "
    "them bought lent borrowed child children letter friend teacher student plot acting dull "
    "bright himself herself themselves"
).split()
_ENDS = ("##s", "##ed", "##ing", "##er", "##ly", "##e", "##th", "##an", "##in", "##on", "##re")
_LETTERS = string.digits + string.ascii_lowercase
VOCABULARY = tuple(
    dict.fromkeys(
        (
            *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
            *string.punctuation,
            *_LETTERS,
            *(f"##{letter}" for letter in _LETTERS),
            *_WORDS,
            *_ENDS,
        )
    )
)
LAYERS, HIDDEN, HEADS, INNER, POSITIONS = 2, 32, 4, 64, 64


def write_tiny(folder: pathlib.Path) -> None:
    """Writes a tiny BERT with random weights as Hugging Face's folder."""
    from safetensors.numpy import save_file

    hidden, inner = (HIDDEN,), (INNER,)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (len(VOCABULARY), HIDDEN),
        "embeddings.position_embeddings.weight": (POSITIONS, HIDDEN),
        "embeddings.token_type_embeddings.weight": (2, HIDDEN),
        "embeddings.LayerNorm.weight": hidden,
        "embeddings.LayerNorm.bias": hidden,
        "pooler.dense.weight": hidden + hidden,
        "pooler.dense.bias": hidden,
    }
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}."
        for part, out, into in (
            *((f"attention.self.{part}", hidden, hidden) for part in ("query", "key", "value")),
            ("attention.output.dense", hidden, hidden),
            ("intermediate.dense", inner, hidden),
            ("output.dense", hidden, inner),
        ):
            shapes |= {f"{at}{part}.weight": out + into, f"{at}{part}.bias": out}
        for part in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes |= {f"{at}{part}.weight": hidden, f"{at}{part}.bias": hidden}
    random = np.random.default_rng(0)
    weights = {}
    for name, shape in shapes.items():
        value = random.normal(0.0, 1.5 / np.sqrt(HIDDEN) if len(shape) > 1 else 0.3, shape)
        value += name.endswith("LayerNorm.weight")
        weights[name] = value.astype(np.float32)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "model.safetensors")
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    config = {
        "model_type": "bert",
        "vocab_size": len(VOCABULARY),
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": INNER,
        "max_position_embeddings": POSITIONS,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}', encoding="utf-8")


def write_saved_model(folder: pathlib.Path) -> None:
    """Writes a SavedModel that is no standard BERT: its word embeddings are factorised."""
    import tensorflow as tf
    from official.nlp.modeling import networks

    tf.random.set_seed(1)  # Its dropout's seeds are saved with it.
    encoder = networks.BertEncoderV2(
        vocab_size=len(VOCABULARY),
        hidden_size=HIDDEN,
        num_layers=LAYERS,
        num_attention_heads=HEADS,
        inner_dim=INNER,
        max_sequence_length=POSITIONS,
        type_vocab_size=2,
        embedding_width=8,
    )
    names = ("input_word_ids", "input_mask", "input_type_ids")
    encoder({name: tf.ones((1, 2), tf.int32) for name in names})
    random = np.random.default_rng(1)
    for variable in encoder.variables:
        value = random.normal(0.0, 0.2, variable.shape) + ("gamma" in variable.name)
        variable.assign(value.astype(np.float32))
    inputs = {name: tf.TensorSpec([None, None], tf.int32, name) for name in names}

    @tf.function(autograph=False)
    def call(inputs: dict[str, Any], training: bool = False) -> dict[str, Any]:
        return dict(encoder(inputs, training=training))

    for training in (False, True):
        call.get_concrete_function(inputs, training=training)
    saved = tf.train.Checkpoint()
    saved.__call__ = call
    saved.variables = list(encoder.variables)
    saved.trainable_variables = list(encoder.trainable_variables)
    saved.regularization_losses = []
    tf.saved_model.save(saved, str(folder))


def write_words(folder: pathlib.Path) -> None:
    """Writes GLUE's SST-2 with sentences of our own, which one word decides."""
    fillers = "the a film movie book story man woman it is was very this that he she saw".split()
    random = np.random.default_rng(0)
    (folder / "SST-2").mkdir(parents=True)
    for name, number in (("train", 96), ("dev", 80)):
        lines = ["sentence\tlabel"]
        for i in range(number):
            words = list(random.choice(fillers, random.integers(3, 12)))
            word = ("bad", ("good", "great")[i % 4 // 2])[i % 2]
            words.insert(random.integers(len(words) + 1), word)
            lines.append(f"{' '.join(words)}\t{i % 2}")
        (folder / "SST-2" / f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_aspects(folder: pathlib.Path) -> None:
    """Writes SemEval's rest16 with sentences of our own."""
    words = {"T-NEG": "bad", "T-NEU": "this", "T-POS": "good"}
    nouns = ("film", "movie", "book", "story")
    (folder / "rest16").mkdir(parents=True, exist_ok=True)
    for name, number in (("train", 96), ("dev", 45), ("test", 9)):
        lines = []
        for i in range(number):
            tag, noun = list(words)[i % 3], nouns[i * 7 // 3 % 4]
            lines.append(f"the {noun} is {words[tag]}####the=O {noun}={tag} is=O {words[tag]}=O\n")
        (folder / "rest16" / f"{name}.txt").write_text("".join(lines), encoding="utf-8")


# The facts that are read from a run.


def sha256(content: bytes) -> str:
    """Returns the hexadecimal digest of bytes."""
    return hashlib.sha256(content).hexdigest()


def digest(value: Any) -> str:
    """Returns the digest of a value of JSON, whatever the order of its keys."""
    return sha256(json.dumps(value, sort_keys=True).encode())


class Reader:
    """Reads what the commands have left behind.

    What is said of places (the work folder, the repository, Python's own) is replaced by a word.
    """

    def __init__(self, workdir: pathlib.Path, names: Names) -> None:
        self._names = names
        self._places = {
            os.path.realpath(workdir): "WORKDIR",
            str(ROOT): "ROOT",
            os.path.realpath(sys.prefix): "PREFIX",
            sys.prefix: "PREFIX",
        }

    def run(self, folder: pathlib.Path) -> Facts:
        """Returns the facts of a finished run."""
        record = json.loads((folder / "results.jsonl").read_text(encoding="utf-8").splitlines()[-1])
        facts: Facts = {}
        for group in ("metrics", "intervals", "parameters", "pruning"):
            facts |= {f"{group}.{name}": repr(value) for name, value in record[group].items()}
        facts |= {f"data.{name}": read["sha256"] for name, read in record["data"].items()}
        encoder = record["encoder"]
        # Before there were families, a record said whether the encoder is a BERT of ours.
        facts["encoder.native"] = repr(encoder.get("native", encoder.get("family") == "bert"))
        for name in ("activation", "parameters", "probe_difference", "sha256"):
            if name in encoder:
                facts[f"encoder.{name}"] = repr(encoder[name])
        for name, value in encoder.get("starting_point", {}).get("metrics", {}).items():
            facts[f"starting_point.{name}"] = repr(value)
        facts["warnings"] = str(len(record["warnings"]))
        facts["precision"] = record["environment"]["precision"]
        facts["sparsity"] = digest(record["sparsity"])
        facts |= self._mean_sparsity(record["sparsity"])
        facts |= self._history(folder / "history.csv")
        facts |= self.files(folder, "predictions/*", "choices.json")
        facts |= self._model(folder / "model")
        return facts

    @staticmethod
    def _mean_sparsity(found: dict[str, float]) -> Facts:
        values = list(found.values())
        return {"sparsity.mean": repr(sum(values) / len(values))} if values else {}

    @staticmethod
    def _history(path: pathlib.Path) -> Facts:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        facts = {}
        for row in rows:
            # Times, memory and what they are computed from.
            kept = {k: v for k, v in row.items() if not re.search("second|memory|measured", k)}
            facts[f"history.{row['epoch']}"] = digest(kept)
        return facts

    @staticmethod
    def files(folder: pathlib.Path, *patterns: str) -> Facts:
        """Returns the digests of whole files."""
        return {
            path.relative_to(folder).as_posix(): sha256(path.read_bytes())
            for pattern in patterns
            for path in folder.glob(pattern)
        }

    def _model(self, folder: pathlib.Path) -> Facts:
        """Weights and masks, not by the names of variables, and what stands beside them."""
        import tensorflow as tf
        from tensorflow.core.protobuf import saved_model_pb2

        checkpoint = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
        values = [
            np.asarray(checkpoint.get_tensor(name))
            for name in checkpoint.get_variable_to_shape_map()
            if name != "_CHECKPOINTABLE_OBJECT_GRAPH"
        ]
        saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
        operators: dict[str, int] = {}
        for graph in saved.meta_graphs:
            library = graph.graph_def.library.function
            called = {function.signature.name for function in library}
            nodes = [graph.graph_def.node, *(function.node_def for function in library)]
            for node in (node for some in nodes for node in some):
                # Functions are called by their numbers.
                name = "function" if node.op in called else node.op
                operators[name] = operators.get(name, 0) + 1
        architecture = json.loads((folder / "architecture.json").read_text(encoding="utf-8"))
        architecture.pop("family", None)  # Which has been added.
        return {
            "model/variables": str(len(values)),
            "model/weights": _of_arrays(values),
            "model/masks": _of_arrays(value == 0 for value in values),
            "model/zeros": str(sum(int(np.count_nonzero(value == 0)) for value in values)),
            "model/operators": digest(operators),
            "model/architecture.json": digest(self._placed(architecture)),
            **self.files(folder.parent, "model/preprocessing/assets/*"),
        }

    def export(self, folder: pathlib.Path) -> Facts:
        """Returns the facts of an export's folder."""
        facts: Facts = {}
        for line in (folder / "results.jsonl").read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            at = f"tflite/{record['recipe']}"
            for group in ("metrics", "intervals", "parity", "operators"):
                facts |= {f"{at}.{group}.{key}": repr(v) for key, v in record[group].items()}
            for name in ("flips", "pieces", "seq_lengths", "collapsed"):
                facts[f"{at}.{name}"] = repr(record[name])
            facts[f"{at}.quantization"] = digest(record["quantization"])
            facts |= self._file(folder / record["file"], at)
        found = self.files(folder, "predictions/*", "int8_report.tsv", "vocab.txt")
        return facts | {f"tflite/{name}": value for name, value in found.items()}

    def _file(self, path: pathlib.Path, at: str) -> Facts:
        """A .tflite file without its metadata, in which the run's place stands, and these."""
        from tensorflow.lite.tools import flatbuffer_utils

        model = flatbuffer_utils.read_model(str(path))
        facts = {}
        for entry in model.metadata or ():
            buffer = model.buffers[entry.buffer]
            content = bytes(bytearray(buffer.data)) if buffer.data is not None else b""
            name = entry.name.decode() if isinstance(entry.name, bytes) else entry.name
            try:
                values = json.loads(content)
            except ValueError:
                continue  # TensorFlow's own: stays in the file.
            facts[f"{at}.metadata.{name}"] = digest(self._placed(values))
            buffer.data = None
        facts[f"{at}.tflite"] = sha256(bytes(flatbuffer_utils.convert_object_to_bytearray(model)))
        return facts

    def _placed(self, value: Any) -> Any:
        """A value of JSON with words for places."""
        text = json.dumps(value, sort_keys=True)
        for place, word in self._places.items():
            text = text.replace(json.dumps(place)[1:-1], word)
        return json.loads(text)

    def compared(self, folder: pathlib.Path, output: str) -> Facts:
        """Returns the facts of a comparison: scores, differences, and what they are worth."""
        with (folder / "comparison.csv").open(encoding="utf-8", newline="") as file:
            facts = self._rows("model", list(csv.DictReader(file)))
        text = (folder / "comparison.md").read_text(encoding="utf-8")
        for title in ("Models", "Differences"):
            facts |= self._rows(title, _table(text.split(f"# {title}\n")[1].split("\n# ")[0]))
        notes = [line for line in output.splitlines() if line.startswith("COLLAPSED")]
        return facts | {"notes": str(len(notes))}

    def _rows(self, title: str, rows: Sequence[dict[str, str]]) -> Facts:
        """Rows of a table in an order that names do not decide, each with its content."""
        shown = sorted(
            json.dumps(self._placed({k: self._names.logical(v) for k, v in row.items()}))
            for row in ({k: v for k, v in r.items() if not _MEASURED.search(k)} for r in rows)
        )
        return {f"{title}.{number:02}": line for number, line in enumerate(shown)}

    def swept(self, folder: pathlib.Path, output: str) -> Facts:
        """Returns the facts of the table that a sweep prints, and of its runs."""
        facts: Facts = {}
        for path in folder.glob("*/config.json"):
            config = json.loads(path.read_text(encoding="utf-8"))
            method = self._names.logical(config[FLAGS.get("pruning_method", "pruning_method")])
            one = self.run(path.parent)
            facts |= {f"{method}-seed{config['seed']}.{k}": value for k, value in one.items()}
        table = output.split("Primary metric", 1)[1].split("\n\n")[0].splitlines()
        # Not the warnings below it: a run's name there holds a checksum of its settings' names.
        rows = [
            " ".join(self._names.logical(line).split())
            for line in table
            if "0." in line and not line.startswith("Warning")
        ]
        return facts | {f"table.{number}": row for number, row in enumerate(sorted(rows))}


# Of a table's columns those with times, memory, and sizes of files in which places are named.
_MEASURED = re.compile(r"(?i)\bms\b|^ms_|speed|second|memory|size|bytes|gzip|session|^run$|folder")


def _of_arrays(arrays: Iterable[np.ndarray]) -> str:
    """A digest of arrays in an order that their names do not decide."""
    each = sorted(
        f"{array.dtype} {array.shape} {sha256(np.ascontiguousarray(array).tobytes())}"
        for array in arrays
    )
    return sha256("\n".join(each).encode())


def _table(markdown: str) -> list[dict[str, str]]:
    """The rows of the Markdown table in a text."""
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


# The program.


class Program:
    """Runs the cases and writes down what they give.

    Attributes:
      lines: run, fact and value, in no order.
    """

    def __init__(self, workdir: pathlib.Path, glue: str) -> None:
        self._workdir = workdir
        self._glue = glue
        self._runner = Runner(workdir)
        self._names = Names.of(self._runner)
        self._reader = Reader(workdir, self._names)
        self._lock = threading.Lock()
        self._start = time.monotonic()
        self.lines: list[str] = []
        self.failures: list[str] = []

    def say(self, text: str) -> None:
        """Prints a line with the seconds since the start."""
        with self._lock:
            print(f"{time.monotonic() - self._start:6.0f} s  {text}", file=sys.stderr, flush=True)

    def write_inputs(self) -> None:
        """Writes encoders and data, and runs what imports the tiny encoder."""
        write_tiny(self._workdir / "encoders" / "tiny")
        write_words(self._workdir / "words")
        write_aspects(self._workdir / "aspects")
        self.case(_FIRST)
        saved_model = self._workdir / "encoders" / "saved_model"
        write_saved_model(saved_model / "encoder")
        # Its tokenizer is that of the tiny encoder, which the import has written.
        found = sorted((self._workdir / "cache").glob("**/preprocessing/saved_model.pb"))
        shutil.copytree(found[0].parent, saved_model / "preprocessing")

    def _add(self, name: str, facts: Facts) -> None:
        with self._lock:
            self.lines += [f"{name} {fact} {value}" for fact, value in facts.items()]

    def guarded(self, name: str, work: Any, *arguments: Any) -> None:
        """Does a piece of work; a failure is told, kept, and stops no other."""
        start = time.monotonic()
        try:
            work(*arguments)
        except Exception as error:  # Whatever it is, the other lines are of use.
            self.failures.append(name)
            self._add(name, {"FAILED": type(error).__name__})
            self.say(f"{name}: FAILED: {error}")
        else:
            self.say(f"{name}: {time.monotonic() - start:.0f} s")

    def case(self, case: Case) -> None:
        """Does everything of a case."""
        self.guarded(case.name, self._case, case)

    def _encoder(self, name: str) -> str:
        folder = self._workdir / "encoders" / name
        return str(folder) if folder.is_dir() else name

    def _case(self, case: Case) -> None:
        settings = COMMON | {"encoder": self._encoder(case.encoder)} | case.settings
        if case.needs:
            settings["data"] = self._glue if case.needs == "glue" else self._workdir / case.needs
        # A folder of its own, since the run that it starts from comes to lie beside it.
        run = self._workdir / "runs" / case.name / "run"
        self._runner.run("train", self._names.flags(settings | {"workdir": run}))
        for path in sorted(run.parent.glob("*/results.jsonl")):
            facts = self._reader.run(path.parent)
            if path.parent != run:
                facts = {f"start.{fact}": value for fact, value in facts.items()}
            self._add(case.name, facts)
        if case.recipes is not None:
            arguments = {"run": run, "threads": 1, "latency_repetitions": 1}
            arguments |= {"seq_lengths": "16,32", "calibration_examples": 16}
            if case.recipes:
                arguments["recipes"] = ",".join(case.recipes)
            self._runner.run("export_tflite", self._names.flags(arguments))
            self._add(case.name, self._reader.export(run / "tflite"))
        if case.predicts:
            self._add(case.name, dict(self._predicted(run, settings["task"])))
        if case.submits:
            output = run.parent / "submission"
            arguments = {"model": run, "data": self._glue, "glue_submission": output}
            self._runner.run("predict", self._names.flags(arguments | {"threads": 1}))
            found = self._reader.files(output, "*")
            self._add(case.name, {f"submission/{name}": value for name, value in found.items()})

    def _predicted(self, run: pathlib.Path, task: str) -> Iterator[tuple[str, str]]:
        """Yield the answers of `predict`, by the model and its file, as a digest and one whole."""
        sentences = SENTENCES[2 if task in PAIRS else 1]
        for name, model in (("model", run), ("float32", run / "tflite" / "float32.tflite")):
            if not model.exists():
                continue
            for form in ("tsv", "jsonl"):
                arguments = {"model": model, "format": form, "threads": 1}
                answer = self._runner.run(
                    "predict", self._names.flags(arguments), stdin="\n".join(sentences) + "\n"
                )
                yield f"predict.{name}.{form}", sha256(answer.encode())
            arguments = self._names.flags({"model": model, "threads": 1})
            texts = [f"--text={text}" for text in sentences[0].split("\t")]
            answer = self._runner.run("predict", [*arguments, *texts])
            yield f"predict.{name}.text", json.dumps(answer)

    def sweep(self) -> None:
        """Runs a grid of four runs."""
        folder = self._workdir / "sweep"
        settings = COMMON | {"encoder": self._encoder("tiny"), "runs_dir": folder} | SWEPT
        output = self._runner.run("sweep", self._names.flags(settings))
        self._add(SWEEP, self._reader.swept(folder, output))

    def compare(self) -> None:
        """Compares the runs of one task and encoder; all of them have to be there."""
        output = self._workdir / "comparison"
        runs = [self._workdir / "runs" / name / "run" for name in COMPARED]
        arguments = [*(f"--runs={run}" for run in runs), f"--output={output}"]
        self._add(COMPARE, self._reader.compared(output, self._runner.run("compare", arguments)))


def chosen(only: str, has_glue: bool, say: Any) -> tuple[list[Case], bool, bool]:
    """Returns the cases to run besides the first one, and whether to sweep and to compare."""
    wanted = re.compile(only)
    compares, sweeps = (bool(wanted.search(name)) for name in (COMPARE, SWEEP))
    cases = []
    for case in CASES:
        if not wanted.search(case.name) and not (compares and case.name in COMPARED):
            continue
        if case.needs == "glue" and not has_glue:
            say(f"{case.name}: passed over: neither --glue nor {GLUE_DIR} names GLUE's folder")
            continue
        cases.append(case)
    return cases, sweeps, compares


def main() -> int:
    """Runs what the arguments ask for; 1 where something failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--workdir", type=pathlib.Path, required=True, help="new or empty folder")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="file of the lines")
    parser.add_argument("--glue", default=os.environ.get(GLUE_DIR, ""), help="GLUE's folder")
    parser.add_argument("--only", default="", help="regular expression for names of runs")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    given = parser.parse_args()
    workdir = given.workdir.resolve()
    if workdir.exists() and any(workdir.iterdir()):
        parser.error(f"--workdir={given.workdir}: is not empty; finished runs would not be run")
    workdir.mkdir(parents=True, exist_ok=True)
    # Before TensorFlow is imported here: the encoder that is written is one of Keras 2.
    os.environ |= {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}

    program = Program(workdir, given.glue)
    cases, sweeps, compares = chosen(given.only, bool(given.glue), program.say)
    program.write_inputs()
    with concurrent.futures.ThreadPoolExecutor(given.jobs) as pool:
        if sweeps:  # First, since it takes longest.
            pool.submit(program.guarded, SWEEP, program.sweep)
        for case in cases:
            pool.submit(program.case, case)
    if compares:
        program.guarded(COMPARE, program.compare)
    given.output.write_text("\n".join(sorted(program.lines)) + "\n", encoding="utf-8")
    program.say(f"{len(program.lines)} lines in {given.output}")
    if program.failures:
        program.say(f"FAILED: {', '.join(program.failures)}")
    return 1 if program.failures else 0


if __name__ == "__main__":
    sys.exit(main())
