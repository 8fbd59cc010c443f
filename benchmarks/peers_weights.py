"""The first step of `make bench-peers`: a run's weights, sentences and logits, as plain files.

python benchmarks/peers_weights.py --run=runs/cola-minilm_l6-sample-none-seed1

The second, benchmarks/peers.py, reads them in an environment without TensorFlow.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import numpy as np
import peer_others
from absl import flags
from peer_inputs import FOLDER, PeerInputs

from bert_glue_tf.core import cli, files
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import readers, tasks
from bert_glue_tf.export.settings import ExportSettings, check_data, identity
from bert_glue_tf.models import saving
from bert_glue_tf.models.bert.classifier_weights import read_weights
from bert_glue_tf.runs import config, finished

# What NNCF's `quantize` takes by default; our own int8 is calibrated on 128 and chooses its
# operators on 64 others.
CALIBRATION_EXAMPLES = 300
FLAGS = flags.FLAGS


def define_flags() -> None:
    """Not at import: the tests import this module beside the commands."""
    flags.DEFINE_string("run", "", "Folder of a finished run of the train command.")
    flags.DEFINE_string("output", "", f"Folder of the files; by default {FOLDER}/ in the run.")
    flags.DEFINE_integer(
        "calibration_examples",
        CALIBRATION_EXAMPLES,
        "Training sentences from which static int8 takes its ranges.",
    )
    flags.DEFINE_multi_string("also", [], peer_others.HELP)


def collect(
    run: finished.Run,
    calibration_examples: int = CALIBRATION_EXAMPLES,
    also: Sequence[pathlib.Path] = (),
) -> PeerInputs:
    """Return the peers' inputs from a run; of MNLI's two dev splits, the first.

    Args:
      run: a finished one.
      calibration_examples: training sentences, a fixed random choice.
      also: files of other weights, which read the same dev split.

    Raises:
      UserError: the encoder is held as a SavedModel, its layers differ in width, the data has
        changed since the run was scored, or one of the files cannot be used.
    """
    task = tasks.get(run.config.task)
    split = next(iter(task.validation_splits.values()))
    examples = readers.load_for_training(task, run.config.data, run.config.train_examples)
    from bert_glue_tf.data import layouts, preprocessing
    from bert_glue_tf.data.layouts import Padded
    from bert_glue_tf.evaluation import evaluator

    check_data(run, examples)
    saved = read_weights(run.folder.model)
    if saved.architecture.blocks:
        raise UserError(
            f"{run.path}: its network was shrunk, and the peers' models have layers of one width. "
            "Give a run without structured pruning."
        )
    tokenizer = str(run.folder.model / "preprocessing")
    preprocessor = preprocessing.build(
        preprocessing.load(tokenizer, tokenizer), task.text_fields, run.config.seq_length
    )
    train, dev = examples["train"], examples[split]
    assert dev.labels is not None  # A validation split has them.
    chosen = np.random.default_rng(0).choice(
        len(train), min(len(train), calibration_examples), replace=False
    )
    tokens = preprocessing.tokenize(preprocessor, dev.texts)
    logits = evaluator.predict(
        saving.load_predict_fn(run.folder.model),
        tokens,
        evaluator.EVALUATION_BATCH,
        Padded(lengths=layouts.bucket_lengths(run.config.seq_length)),
    )
    return PeerInputs(
        run=run.path.resolve().name,
        task=task,
        split=split,
        encoder=config.short(run.config.encoder),  # A record names no folder.
        data={key: value for key, value in dev.provenance.items() if key != "path"},
        weights_sha256=identity(run, ExportSettings((run.config.seq_length,)))["weights_sha256"],
        architecture=saved.architecture,
        weights={
            **saved.encoder,
            "classifier/kernel": saved.kernel,
            "classifier/bias": saved.bias,
        },
        dev=tokens,
        labels=dev.labels,
        keras_logits=logits,
        calibration=preprocessing.tokenize(
            preprocessor, tuple([column[i] for i in chosen] for column in train.texts)
        ),
        also={files.sha256(path): peer_others.tokens(path, task, dev.texts) for path in also},
    )


def main() -> None:
    if not FLAGS.run:
        raise UserError("--run is missing. Give the folder of a finished run.")
    if FLAGS.calibration_examples < 1:
        raise UserError(f"--calibration_examples={FLAGS.calibration_examples}: must be 1 or more.")
    run = finished.Run.read(pathlib.Path(FLAGS.run).expanduser())
    output = pathlib.Path(FLAGS.output).expanduser() if FLAGS.output else run.path / FOLDER
    inputs = collect(run, FLAGS.calibration_examples, peer_others.paths(FLAGS.also))
    inputs.save(output)
    print(
        f"{output}: weights of {inputs.run}, {len(inputs.dev):,} examples of {inputs.split}, "
        f"{len(inputs.calibration):,} training sentences for calibration."
    )


if __name__ == "__main__":
    define_flags()
    cli.run(main, __doc__)
