"""The form in which TF-Hub's text encoders are published, and encoders of ours are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bert_glue_tf.data.preprocessing import INPUTS

# The outputs that the published encoders have.
_PUBLISHED = ("sequence_output", "pooled_output", "encoder_outputs")


def write_encoder(encoder: Any, folder: Path) -> None:
    """Write an encoder as a SavedModel that is called as the published ones are.

    A dict of int32 [batch, seq] (any sequence length up to the encoder's positions) gives
    a dict of pooled_output, sequence_output, encoder_outputs (where the encoder shows its layers)
    and default. What the encoder trains is trainable, and dropout acts with training=True. Its
    signature `serving_default` gives the same but encoder_outputs, under these names.
    """
    import tensorflow as tf

    inputs = {name: tf.TensorSpec([None, None], tf.int32, name) for name in INPUTS}

    # A Keras model would be saved with functions of each of its layers, which takes several times
    # as long; nobody asks for them. This form is https://www.tensorflow.org/hub/reusable_saved_models.
    @tf.function(autograph=False)
    def call(inputs: dict[str, tf.Tensor], training: bool = False) -> dict[str, Any]:
        found = encoder(inputs, training=training)
        outputs = {name: found[name] for name in _PUBLISHED if name in found}
        # The published encoders have this alias, for exchange with other text embeddings.
        outputs["default"] = outputs["pooled_output"]
        return outputs

    @tf.function(input_signature=[inputs], autograph=False)
    def serve(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {name: value for name, value in call(inputs).items() if not isinstance(value, list)}

    for training in (False, True):
        call.get_concrete_function(inputs, training=training)
    saved = tf.train.Checkpoint()
    saved.__call__ = call
    saved.variables = list(encoder.variables)
    saved.trainable_variables = list(encoder.trainable_variables)
    saved.regularization_losses = []
    tf.saved_model.save(saved, str(folder), signatures=serve)
