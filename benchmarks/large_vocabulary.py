"""Benchmark: peak memory of import, export and vocabulary pruning of a large vocabulary's model.

python benchmarks/large_vocabulary.py --output=large_vocabulary

Writes the Hugging Face folder of a BERT classifier with random weights and a vocabulary of that
many pieces, as multilingual and cased models have them, and a small file of texts. Each command is
a process of its own, whose largest resident set is read when it ends; that of the processes which
it starts itself counts where it is larger. Takes a quarter of an hour, and several GB of disk.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
from absl import flags

from bert_glue_tf.core import cli
from bert_glue_tf.core.errors import UserError

FLAGS = flags.FLAGS
flags.DEFINE_string("output", None, "A new folder for the model, the texts and the runs.")
flags.DEFINE_integer("pieces", 120_000, "Word pieces of the vocabulary.", lower_bound=1000)
flags.DEFINE_integer("layers", 12, "Layers.", lower_bound=1)
flags.DEFINE_integer("hidden", 768, "Width, a multiple of 64.", lower_bound=64)
flags.DEFINE_integer("examples", 64, "Labelled texts.", lower_bound=20)
flags.mark_flag_as_required("output")

LABELS = ("bad", "good")
SEQ_LENGTH = 32
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def vocabulary(pieces: int) -> list[str]:
    """Return the special tokens, the letters at and behind a word's beginning, and words."""
    fixed = [*_SPECIAL, *_LETTERS, *(f"##{letter}" for letter in _LETTERS)]
    return fixed + [_word(number) for number in range(pieces - len(fixed))]


def _word(number: int) -> str:
    """Return a word of five letters for a number."""
    letters = ""
    for _ in range(5):
        number, rest = divmod(number, len(_LETTERS))
        letters += _LETTERS[rest]
    return letters


def tensors(pieces: int, layers: int, hidden: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield name and shape of each tensor of a BertForSequenceClassification."""
    inner = 4 * hidden
    for name, rows in (("word", pieces), ("position", 512), ("token_type", 2)):
        yield f"bert.embeddings.{name}_embeddings.weight", (rows, hidden)
    for leaf in ("weight", "bias"):
        yield f"bert.embeddings.LayerNorm.{leaf}", (hidden,)
    for layer in range(layers):
        prefix = f"bert.encoder.layer.{layer}"
        dense = {
            **{f"attention.self.{part}": (hidden, hidden) for part in ("query", "key", "value")},
            "attention.output.dense": (hidden, hidden),
            "intermediate.dense": (inner, hidden),
            "output.dense": (hidden, inner),
        }
        for name, shape in dense.items():
            yield f"{prefix}.{name}.weight", shape
            yield f"{prefix}.{name}.bias", shape[:1]
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            for leaf in ("weight", "bias"):
                yield f"{prefix}.{name}.{leaf}", (hidden,)
    for name, width in (("bert.pooler.dense", hidden), ("classifier", len(LABELS))):
        yield f"{name}.weight", (width, hidden)
        yield f"{name}.bias", (width,)


def write_model(folder: pathlib.Path, pieces: int, layers: int, hidden: int) -> None:
    """Write the folder of a classifier with random weights, as Hugging Face's programs do."""
    from safetensors.numpy import save_file

    random = np.random.default_rng(0)
    values = {}
    for name, shape in tensors(pieces, layers, hidden):
        drawn = random.standard_normal(shape, np.float32) * np.float32(0.02)
        values[name] = drawn + np.float32(name.endswith("LayerNorm.weight"))
    folder.mkdir(parents=True)
    save_file(values, folder / "model.safetensors")
    config = {
        "architectures": ["BertForSequenceClassification"],
        "model_type": "bert",
        "vocab_size": pieces,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": hidden // 64,
        "intermediate_size": 4 * hidden,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 512,
        "type_vocab_size": 2,
        "id2label": dict(enumerate(LABELS)),
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (folder / "vocab.txt").write_text("\n".join(vocabulary(pieces)) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True}) + "\n")


def write_texts(path: pathlib.Path, pieces: int, examples: int) -> None:
    """Write a .csv of texts with words of the vocabulary, and a label by turns."""
    random = np.random.default_rng(1)
    rows = ["text,label"]
    for number in range(examples):
        words = " ".join(_word(int(one)) for one in random.integers(0, pieces - 100, 12))
        rows.append(f"{words},{LABELS[number % 2]}")
    path.write_text("\n".join(rows) + "\n")


def commands(folder: pathlib.Path) -> list[tuple[str, list[str]]]:
    """Return what is measured: a name, and a command of ours with its flags."""
    imported, pruned = folder / "imported", folder / "pruned"
    export = ["--recipes=dynamic_int8", f"--seq_lengths={SEQ_LENGTH}", "--latency_repetitions=3"]
    return [
        (
            "import a classifier, score it",
            [
                "import_classifier",
                f"--model={folder / 'model'}",
                f"--data={folder / 'train.csv'}",
                f"--seq_length={SEQ_LENGTH}",
                f"--workdir={imported}",
            ],
        ),
        (
            "export it: float32, dynamic_int8",
            ["export_tflite", f"--run={imported}", *export],
        ),
        (
            "prune its vocabulary, train an epoch",
            [
                "train",
                f"--start={imported}",
                "--pruning_method=vocabulary",
                "--epochs=1",
                "--batch_size=8",
                f"--workdir={pruned}",
            ],
        ),
        ("export that", ["export_tflite", f"--run={pruned}", *export]),
    ]


def measure(name: str, command: list[str], cache: pathlib.Path) -> dict[str, str]:
    """Run a command, and return its row of the table."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", f"bert_glue_tf.{command[0]}", *command[1:]],
        env={**os.environ, "BERT_GLUE_TF_CACHE": str(cache)},
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise UserError(f"{' '.join(command)}: failed. What it says stands above.")
    unit = 1 if sys.platform == "darwin" else 1024  # Bytes there, KiB on Linux.
    return {
        "command": name,
        "peak memory (GB)": f"{usage.ru_maxrss * unit / 1e9:.2f}",
        "seconds": f"{time.perf_counter() - start:.0f}",
    }


def main() -> None:
    folder = cli.path("output", FLAGS.output).absolute()
    if folder.exists():
        raise UserError(f"--output={folder}: is there already. Good: a new folder.")
    if FLAGS.hidden % 64:
        raise UserError(f"--hidden={FLAGS.hidden}: no multiple of 64. Good: 768.")
    write_model(folder / "model", FLAGS.pieces, FLAGS.layers, FLAGS.hidden)
    write_texts(folder / "train.csv", FLAGS.pieces, FLAGS.examples)
    rows = [measure(*one, folder / "cache") for one in commands(folder)]

    from bert_glue_tf.reports import terminal

    weights = sum(int(np.prod(s)) for _, s in tensors(FLAGS.pieces, FLAGS.layers, FLAGS.hidden))
    title = f"{FLAGS.pieces:,} pieces, {FLAGS.layers} layers of {FLAGS.hidden}"
    terminal.print_rows(f"{title}: {4 * weights / 1e9:.2f} GB of float32 weights", rows)


if __name__ == "__main__":
    cli.run(main, __doc__)
