"""The pruning methods that a BERT cannot carry, since it has no convolutions."""

from bert_glue_tf.compression import registry

OF_CONVOLUTIONS = frozenset(
    name for name in registry.names() if {"filter", "kernel"} & set(registry.get(name).needs)
)
