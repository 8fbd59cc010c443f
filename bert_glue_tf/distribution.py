"""--strategy -> tf.distribute.Strategy."""

from __future__ import annotations

import tensorflow as tf
from absl import logging

from bert_glue_tf.errors import UserError


def _tpu() -> tf.distribute.Strategy:
    resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu="local")
    tf.config.experimental_connect_to_cluster(resolver)
    tf.tpu.experimental.initialize_tpu_system(resolver)
    return tf.distribute.TPUStrategy(resolver)


def build(name: str) -> tf.distribute.Strategy:
    """The strategy called `name`: auto, cpu, gpu, mirrored or tpu.

    `auto` takes a TPU if one is attached, else every GPU, else the CPU, and logs which.

    Raises:
      UserError: the devices that `name` needs are not there.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if name == "auto":
        if tf.config.list_physical_devices("TPU"):
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
        return tf.distribute.MirroredStrategy()
    try:
        return _tpu()
    except (ValueError, RuntimeError, tf.errors.OpError) as error:
        raise UserError(
            f"--strategy=tpu: no TPU could be initialized ({str(error).splitlines()[0][:120]}). "
            "Good values here: auto, cpu, gpu."
        ) from error


def is_tpu(strategy: tf.distribute.Strategy) -> bool:
    """Whether every shape must be static."""
    return isinstance(strategy, tf.distribute.TPUStrategy)
