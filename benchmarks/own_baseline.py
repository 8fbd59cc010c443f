"""Runs on texts of one's own beside a TF-IDF and logistic regression baseline on the same data.

python benchmarks/own_baseline.py --runs=runs/banking77_1,runs/banking77_2,runs/mnli_9k

The baseline is trained on the training examples of the runs' own records, and scored on the same
splits by the same metrics. Its features are TF-IDF of words and pairs of words, with sublinear
counts; of two texts a and b these are a, b, |a - b| and a * b, so that it can tell how they differ.
scikit-learn's LogisticRegression gives one weight vector a class, or one classifier a label. Of
several labels a tenth of the training examples is held out for the threshold, as in our training.
"""

from __future__ import annotations

import collections
import pathlib
import statistics
from collections.abc import Mapping, Sequence

import numpy as np
from absl import flags
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from bert_glue_tf.core import cli
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import readers, tasks
from bert_glue_tf.data.examples import Examples
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.evaluation import metrics
from bert_glue_tf.reports import terminal
from bert_glue_tf.runs import results
from bert_glue_tf.runs.paths import RunPaths
from bert_glue_tf.runs.results import ExperimentResult
from bert_glue_tf.training import task_settings

FLAGS = flags.FLAGS
flags.DEFINE_list("runs", [], "Folders of finished runs; those on the same data count as seeds.")
flags.DEFINE_float("inverse_regularization", 10.0, "C of the logistic regression.")


class Features:
    """TF-IDF of one text or of two that belong together."""

    def __init__(self, texts: Sequence[Sequence[str]]) -> None:
        """Take the vocabulary from the training texts, a list for each field."""
        self._words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        self._words.fit([text for field in texts for text in field])

    def of(self, texts: Sequence[Sequence[str]]) -> sparse.csr_matrix:
        """Return the features of examples, float [n, features]."""
        found = [self._words.transform(field) for field in texts]
        if len(found) == 1:
            return found[0]
        a, b = found
        return sparse.hstack([a, b, abs(a - b), a.multiply(b)]).tocsr()


def baseline(
    task: TaskSpec, train: Examples, splits: Mapping[str, Examples], inverse_regularization: float
) -> dict[str, float]:
    """Return the baseline's metrics on some splits, by their names in a record.

    Args:
      task: with classes or several labels.
      train: the training examples.
      splits: suffix of the metrics' names -> examples.
      inverse_regularization: C of the logistic regression.

    Raises:
      UserError: the task has numbers to predict.
    """
    if not task.problem.labels:
        raise UserError(
            f"{task.name} has numbers to predict. Good: runs on classes or several labels."
        )
    problem = task.problem
    held_out = None
    if problem.fits_threshold:
        count = max(1, round(task_settings.HELD_OUT * len(train)))
        train, held_out = train.hold_out(count, problem)
    features = Features(train.texts)
    model = LogisticRegression(C=inverse_regularization, max_iter=1000)
    assert train.labels is not None
    is_single = train.labels.ndim == 1
    model = model if is_single else OneVsRestClassifier(model)
    model.fit(features.of(train.texts), train.labels)

    def logits(examples: Examples) -> np.ndarray:
        values = np.asarray(model.decision_function(features.of(examples.texts)))
        if not is_single:
            return values
        if values.ndim == 1:
            values = np.stack([np.zeros_like(values), values], axis=1)
        found = np.full((len(values), len(problem.labels)), -np.inf)
        found[:, model.classes_] = values
        return np.maximum(found, -1e9)  # A class that was never trained on is never the answer.

    if held_out is not None:
        assert held_out.labels is not None
        problem = problem.fitted(held_out.labels, logits(held_out))
    found = {}
    for suffix, examples in splits.items():
        assert examples.labels is not None
        answers = problem.decode(logits(examples))
        for name in task.metrics:
            found[name + suffix] = metrics.METRICS[name](examples.labels, answers)
    return found


def compared(
    records: Sequence[ExperimentResult], inverse_regularization: float
) -> list[dict[str, str]]:
    """Return a row for each metric of runs on the same data.

    Args:
      records: of the runs, which differ in their seeds alone.
      inverse_regularization: C of the logistic regression.
    """
    config = records[0].config
    task = tasks.of(records[0])
    read = readers.load_for_training(task, config["data"], config["train_examples"])
    splits = {suffix: read[split] for suffix, split in task.scored_splits.items()}
    scores = baseline(task, read["train"], splits, inverse_regularization)
    rows = []
    for name, value in scores.items():
        ours = [record.metrics[name] for record in records]
        rows.append(
            {
                "task": task.name,
                "metric": name,
                "runs": str(len(ours)),
                "mean": f"{statistics.fmean(ours):.4f}",
                "range": f"{min(ours):.4f} to {max(ours):.4f}",
                "TF-IDF": f"{value:.4f}",
                "difference, points": f"{100 * (statistics.fmean(ours) - value):+.1f}",
            }
        )
    return rows


def main() -> None:
    """Print a table with a row for each metric of each task.

    Raises:
      UserError: no runs are given, or a folder holds no finished one.
    """
    if not FLAGS.runs:
        raise UserError("--runs: none given. Good: folders of finished runs, with commas between.")
    groups = collections.defaultdict(list)
    for folder in FLAGS.runs:
        record = results.load(RunPaths(pathlib.Path(folder)).results_file)[-1]
        digests = tuple(str(read["sha256"]) for read in record.data.values())
        groups[record.config["task"], digests].append(record)
    rows = [
        row
        for records in groups.values()
        for row in compared(records, FLAGS.inverse_regularization)
    ]
    terminal.print_rows("runs beside TF-IDF and logistic regression", rows)


if __name__ == "__main__":
    cli.run(main, __doc__)
