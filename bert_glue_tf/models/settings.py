"""The settings of a run's network: the encoder, the classifier on it, and their quantization."""

from __future__ import annotations

import dataclasses

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.settings import BELOW_ONE, FRACTION, Limits, Settings, option
from bert_glue_tf.data.truncation import HEAD, TRUNCATIONS
from bert_glue_tf.models import encoders
from bert_glue_tf.models.quantization.recipes import NOT_QUANTIZED, TRAINED, find
from bert_glue_tf.models.word_heads.names import DEFAULT, names

# Of --mixed_precision: float32, but for the products of matrices (`models.precision`).
PRODUCTS = "bfloat16_products"


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuantizationSettings(Settings):
    """The quantized file that a training knows of.

    Raises:
      UserError: there is no such recipe, or none that a training can imitate; the message names
        the flag.
    """

    quantize_aware: str = option(
        NOT_QUANTIZED,
        "Train for the file of a recipe of export_tflite, with its rounding of weights and "
        f"activations in every step: {NOT_QUANTIZED}, {', '.join(TRAINED)}.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        recipe = find(self.quantize_aware)
        if self.quantize_aware == NOT_QUANTIZED or (recipe and not recipe.untrained):
            return
        reason = f"no training imitates this recipe, since {recipe.untrained}" if recipe else ""
        raise UserError(
            f"--quantize_aware={self.quantize_aware}: {reason or 'no such recipe'}. "
            f"Good values: {', '.join((NOT_QUANTIZED, *TRAINED))}."
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderSettings(Settings):
    """The encoder, its preprocessing, the longest input and the dropout."""

    encoder: str = option(
        encoders.DEFAULT,
        "Encoder: a short name "
        f"({', '.join(encoders.ENCODERS)}), a TF-Hub handle, or a folder (a pair of "
        "SavedModels, a Hugging Face model, a TensorFlow checkpoint, or what make_encoder writes).",
        names=tuple(encoders.ENCODERS),
    )
    preprocessing: str = option(
        "",
        "TF-Hub handle or folder of the preprocessing model; by default the encoder's own.",
        names=(),
    )
    seq_length: int = option(
        128,
        "Longest input in word pieces; longer text is trimmed.",
        limits=Limits(
            encoders.MIN_SEQ_LENGTH,
            encoders.MAX_SEQ_LENGTH,
            f"from {encoders.MIN_SEQ_LENGTH} to {encoders.MAX_SEQ_LENGTH}, the positions that "
            "BERT has learned",
        ),
    )
    truncation: str = option(
        HEAD,
        f"What is read of longer text: {', '.join(TRUNCATIONS)}; head_tail = a quarter of the "
        "pieces from its beginning, the others from its end.",
        choices=TRUNCATIONS,
    )
    tagging_head: str = option(
        DEFAULT,
        f"Where words are tagged, what stands between encoder and tags: {', '.join(names())}.",
        choices=names(),
    )
    dropout: float = option(0.1, "Dropout rate before the dense classifier.", limits=FRACTION)
    encoder_dropout: float = option(
        -1.0,
        "Dropout rate inside the encoder (families bert, text_cnn and small); -1 = its own (BERT: "
        "0.1).",
        limits=Limits(0.0, BELOW_ONE, "-1 (the encoder's own) or in [0, 1)", -1.0),
    )
