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


def build(name: str, one_device_only: str = "") -> tf.distribute.Strategy:
    """The strategy called `name`: auto, cpu, gpu, mirrored or tpu.

    `auto` takes a TPU if one is attached, else every GPU, else the CPU, and logs which.

    Args:
      name: value of --strategy.
      one_device_only: why what will run cannot run on several replicas; empty if it can.

    Raises:
      UserError: the devices that `name` needs are not there, or are too many.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if name == "auto":
        if tf.config.list_physical_devices("TPU"):
            name = "tpu"
        elif gpus:
            name = "mirrored" if len(gpus) > 1 and not one_device_only else "gpu"
        else:
            name = "cpu"
        logging.info("--strategy=auto: %s", name)
        if len(gpus) > 1 and one_device_only:
            logging.info("%d GPUs, of which one is used: %s", len(gpus), one_device_only)
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
        if one_device_only:
            raise UserError(
                f"--strategy=mirrored: {one_device_only}, and here are {len(devices)} {kind}s. "
                f"Good values here: auto, {kind.lower()}. On several replicas a native encoder "
                "(a standard BERT) trains with every --pruning_method but magnitude."
            )
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
