"""The settings of the training itself.

Training stands above this room, and the settings of a run are put together here: a room imports
only the rooms below it, so that these two classes cannot stand beside the code they steer.
"""

from __future__ import annotations

import dataclasses
import math

from bert_glue_tf.core.settings import Limits, Settings, option, whole

STRATEGIES = ("auto", "cpu", "gpu", "mirrored", "multi_worker", "tpu")
BEST = "best"
KEPT = ("last", BEST)
CLASS_WEIGHTS = ("none", "balanced")
PRECISIONS = ("auto", "none", "float16", "bfloat16")
_UP_TO_ONE = Limits(0.0, 1.0, "in [0, 1]")
_ABOVE_ZERO = Limits(math.nextafter(0.0, 1.0), 1.0, "above 0 and at most 1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerSettings(Settings):
    """The training's length, AdamW's learning rate and weight decay, and what is learned."""

    # 0 is what `import_classifier` writes, where nothing is trained.
    epochs: int = option(3, "Passes over the training split.", limits=whole(0, 1000))
    learning_rate: float = option(2e-5, "Peak learning rate of AdamW.", limits=_ABOVE_ZERO)
    warmup_fraction: float = option(
        0.1,
        "Fraction of the steps over which the learning rate rises from 0.",
        limits=dataclasses.replace(_UP_TO_ONE, is_fraction=True),
    )
    weight_decay: float = option(
        0.01, "Decoupled weight decay; biases and layer norms are left out.", limits=_UP_TO_ONE
    )

    class_weights: str = option(
        "none",
        f"Weights of the classes in the loss: {', '.join(CLASS_WEIGHTS)}; balanced = all classes "
        "count alike, however rare they are.",
        choices=CLASS_WEIGHTS,
    )
    keep: str = option(
        "last",
        f"Which epoch's weights are the run's: {', '.join(KEPT)}; best = by the primary metric on "
        "the validation split(s), with pruning only among those with the final sparsity.",
        choices=KEPT,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeviceSettings(Settings):
    """The devices and the numbers that are computed with."""

    strategy: str = option(
        "auto",
        f"Distribution strategy: {', '.join(STRATEGIES)}; auto = the workers that TF_CONFIG names, "
        "else TPU, else GPU, else CPU.",
        choices=STRATEGIES,
    )
    mixed_precision: str = option(
        "auto",
        f"Numbers to compute with: {', '.join(PRECISIONS)}; none = float32, auto = bfloat16 on a "
        "TPU, else none. Weights, masks and what is saved are float32.",
        choices=PRECISIONS,
    )
