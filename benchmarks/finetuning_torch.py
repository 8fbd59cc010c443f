"""The same fine-tuning in PyTorch: Hugging Face's Trainer, as its GLUE example uses it.

PYTHONPATH=. .venv-peers/bin/python benchmarks/finetuning_torch.py \
    --model=/folder/with/minilm --padding=longest --task=cola --data=/folder/with/glue \
    --output=predictions.npz

Runs in the environment of `make bench-peers`, without TensorFlow; benchmarks/finetuning.py starts
it, and gives it the settings that our own training has. A folder of --model holds config.json,
model.safetensors and vocab.txt.
"""

from __future__ import annotations

import os
import pathlib

import numpy as np
from absl import flags

from bert_glue_tf.core import cli
from bert_glue_tf.data import readers, tasks
from bert_glue_tf.data.examples import Examples
from bert_glue_tf.evaluation import metrics
from bert_glue_tf.runs import command_line

EVALUATION_BATCH = 64  # As in our own training.
FLAGS = flags.FLAGS


def define_flags() -> None:
    """Not at import: the tests import this module beside the commands."""
    command_line.define_flags()
    flags.DEFINE_string("model", "", "Folder of a Hugging Face BERT.")
    flags.DEFINE_enum(
        "padding", "max_length", ["max_length", "longest"], "To --seq_length, or of each batch."
    )
    flags.DEFINE_string("output", "", "File for the labels and logits of the dev split, .npz.")


def main() -> None:
    settings = command_line.from_flags(FLAGS)
    task = tasks.get(settings.task)
    split = next(iter(task.validation_splits.values()))
    examples = readers.load_for_training(task, settings.data, settings.train_examples)

    import torch
    import transformers

    torch.set_num_threads(os.cpu_count() or 1)  # As TensorFlow does.
    transformers.set_seed(settings.seed)
    transformers.logging.set_verbosity_error()
    tokenizer = transformers.BertTokenizerFast(
        vocab=str(pathlib.Path(FLAGS.model) / "vocab.txt"), do_lower_case=True
    )
    dropout = {"classifier_dropout": settings.dropout}
    if settings.encoder_dropout >= 0:
        dropout["hidden_dropout_prob"] = settings.encoder_dropout
        dropout["attention_probs_dropout_prob"] = settings.encoder_dropout
    model = transformers.BertForSequenceClassification.from_pretrained(
        FLAGS.model, num_labels=task.problem.width, **dropout
    )
    padding = FLAGS.padding == "max_length" and "max_length"

    def tokenized(read: Examples) -> list[dict[str, object]]:
        """Return the rows that its example's `dataset.map` makes: word pieces, padded or not."""
        assert read.labels is not None
        encoded = tokenizer(
            *read.texts, padding=padding, max_length=settings.seq_length, truncation=True
        )
        return [
            {**{name: values[i] for name, values in encoded.items()}, "label": label.item()}
            for i, label in enumerate(read.labels)
        ]

    class FirstStep(transformers.TrainerCallback):
        def on_step_end(self, arguments, state, control, **more):  # type: ignore[no-untyped-def]
            del arguments, control, more
            if state.global_step == 1:
                print("first step", flush=True)

        def on_epoch_end(self, arguments, state, control, **more):  # type: ignore[no-untyped-def]
            del arguments, control, more
            print(f"epoch {state.epoch:.0f}", flush=True)

    trainer = transformers.Trainer(
        model=model,
        args=transformers.TrainingArguments(
            output_dir=str(pathlib.Path(FLAGS.output).with_suffix("")),
            num_train_epochs=settings.epochs,
            per_device_train_batch_size=settings.batch_size,
            per_device_eval_batch_size=EVALUATION_BATCH,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            adam_beta1=0.9,
            adam_beta2=0.999,
            adam_epsilon=1e-6,
            max_grad_norm=1.0,
            lr_scheduler_type="linear",
            warmup_steps=settings.warmup_fraction,
            eval_strategy="epoch",
            save_strategy="epoch",  # As ours does, so that an interrupted training can go on.
            save_total_limit=1,
            logging_strategy="epoch",
            report_to="none",
            disable_tqdm=True,
            seed=settings.seed,
            use_cpu=True,
        ),
        train_dataset=tokenized(examples["train"]),  # type: ignore[arg-type]
        eval_dataset=tokenized(examples[split]),  # type: ignore[arg-type]
        data_collator=transformers.DataCollatorWithPadding(tokenizer),
        callbacks=[FirstStep()],
    )
    trainer.train()
    answered = trainer.predict(trainer.eval_dataset)  # type: ignore[arg-type]
    logits = np.asarray(answered.predictions, np.float32)
    labels = examples[split].labels
    np.savez(FLAGS.output, labels=labels, logits=logits)
    print(metrics.compute(task, labels, logits))


if __name__ == "__main__":
    define_flags()
    cli.run(main, __doc__)
