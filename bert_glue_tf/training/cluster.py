"""TF_CONFIG: which machines train together, and which of them this process is.

TensorFlow is not imported here, so that a broken TF_CONFIG is answered at once. The format is
that of https://www.tensorflow.org/guide/distributed_training#TF_CONFIG:

    {"cluster": {"worker": ["host1:12345", "host2:12345"]}, "task": {"type": "worker", "index": 0}}
"""

from __future__ import annotations

import dataclasses
import os
import re
from typing import Any

from bert_glue_tf.core import strict_json
from bert_glue_tf.core.errors import UserError

VARIABLE = "TF_CONFIG"
STRATEGY = "multi_worker"
_EXAMPLE = (
    '{"cluster": {"worker": ["host1:12345", "host2:12345"]}, '
    '"task": {"type": "worker", "index": 0}}'
)
# Those that MultiWorkerMirroredStrategy trains on; the first of all is the chief.
_KINDS = ("chief", "worker")


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers of one run.

    Attributes:
      addresses: host:port of each, the chief's first.
      index: this process's place among them.
    """

    addresses: tuple[str, ...]
    index: int

    @property
    def is_chief(self) -> bool:
        """Return whether this process writes the run's folder."""
        return self.index == 0

    @property
    def title(self) -> str:
        """Return the worker as messages name it: `worker 2 of 3 (host2:12345)`."""
        return f"worker {self.index + 1} of {len(self.addresses)} ({self.addresses[self.index]})"


def of(strategy: str) -> Cluster | None:
    """Return the cluster that a run with this --strategy is part of; None if it runs alone.

    Raises:
      UserError: the strategy needs a TF_CONFIG and there is none, or it is broken.
    """
    if strategy not in ("auto", STRATEGY):
        return None
    text = os.environ.get(VARIABLE, "")
    if text.strip():
        found = _read(text)
        return found if strategy == STRATEGY or len(found.addresses) > 1 else None
    if strategy == STRATEGY:
        raise UserError(
            f"--strategy={STRATEGY}: the environment variable {VARIABLE} is not set, which says "
            "where the workers are and which of them this process is. Good, with its own index "
            f"in every process:\n  {VARIABLE}='{_EXAMPLE}'"
        )
    return None


def _read(text: str) -> Cluster:
    """Return the cluster that a TF_CONFIG names."""
    try:
        values = strict_json.loads(text)
    except ValueError as error:
        raise _broken(f"no JSON ({error})") from None
    if not isinstance(values, dict):
        raise _broken("no JSON object")
    cluster, task = values.get("cluster"), values.get("task")
    if not cluster:
        raise _broken('no "cluster"')
    if not isinstance(cluster, dict):
        raise _broken('"cluster" is no object')
    if not isinstance(task, dict):
        raise _broken('no "task", which says which worker this process is')
    foreign = [kind for kind in cluster if kind not in _KINDS]
    if foreign:
        raise _broken(f'"cluster" has {foreign[0]!r}; good: {" and ".join(_KINDS)}')
    addresses: list[str] = []
    for name in _KINDS:
        listed = cluster.get(name, [])
        if not isinstance(listed, list) or not all(map(_is_address, listed)):
            raise _broken(f'"{name}" of "cluster" must be a list of "host:port"')
        if name == "chief" and len(listed) > 1:
            raise _broken(f'{len(listed)} of "chief"; good: one')
        addresses += listed
    if len(set(addresses)) < len(addresses):
        twice = next(one for one in addresses if addresses.count(one) > 1)
        raise _broken(f"{twice} is named twice")
    kind, index = task.get("type"), task.get("index")
    if kind not in list(cluster):  # Whatever JSON holds, hashable or not.
        raise _broken(f'"type" of "task" is {kind!r}; good: {", ".join(cluster)}')
    # Some systems write the number as text.
    index = int(index) if isinstance(index, str) and index.isdecimal() else index
    if type(index) is not int or not 0 <= index < len(cluster[kind]):
        raise _broken(
            f'"index" of "task" is {index!r}; good: 0 to {len(cluster[kind]) - 1}, the place '
            f'among "{kind}"'
        )
    return Cluster(tuple(addresses), addresses.index(cluster[kind][index]))


def _is_address(value: Any) -> bool:
    found = re.fullmatch(r"[^\s/]+:(\d{1,5})", value) if isinstance(value, str) else None
    return found is not None and 0 < int(found[1]) < 65536


def _broken(reason: str) -> UserError:
    return UserError(f"{VARIABLE}: {reason}. Good:\n  {VARIABLE}='{_EXAMPLE}'")
