"""The optimizer, beside the formulas of the papers."""

import numpy as np
import pytest
import tensorflow as tf

from bert_glue_tf.runs.settings import OptimizerSettings
from bert_glue_tf.training import optimizer

# From what a clipped gradient of a large network has, down to what drowns in epsilon.
GRADIENTS = np.float32([1e-2, 1e-4, 1e-5, 1e-6, 1e-7])


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_the_step_is_that_of_adams_paper(weight_decay):
    """Kingma and Ba 2015, Algorithm 1, with the weight decay of Loshchilov and Hutter 2019."""
    settings = OptimizerSettings(
        epochs=1, learning_rate=0.1, warmup_fraction=0.0, weight_decay=weight_decay
    )
    adam = optimizer.build_optimizer(settings, total_steps=1_000_000)
    weight = tf.Variable(np.ones(5, np.float32), name="kernel")
    expected, first, second = np.ones(5), np.zeros(5), np.zeros(5)
    for step in range(1, 5):
        gradient = GRADIENTS * (-1.0 if step == 3 else 1.0)
        adam.apply_gradients([(tf.constant(gradient), weight)])
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * np.float64(gradient) ** 2
        unbiased = np.sqrt(second / (1 - 0.999**step))
        expected = expected - 0.1 * weight_decay * expected
        expected -= 0.1 * first / (1 - 0.9**step) / (unbiased + 1e-6)
    np.testing.assert_allclose(weight.numpy(), expected, rtol=1e-5)
