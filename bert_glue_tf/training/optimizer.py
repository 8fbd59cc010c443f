"""AdamW with a linear warm-up and a decay, from tf-models-official."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras
from official.nlp import optimization

from bert_glue_tf.compression.hooks import Hook
from bert_glue_tf.models.backbone import Backbone
from bert_glue_tf.runs.settings import LINEAR, OptimizerSettings

# BERT's own settings (Devlin et al. 2019, appendix A.2, and google-research/bert).
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-6
CLIP_NORM = 1.0


def warmup_steps(settings: OptimizerSettings, total_steps: int) -> int:
    """Return the number of steps over which the learning rate rises."""
    return int(settings.warmup_fraction * total_steps)


def build_schedule(
    settings: OptimizerSettings, total_steps: int
) -> tf_keras.optimizers.schedules.LearningRateSchedule:
    """Return the learning rate by step: linear to the peak, then as `settings.decay` says.

    Linear is to 0 at `total_steps`; where it is not, the rate is that of `Steady`.
    """
    decay: tf_keras.optimizers.schedules.LearningRateSchedule
    if settings.decay == LINEAR:
        decay = tf_keras.optimizers.schedules.PolynomialDecay(
            initial_learning_rate=settings.learning_rate,
            decay_steps=total_steps,
            end_learning_rate=0.0,
        )
    else:
        decay = Steady(settings.learning_rate)
    warmup = warmup_steps(settings, total_steps)
    if not warmup:
        return decay
    return optimization.WarmUp(
        initial_learning_rate=settings.learning_rate,
        decay_schedule_fn=decay,
        warmup_steps=warmup,
    )


class Steady(tf_keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that no step changes.

    Args:
      rate: the learning rate.

    Attributes:
      factor: float32 variable that the rate is multiplied by; 1 until somebody sets it.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self._rate = rate
        self.factor = tf.Variable(1.0, trainable=False, name="learning_rate_factor")

    def __call__(self, step: Any) -> tf.Tensor:
        """Return the learning rate, float32."""
        del step
        return self._rate * self.factor.read_value()

    def get_config(self) -> dict[str, Any]:
        """Return what it is made of."""
        return {"rate": self._rate}


def steady_of(optimizer: tf_keras.optimizers.legacy.Optimizer) -> Steady:
    """Return the rate of an optimizer that `build_optimizer` made without a linear decay."""
    schedule = optimizer.learning_rate
    found = getattr(schedule, "decay_schedule_fn", schedule)
    assert isinstance(found, Steady)
    return found


class AdamW(optimization.AdamWeightDecay):
    """tf-models-official's AdamW, with hooks around the update of each weight."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.hooks: list[Hook] = []

    def build(self, variables: Sequence[tf.Variable]) -> None:
        """Create the step count and the moments of these variables, as Keras's newer ones do."""
        self._create_all_weights(list(variables))

    def _prepare_local(self, var_device: Any, var_dtype: Any, apply_state: Any) -> None:
        """Let epsilon count beside the unbiased second moment, as in Adam's paper.

        Keras adds epsilon to the root of the moment before its bias is taken out (the paper's
        "epsilon hat"), which in a training of 300 steps makes it 2 to 30 times as large as the one
        that was asked for, and the steps of weights with small gradients that much smaller. Of
        Kingma and Ba 2015 (https://arxiv.org/abs/1412.6980) this is Algorithm 1, as PyTorch has it.
        """
        super()._prepare_local(var_device, var_dtype, apply_state)
        found = apply_state[(var_device, var_dtype)]
        found["epsilon"] = found["epsilon"] * tf.sqrt(1.0 - found["beta_2_power"])

    def _resource_apply_dense(
        self, grad: tf.Tensor, var: tf.Variable, apply_state: Any = None
    ) -> Any:
        for hook in self.hooks:
            grad = hook.gradient(var, grad)
        done = super()._resource_apply_dense(grad, var, apply_state)
        for hook in self.hooks:
            with tf.control_dependencies([done]):
                after = hook.updated(var)
            done = done if after is None else after
        return done

    def _resource_apply_sparse_duplicate_indices(
        self, grad: tf.Tensor, var: tf.Variable, indices: tf.Tensor, **kwargs: Any
    ) -> Any:
        """Update a table of which a batch has read some rows, as any other weight.

        Keras would find the rows that were read twice first, whose number no shape tells before
        the step runs, as a TPU needs it. Adam moves every row anyway, by its earlier gradients;
        with one kernel for all of it the update of MiniLM's table takes less than half the time.
        """
        whole = tf.math.unsorted_segment_sum(grad, indices, var.shape[0])
        return self._resource_apply_dense(whole, var, **kwargs)


def build_optimizer(
    settings: OptimizerSettings, total_steps: int, no_decay: Sequence[str] = Backbone.no_decay
) -> AdamW:
    """Build AdamW (Loshchilov and Hutter 2019) with BERT's betas, clipped to a global norm of 1.

    `optimization.create_optimizer` of tf-models-official has the same schedule and decay, with the
    decay fixed at 0.01; here it is a setting. Epsilon counts as in Adam's paper (`AdamW`).

    Args:
      settings: learning rate, warm-up and weight decay.
      total_steps: of the schedule.
      no_decay: parts of the names of weights without weight decay; the backbone says them.
    """
    return AdamW(
        learning_rate=build_schedule(settings, total_steps),
        weight_decay_rate=settings.weight_decay,
        beta_1=BETA_1,
        beta_2=BETA_2,
        epsilon=EPSILON,
        # AdamWeightDecay's own clipping comes before the replicas' gradients are summed, so that
        # a run would depend on their number; Keras's comes after it.
        gradient_clip_norm=0.0,
        global_clipnorm=CLIP_NORM,
        exclude_from_weight_decay=list(no_decay),
    )
