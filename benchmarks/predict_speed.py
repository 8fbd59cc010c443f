"""Sentences a second of a .tflite file: threads that share a text against threads with one each.

python benchmarks/predict_speed.py --model=RUN/tflite/dynamic_int8.tflite --input=sentences.txt
"""

from __future__ import annotations

import argparse
import pathlib
import statistics
import time

from bert_glue_tf.export import litert
from bert_glue_tf.serving import text_input
from bert_glue_tf.serving.answers import CHUNK
from bert_glue_tf.serving.classifier import Classifier


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--input", type=pathlib.Path, required=True, help="a text a line, or .tsv")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--lines", type=int, default=872, help="of the input, each round")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()

    each = Classifier.load(arguments.model, arguments.threads)
    shared = litert.LiteModel.load(arguments.model, arguments.threads)
    ways = {
        "threads with a text each": each,
        "threads that share a text": Classifier(
            each.task, shared.predict, each.layout, each.seq_length, each.tokenizer
        ),
    }
    reader = text_input.TextReader(each.task, str(arguments.input))
    with arguments.input.open("rb") as file:
        texts = [text for group in text_input.lines(file) for text in reader.read(group)]
    texts = texts[: arguments.lines]
    chunks = [texts[start : start + CHUNK] for start in range(0, len(texts), CHUNK)]
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(arguments.rounds + 1):
        for name, classifier in ways.items():
            start = time.perf_counter()
            for chunk in chunks:
                classifier.predict(chunk)
            if turn:  # The first one warms up.
                rates[name].append(len(texts) / (time.perf_counter() - start))
    for name, values in rates.items():
        print(
            f"{name}: {statistics.median(values):.0f} texts/s "
            f"({min(values):.0f} to {max(values):.0f}), {arguments.threads} threads"
        )


if __name__ == "__main__":
    main()
