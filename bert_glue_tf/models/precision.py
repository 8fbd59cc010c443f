"""The numbers that a network computes with in training: Keras's policies, and one of our own."""

from __future__ import annotations

import tensorflow as tf
import tf_keras

from bert_glue_tf.models.settings import PRODUCTS


class ProductsPolicy(tf_keras.mixed_precision.Policy):
    """Float32, but that the products of an encoder's layers are computed in another dtype.

    What is around a product (layer norms, activations, softmax, sums) stays float32, and so do the
    variables, the outputs, and the pooler. Processors with tiles of bfloat16 (Intel's AMX) multiply
    such matrices faster than float32, but nothing else, which Keras's own `mixed_bfloat16` computes
    in bfloat16 too.

    Attributes:
      products: the dtype of both factors, and of the result before it is cast to float32.
    """

    def __init__(self, products: str = "bfloat16") -> None:
        super().__init__("float32")
        self.products = tf.as_dtype(products)

    def get_config(self) -> dict[str, str]:
        """Return what `from_config` makes the policy from."""
        return {"products": self.products.name}


def policy_of(name: str) -> tf_keras.mixed_precision.Policy:
    """Return the policy with a name of Keras's, or `PRODUCTS`."""
    if name == PRODUCTS:
        return ProductsPolicy()
    return tf_keras.mixed_precision.Policy(name)


def products_of(layer: tf_keras.layers.Layer) -> tf.DType:
    """Return the dtype in which a layer, made under a policy, computes products of matrices."""
    policy = layer.dtype_policy
    if isinstance(policy, ProductsPolicy):
        return policy.products
    return tf.as_dtype(layer.compute_dtype)
