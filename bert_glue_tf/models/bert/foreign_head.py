"""The head of a classifier in a Hugging Face folder (`foreign_huggingface.HEADS`).

Its first dense layer is the encoder's pooler, which comes with the encoder; here is the second.
"""

from __future__ import annotations

import json
from pathlib import Path

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.models.bert import foreign_config, foreign_huggingface, foreign_weights
from bert_glue_tf.models.foreign_heads import ForeignHead


def read(folder: Path) -> ForeignHead:
    """Return the classification head of a folder.

    Raises:
        UserError: it has none, lacks one of its two layers, or has that of another model.
    """
    found = foreign_weights.judge("huggingface", folder)
    path, head = folder / foreign_config.CONFIG, found.head
    prefix = foreign_huggingface.find_prefix(folder, found.header)
    prefix = foreign_huggingface.outside(prefix, found.model_type)
    kernel, bias = (f"{prefix}{head.output}.{end}" for end in ("weight", "bias"))
    if found.new or kernel not in found.header or bias not in found.header:
        missing = "dense layer" if found.new else "classification head"
        name = head.dense if found.new else head.output
        raise UserError(
            f"{found.origin}: holds no {missing} ({name}.weight, {name}.bias), so it is no "
            f"{head.model}. As an encoder it can be fine-tuned: give it as --encoder to the train "
            "command."
        )
    config = foreign_config.read_json(path)
    models = config.get("architectures")
    if models and (not isinstance(models, list) or head.model not in models):
        # A head for words has the names and the shapes of a head for texts.
        raise UserError(
            f"{path}: architectures is {json.dumps(models)}; only {head.model} can be taken over. "
            "As an encoder it can be fine-tuned: give it as --encoder to the train command."
        )
    hidden = found.architecture.hidden_size
    outputs = found.header[kernel].shape[:1]
    foreign_huggingface.check_tensor(found.header[kernel], kernel, (*outputs, hidden))
    foreign_huggingface.check_tensor(found.header[bias], bias, outputs)
    labels = config.get("id2label")
    named = {str(number): str(label) for number, label in (labels or {}).items()}
    return ForeignHead(
        kernel=foreign_huggingface.read_tensor(found.header[kernel], kernel).T,
        bias=foreign_huggingface.read_tensor(found.header[bias], bias),
        names=tuple(named.get(str(number), f"LABEL_{number}") for number in range(outputs[0])),
        origin=str(path),
        problem_type=str(config.get("problem_type") or ""),
    )
