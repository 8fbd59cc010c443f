"""A process of benchmarks/training_steps.py that trains with PyTorch, a few steps when told.

It is what Hugging Face's Trainer does in a step, without what it does around it: the batch padded
and made a tensor, forward, backward, gradients clipped, AdamW, the learning rate's schedule. It
answers the requests of benchmarks/training_worker.py on the same sentences:

{"do": "begin", "batches": [[...], ...]}, {"do": "steps", "count": 6}, {"do": "products"}
"""

from __future__ import annotations

import json
import os
import pathlib
import sys
import time
from typing import Any

import training_products
from training_worker import memory, serve

from bert_glue_tf.data import readers, tasks
from bert_glue_tf.models.bert.architecture import Architecture
from bert_glue_tf.runs import config


class Worker:
    """A training that stands still between its steps."""

    def __init__(self, settings: config.ExperimentConfig, padding: str, model: str) -> None:
        """Build the training.

        Args:
          settings: of it.
          padding: "max_length" or "longest".
          model: folder of a Hugging Face BERT.
        """
        import torch
        import transformers

        # As TensorFlow does by itself.
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
        transformers.set_seed(settings.seed)
        transformers.logging.set_verbosity_error()
        task = tasks.get(settings.task)
        self._tokenizer = transformers.BertTokenizerFast(
            vocab=str(pathlib.Path(model) / "vocab.txt"), do_lower_case=True
        )
        examples = readers.load(task, settings.data, "train", settings.train_examples)
        assert examples.labels is not None
        encoded = self._tokenizer(
            *examples.texts, max_length=settings.seq_length, truncation=True, padding=False
        )
        self._rows = [
            {**{name: values[i] for name, values in encoded.items()}, "label": label.item()}
            for i, label in enumerate(examples.labels)
        ]
        self._collate = transformers.DataCollatorWithPadding(
            self._tokenizer, padding=padding, max_length=settings.seq_length
        )
        rate = settings.encoder_dropout
        inner = {} if rate < 0 else {"hidden_dropout_prob": rate}
        self._model = transformers.BertForSequenceClassification.from_pretrained(
            model,
            num_labels=task.problem.width,
            classifier_dropout=settings.dropout,
            **inner,
            **({} if rate < 0 else {"attention_probs_dropout_prob": rate}),
        ).train()
        kept = [p for name, p in self._model.named_parameters() if _decays(name)]
        rest = [p for name, p in self._model.named_parameters() if not _decays(name)]
        self._optimizer = torch.optim.AdamW(
            [{"params": kept, "weight_decay": settings.weight_decay}, {"params": rest}],
            lr=settings.learning_rate,
            eps=1e-6,
            weight_decay=0.0,
        )
        self._schedule = transformers.get_linear_schedule_with_warmup(
            self._optimizer, 30, settings.epochs * len(self._rows) // settings.batch_size
        )
        self._seen: list[training_products.Shape] = []
        self._next = 0

    def begin(self, batches: list[list[int]]) -> dict[str, Any]:
        """Take the examples of each batch."""
        self._batches = batches
        return {}

    def steps(self, count: int) -> dict[str, Any]:
        """Train some steps, and return what they took."""
        positions = pieces = 0
        start = time.perf_counter()
        for _ in range(count):
            indices = self._batches[self._next % len(self._batches)]
            self._next += 1
            batch = self._collate([self._rows[i] for i in indices])
            self._step(batch)
            mask = batch["attention_mask"]
            self._seen.append(training_products.Shape(*mask.shape))
            positions += mask.numel()
            pieces += int(mask.sum())
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "positions": positions, "pieces": pieces, **memory()}

    def _step(self, batch: Any) -> None:
        import torch

        self._model(**batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
        self._optimizer.step()
        self._schedule.step()
        self._optimizer.zero_grad()

    def products(self) -> dict[str, Any]:
        """Return the seconds of a step's matrix products, and their operations."""
        import torch

        def multiply(left: Any, right: Any) -> Any:
            a, b = (
                torch.from_numpy(one.squeeze(0) if len(left) == 1 else one) for one in (left, right)
            )
            return lambda: torch.matmul(a, b)

        seconds, operations = training_products.seconds(
            self._seen, _architecture(self._model.config), multiply
        )
        return {"seconds": seconds, "operations": operations}


def _decays(name: str) -> bool:
    """Return whether weight decay acts on a parameter, as in ours and in Hugging Face's."""
    return "bias" not in name and "LayerNorm" not in name


def _architecture(settings: Any) -> Architecture:
    return Architecture(
        vocab_size=settings.vocab_size,
        hidden_size=settings.hidden_size,
        layers=settings.num_hidden_layers,
        heads=settings.num_attention_heads,
        inner_dim=settings.intermediate_size,
        positions=settings.max_position_embeddings,
        type_vocab_size=settings.type_vocab_size,
        activation=settings.hidden_act,
    )


def main() -> None:
    settings = config.ExperimentConfig.from_json(json.loads(sys.argv[1]))
    serve(Worker(settings, *sys.argv[2:]))


if __name__ == "__main__":
    main()
