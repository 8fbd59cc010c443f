"""--strategy -> tf.distribute.Strategy, and what the replicas and the workers do together."""

from __future__ import annotations

import contextlib
import functools
import re
import socket
import textwrap
import zlib
from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf
import tf_keras
from absl import logging

from bert_glue_tf.core.errors import UserError, reason_of
from bert_glue_tf.models import precision
from bert_glue_tf.models.settings import PRODUCTS
from bert_glue_tf.training import cluster

LOCAL_TPU = "local"


class WorkerLostError(UserError):
    """Another worker of the run has ended or cannot be reached."""


@functools.cache  # Initialized once more, a TPU would lose the variables that are on it.
def _tpu(name: str) -> tf.distribute.Strategy:
    address = re.fullmatch(r"grpc://(.+):(\d+)", name)
    if address:  # TensorFlow would wait for it without end.
        socket.create_connection((address[1], int(address[2])), timeout=10).close()
    resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)
    tf.config.experimental_connect_to_cluster(resolver)
    tf.tpu.experimental.initialize_tpu_system(resolver)
    return tf.distribute.TPUStrategy(resolver)


@functools.cache
def _mirrored() -> tf.distribute.Strategy:
    # One for as long as the process lives: each one counts its collective operations from the
    # start, and TensorFlow refuses a number that it has seen with an array of another shape. The
    # second of two trainings with other shapes would stop with "Shape mismatch".
    return tf.distribute.MirroredStrategy()


@functools.cache  # A process joins its cluster once, and for as long as it lives.
def _multi_worker(found: cluster.Cluster) -> tf.distribute.Strategy:
    others = len(found.addresses) - 1
    logging.info("%s; waiting for %d other(s)", found.title, others)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:  # TensorFlow has been used: "... at program startup".
        raise UserError(
            f"--strategy={cluster.STRATEGY}: the workers have to be joined before anything else "
            f"is done with TensorFlow in a process ({reason_of(error)}). In a notebook: restart "
            "its kernel, and train first."
        ) from error
    except tf.errors.OpError as error:
        raise UserError(
            f"--strategy={cluster.STRATEGY}: {found.title} cannot join the others "
            f"({reason_of(error)}). Good: addresses that the workers reach each other by, and a "
            "port that is free on each."
        ) from error


def build(name: str, tpu: str = LOCAL_TPU) -> tf.distribute.Strategy:
    """Return the strategy called `name`: auto, cpu, gpu, mirrored, multi_worker or tpu.

    `auto` takes the workers that TF_CONFIG names, else a TPU if one is attached, else every GPU,
    else the CPU, and logs which.

    Args:
      name: value of --strategy.
      tpu: value of --tpu: a TPU's name or address, or `local`.

    Raises:
      UserError: the devices that `name` needs are not there.
    """
    found = cluster.of(name)
    if found:
        if name == "auto":
            logging.info("--strategy=auto: %s, as %s says", cluster.STRATEGY, cluster.VARIABLE)
        return _multi_worker(found)
    gpus = tf.config.list_physical_devices("GPU")
    if name == "auto":
        if tpu != LOCAL_TPU or tf.config.list_physical_devices("TPU"):
            name = "tpu"
        elif gpus:
            name = "mirrored" if len(gpus) > 1 else "gpu"
        else:
            name = "cpu"
        logging.info("--strategy=auto: %s", name)
    if name == "cpu":
        return tf.distribute.OneDeviceStrategy("/cpu:0")
    if name == "gpu":
        if not gpus:
            raise UserError("--strategy=gpu: TensorFlow sees no GPU here. Good values: auto, cpu.")
        return tf.distribute.OneDeviceStrategy("/gpu:0")
    if name == "mirrored":
        kind = "GPU" if gpus else "CPU"
        devices = tf.config.list_logical_devices(kind)
        if len(devices) == 1:
            logging.info("--strategy=mirrored: on the one %s that TensorFlow sees here", kind)
            return tf.distribute.OneDeviceStrategy(devices[0].name)
        return _mirrored()
    try:
        return _tpu(tpu)
    except (ValueError, RuntimeError, OSError, OverflowError, tf.errors.OpError) as error:
        raise UserError(
            f"--strategy=tpu --tpu={tpu}: no TPU could be initialized "
            f"({str(error).splitlines()[0][:120]}). Good values here: auto, cpu, gpu."
        ) from error


def is_tpu(strategy: tf.distribute.Strategy) -> bool:
    """Return whether every shape must be static."""
    return isinstance(strategy, tf.distribute.TPUStrategy)


def policy(mixed_precision: str, strategy: tf.distribute.Strategy) -> str:
    """Return the name, of `precision.policy_of`, of the policy that --mixed_precision means."""
    if mixed_precision == "auto":
        mixed_precision = "bfloat16" if is_tpu(strategy) else "none"
    if mixed_precision == PRODUCTS:
        return mixed_precision
    return "float32" if mixed_precision == "none" else f"mixed_{mixed_precision}"


@contextlib.contextmanager
def building(strategy: tf.distribute.Strategy, policy_name: str) -> Iterator[None]:
    """Let layers made inside compute under the policy, with variables of the strategy."""
    before = tf_keras.mixed_precision.global_policy()
    tf_keras.mixed_precision.set_global_policy(precision.policy_of(policy_name))
    try:
        with strategy.scope():
            yield
    finally:
        tf_keras.mixed_precision.set_global_policy(before)


def is_multi_worker(strategy: tf.distribute.Strategy) -> bool:
    """Return whether the replicas are in several processes, which have to do the same in step."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


@functools.cache  # Traced once, however often it is asked.
def _gathering(strategy: tf.distribute.Strategy) -> Callable[[tf.Tensor], tf.Tensor]:
    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64)])
    def gather(own: tf.Tensor) -> tf.Tensor:
        def one(own: tf.Tensor) -> tf.Tensor:
            # A copy on the replica's device; the argument itself is on none.
            own = tf.identity(own)
            return tf.distribute.get_replica_context().all_gather(own, axis=0)

        return strategy.experimental_local_results(strategy.run(one, (own,)))[0]

    return gather


def _gather(strategy: tf.distribute.Strategy, own: Sequence[int]) -> list[int]:
    """Return the numbers of all replicas, the chief's first; each gives those of its worker."""
    return _gathering(strategy)(tf.constant(own, tf.int64)).numpy().tolist()


def require_agreement(strategy: tf.distribute.Strategy, what: str, value: str) -> None:
    """Compare a value with those of the other workers; alone there is nothing to compare.

    Args:
      strategy: of the run.
      what: the value is, for the message.
      value: as text.

    Raises:
      UserError: another worker has another value. Every worker raises it.
    """
    if not is_multi_worker(strategy):
        return
    found = _gather(strategy, [zlib.crc32(value.encode())])
    if len(set(found)) > 1:
        raise UserError(
            f"--strategy={cluster.STRATEGY}: the workers do not have the same {what} (here: "
            f"{textwrap.shorten(value, 160)}). Give each of them the same command and the same "
            "data, and a --workdir on a disk that all of them see."
        )


def decided_by_chief(strategy: tf.distribute.Strategy, decide: Callable[[], str]) -> str:
    """Return what `decide` gives to the chief, who alone calls it while the others wait.

    What it raises ends the chief, and with it the others (`noticing_lost_workers`).

    Args:
      strategy: of the run; without other workers `decide` is simply called.
      decide: looks at or changes what only one process may, as the chief's folder.
    """
    if not is_multi_worker(strategy):
        return decide()
    own = cluster.of(cluster.STRATEGY)
    assert own is not None
    said = decide().encode() if own.is_chief else b""
    # With its length, since each of the chief's replicas says it.
    length, *found = _gather(strategy, [len(said), *said] if own.is_chief else [])
    return bytes(found[:length]).decode()


@contextlib.contextmanager
def noticing_lost_workers(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Turn TensorFlow's error after the end of another worker into a message.

    A worker whose process ends closes its connections, at which the collective operations of
    the others fail at once; one that is cut off or hangs misses the heartbeats of TensorFlow's
    coordination service, which fails them after 10 seconds.

    Raises:
      WorkerLostError: instead of that error.
    """
    try:
        yield
    except (
        tf.errors.UnavailableError,
        tf.errors.AbortedError,
        tf.errors.CancelledError,
        tf.errors.DeadlineExceededError,
        tf.errors.InternalError,
    ) as error:
        if not is_multi_worker(strategy):
            raise
        raise WorkerLostError(
            f"--strategy={cluster.STRATEGY}: another worker has ended or cannot be reached any "
            f"more ({_who_is_lost(str(error))}). Its own output tells why. Give every worker its "
            "command again: the run goes on from the last state that was saved."
        ) from error


def _who_is_lost(text: str) -> str:
    """Return what TensorFlow's error says of the worker or of its connection, in one line."""
    unhealthy = re.search(r"stopped sending heartbeats\):\s*(/job:\S+)", text)
    if unhealthy:
        return f"{unhealthy[1]} sends no heartbeats"
    reason = text.rsplit("aborted by: ", 1)[-1].strip().split("\n")[0]
    return textwrap.shorten(reason, 160)
