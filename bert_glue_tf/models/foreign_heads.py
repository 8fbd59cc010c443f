"""The classification head of another program's classifier: its outputs, by the names of labels.

Two programs number the classes of a task in different orders: published checkpoints of MNLI begin
with contradiction, and GLUE with entailment. So an output is what its name says, and never what
its place says.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import problems
from bert_glue_tf.data.tasks import TaskSpec

if TYPE_CHECKING:
    import numpy as np

# Kind of problem (`problems.PROBLEMS`) -> config.json's problem_type.
PROBLEM_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "classification": "single_label_classification",
        "multi_label": "multi_label_classification",
        "regression": "regression",
    }
)
# What Hugging Face calls the classes of a model whose author gave no names.
_NO_NAME = re.compile(r"(label_?)?\d+", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class ForeignHead:
    """The dense layer behind the pooler of a classifier.

    Attributes:
      kernel: float32 [hidden, outputs].
      bias: float32 [outputs].
      names: of the outputs, in their order, as the folder's configuration has them.
      origin: the file of these names, for messages.
      problem_type: config.json's, one of the values of `PROBLEM_TYPES`; empty where it says none.
    """

    kernel: np.ndarray
    bias: np.ndarray
    names: tuple[str, ...]
    origin: str
    problem_type: str = ""

    def for_task(self, task: TaskSpec, given: Sequence[str] = ()) -> tuple[np.ndarray, np.ndarray]:
        """Return kernel and bias with their outputs in the order of the task's labels.

        Args:
          task: of the classifier.
          given: value of --labels: the outputs' names in their order; empty takes the folder's.

        Raises:
          UserError: the outputs' names are not the task's labels, or are none, or the outputs
            answer another kind of problem.
        """
        labels = task.problem.labels
        if task.problem.tags_words:
            raise UserError(
                f"--task={task.name}: tags words, and the classifier of {self.origin} answers a "
                "text as a whole. Good: train a head on its encoder (python -m "
                "bert_glue_tf.train --encoder=FOLDER)."
            )
        self._check_problem_type(task)
        if len(self.bias) != task.problem.width:
            raise UserError(
                f"{self.origin}: the classifier has {len(self.bias)} outputs "
                f"({', '.join(self.names)}), and --task={task.name} has {task.problem.width}"
                + (f" ({', '.join(labels)})." if labels else ".")
            )
        if not labels:  # A number has no name.
            return self.kernel, self.bias
        key = _key_for(labels)
        names = self._names(task, given, key)
        order = [names.index(key(label)) for label in labels]
        return self.kernel[:, order], self.bias[order]

    def _check_problem_type(self, task: TaskSpec) -> None:
        """Refuse outputs that were trained for another kind of problem: a sigmoid is no softmax."""
        wanted = PROBLEM_TYPES.get(problems.to_json(task.problem)["kind"])
        if self.problem_type and self.problem_type != wanted:
            raise UserError(
                f"{self.origin}: problem_type is {self.problem_type!r}, and the answers of "
                f"--task={task.name} are of the type {wanted!r}. Good: a task of the classifier's "
                "own type."
            )

    def _names(self, task: TaskSpec, given: Sequence[str], key: Callable[[str], str]) -> list[str]:
        """Return the outputs' names as they are compared, each of which is one of the task's."""
        labels = task.problem.labels
        if given and len(given) != len(self.bias):
            raise UserError(
                f"--labels={','.join(given)}: {len(given)} names for {len(self.bias)} outputs."
            )
        if not given and all(_NO_NAME.fullmatch(name) for name in self.names):
            raise UserError(
                f"{self.origin}: id2label gives the outputs no names ({', '.join(self.names)}), so "
                f"that nobody can tell which of {', '.join(labels)} each of them means. Give the "
                "names in the order of the outputs, as the author of the model has them: "
                f"--labels={','.join(labels)}, or in another order."
            )
        names = [key(name) for name in given or self.names]
        if sorted(names) != sorted(map(key, labels)):
            where = f"--labels={','.join(given)}" if given else f"{self.origin}: id2label"
            shown = "" if given else f" ({', '.join(self.names)})"
            raise UserError(
                f"{where}: these are not the labels of --task={task.name}{shown}: "
                f"{', '.join(labels)}. Give the task's own in the order of the outputs with "
                "--labels."
            )
        return names


def _key_for(labels: Sequence[str]) -> Callable[[str], str]:
    """Return how names are compared: as they are where some labels differ in spelling alone.

    `C` and `C++`, or `+` and `-`, would be one name without their marks.
    """
    return _key if len(set(map(_key, labels))) == len(labels) else str


def _key(name: str) -> str:
    """Return a label's name without what spellings differ in: case, blanks and marks."""
    return re.sub(r"[\W_]+", "", name.casefold())
