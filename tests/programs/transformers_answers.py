"""Program of the peers' environment: what transformers makes of folders, as JSON.

Reads from standard input {folder: [[one or two texts], ...]} and writes {folder: {class, ids,
logits, problem_type, labels}}; it imports nothing of ours.
"""

from __future__ import annotations

import json
import sys

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer


def answers(folder: str, texts: list[list[str]]) -> dict[str, object]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    ids, logits = [], []
    for pair in texts:
        inputs = tokenizer(*pair, truncation=True, return_tensors="pt")
        with torch.no_grad():
            logits.append(model(**inputs).logits[0].double().tolist())
        ids.append(inputs["input_ids"][0].tolist())
    return {
        "class": type(model).__name__,
        "ids": ids,
        "logits": logits,
        "problem_type": model.config.problem_type,
        "labels": {str(number): name for number, name in model.config.id2label.items()},
    }


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    json.dump({folder: answers(folder, texts) for folder, texts in asked.items()}, sys.stdout)
