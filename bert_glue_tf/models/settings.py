"""The settings of a run's network: the encoder and the classifier on it."""

from __future__ import annotations

import dataclasses

from bert_glue_tf.core.settings import BELOW_ONE, FRACTION, Limits, Settings, option
from bert_glue_tf.data.truncation import HEAD, TRUNCATIONS
from bert_glue_tf.models import encoders


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderSettings(Settings):
    """The encoder, its preprocessing, the longest input and the dropout."""

    encoder: str = option(
        encoders.DEFAULT,
        "BERT encoder: a short name "
        f"({', '.join(encoders.ENCODERS)}), a TF-Hub handle, or a folder (a pair of "
        "SavedModels, a Hugging Face model, or a TensorFlow checkpoint).",
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
    dropout: float = option(0.1, "Dropout rate before the dense classifier.", limits=FRACTION)
    encoder_dropout: float = option(
        -1.0,
        "Dropout rate inside a BERT encoder (family bert); -1 = the encoder's own (BERT: 0.1).",
        limits=Limits(0.0, BELOW_ONE, "-1 (the encoder's own) or in [0, 1)", -1.0),
    )
