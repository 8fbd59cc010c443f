"""The head of a Hugging Face `BertForSequenceClassification`, read from its folder."""

from __future__ import annotations

from pathlib import Path

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.models.bert import foreign_config, foreign_huggingface, foreign_weights
from bert_glue_tf.models.foreign_heads import ForeignHead

_KERNEL, _BIAS = "classifier.weight", "classifier.bias"


def read(folder: Path) -> ForeignHead:
    """Return the classification head of a folder.

    Raises:
        UserError: it has none, or one of several layers, or an encoder without a pooler.
    """
    found = foreign_weights.judge("huggingface", folder)
    path = folder / foreign_config.CONFIG
    if found.model_type != "bert":
        raise UserError(
            f"{path}: model_type is {found.model_type!r}, whose classifiers have a head of two "
            "layers; only that of BertForSequenceClassification can be taken over. As an encoder "
            "the folder can be fine-tuned: give it as --encoder to the train command."
        )
    prefix = foreign_huggingface.find_prefix(folder, found.header).removesuffix("bert.")
    kernel, bias = prefix + _KERNEL, prefix + _BIAS
    if found.new or kernel not in found.header or bias not in found.header:
        missing = "pooler" if found.new else "classification head"
        raise UserError(
            f"{found.origin}: holds no {missing} ({_KERNEL}, {_BIAS}), so it is no "
            "BertForSequenceClassification. As an encoder it can be fine-tuned: give it as "
            "--encoder to the train command."
        )
    hidden = found.architecture.hidden_size
    outputs = found.header[kernel].shape[:1]
    foreign_huggingface.check_tensor(found.header[kernel], kernel, (*outputs, hidden))
    foreign_huggingface.check_tensor(found.header[bias], bias, outputs)
    labels = foreign_config.read_json(path).get("id2label")
    named = {str(number): str(label) for number, label in (labels or {}).items()}
    return ForeignHead(
        kernel=foreign_huggingface.read_tensor(found.header[kernel], kernel).T,
        bias=foreign_huggingface.read_tensor(found.header[bias], bias),
        names=tuple(named.get(str(number), f"LABEL_{number}") for number in range(outputs[0])),
        origin=str(path),
    )
