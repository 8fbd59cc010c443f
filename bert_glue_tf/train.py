"""Command: fine-tune BERT on a GLUE task, prune it, and report it.

python -m bert_glue_tf.train --task=cola --prune
"""

from __future__ import annotations

from absl import flags, logging

from bert_glue_tf.core import cli
from bert_glue_tf.data import readers, tasks
from bert_glue_tf.models import encoders
from bert_glue_tf.runs import command_line, config, suggestions
from bert_glue_tf.runs.run_folder import RunFolder
from bert_glue_tf.training import cluster

command_line.define_flags()
FLAGS = flags.FLAGS
_opened: list[RunFolder] = []  # The folder of this process's run.


def main() -> None:
    experiment_config = command_line.read_flags(FLAGS)
    workdir = command_line.workdir(FLAGS, experiment_config)
    workers = None

    # A finished run is shown with nothing loaded, reached or asked for.
    folder = RunFolder(workdir, experiment_config)
    result = folder.finished_result()
    if result is None:
        config.check_method(experiment_config)
        workers = cluster.of(experiment_config.strategy)
        task = tasks.get(experiment_config.task)
        # Whatever can go wrong without TensorFlow goes wrong here, within seconds.
        source = encoders.resolve(experiment_config.encoder, experiment_config.preprocessing)
        with suggestions.suggesting_local_command(task, source, experiment_config.data):
            encoders.check(source, experiment_config.seq_length)
            readers.check(task, experiment_config.data)
            # Files and the sample are read without TensorFlow too; only TFDS needs it, which is
            # not to be used before the workers are joined.
            examples = None
            if workers is None:
                examples = readers.load_for_training(
                    task, experiment_config.data, experiment_config.train_examples
                )
        claim = RunFolder.open if workers is None or workers.is_chief else RunFolder.follow
        folder = claim(workdir, experiment_config)
        _opened.append(folder)

        logging.info("starting TensorFlow")
        from bert_glue_tf.training import experiment

        result = experiment.train_and_evaluate(experiment_config, folder, examples, FLAGS.tpu)

    if workers is not None and not workers.is_chief:
        print(f"This was {workers.title}. The chief's folder has the results.")
        return
    from bert_glue_tf.reports import terminal

    terminal.print_table(result)
    print(f"Everything of this run is in {folder.path}.")


def _goes_on() -> str:
    begun = any(folder.has_checkpoint or _fine_tuned(folder) for folder in _opened)
    return "from the last state that was saved" if begun else ""


def _fine_tuned(folder: RunFolder) -> bool:
    """Whether something is left of the fine-tuning that the run starts with."""
    config = folder.config.starting_point
    if config is None:
        return False
    start = folder.beside(config)
    return start.has_checkpoint or start.results_file.exists()


def command() -> None:
    """Entry point of `bert-glue-train`."""
    cli.run(main, __doc__, _goes_on)


if __name__ == "__main__":
    command()
