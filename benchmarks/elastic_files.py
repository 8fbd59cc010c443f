"""Bytes and times of one file of several sizes against a file for each, of an encoder as it comes.

python benchmarks/elastic_files.py --encoder=minilm_l6 --widths=0.25,0.5,1.0 --depths=0.5,1.0

Bytes and times depend on shapes alone, so that nothing is trained: each size has the first heads
and neurons of the encoder, and every other layer of a smaller depth.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import pathlib
import tempfile
from typing import Any

import numpy as np

import bert_glue_tf  # noqa: F401  (chooses Keras 2 before TensorFlow is imported)
from bert_glue_tf.data import tasks
from bert_glue_tf.data.preprocessing import INPUTS
from bert_glue_tf.evaluation import cost
from bert_glue_tf.export import convert, merging, quantize
from bert_glue_tf.export.litert import LiteModel
from bert_glue_tf.models import classifiers, encoders, loading, saving
from bert_glue_tf.models.quantization import recipes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", default="minilm_l6")
    parser.add_argument("--widths", default="0.25,0.5,1.0")
    parser.add_argument("--depths", default="0.5,1.0")
    parser.add_argument("--recipe", default="float32")
    parser.add_argument("--length", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repetitions", type=int, default=100)
    arguments = parser.parse_args()

    files = made(arguments)
    whole = next(iter(files))
    merged = merging.merge(files, whole)
    separate = sum(map(len, files.values()))
    print(
        f"{arguments.recipe}: one file {len(merged) / 1e6:.1f} MB, {len(files)} files "
        f"{separate / 1e6:.1f} MB, the largest {len(files[whole]) / 1e6:.1f} MB"
    )
    features = {name: np.ones((1, arguments.length), np.int32) for name in INPUTS}
    calls: dict[str, Any] = {}
    for name, content in files.items():
        own = LiteModel(content, arguments.threads, name)
        size = "" if name == whole else name
        shared = LiteModel(merged, arguments.threads, name, size=size)
        np.testing.assert_array_equal(own.predict(features), shared.predict(features))
        calls[f"{name} own"] = functools.partial(own.predict, features)
        calls[f"{name} shared"] = functools.partial(shared.predict, features)
    timed = cost.interleaved_latency(calls, arguments.repetitions)
    for name, content in files.items():
        own_time, shared_time = timed[f"{name} own"], timed[f"{name} shared"]
        print(
            f"{name}: own file {len(content) / 1e6:.1f} MB, median {own_time['p50']:.2f} ms (least "
            f"{own_time['min']:.2f}); in one file {shared_time['p50']:.2f} ms (least "
            f"{shared_time['min']:.2f}, {shared_time['min'] / own_time['min']:.2f} times)"
        )


def made(arguments: argparse.Namespace) -> dict[str, bytes]:
    """Return the file of each size, the largest first."""
    task = tasks.get("mrpc")
    found = loading.load(encoders.resolve(arguments.encoder, ""), seq_length=arguments.length)
    backbone = found.build(0.0)
    model = classifiers.build_classifier(backbone.layer, task, dropout=0.0, seed=1)
    widths, depths = (
        sorted(map(float, text.split(",")), reverse=True)
        for text in (arguments.widths, arguments.depths)
    )
    recipe = recipes.get(arguments.recipe)
    files = {}
    with tempfile.TemporaryDirectory() as place:
        for width, depth in itertools.product(widths, depths):
            layers = backbone.widths()
            keep = list(range(0, len(layers), round(1 / depth)))
            counts = [
                (round(width * one["heads"]), round(width * one["neurons"])) for one in layers
            ]
            smaller = backbone.first_units(model, [counts[index] for index in keep], keep)
            name = f"w{width:g}-d{depth:g}"
            folder = pathlib.Path(place) / name
            saving.save(smaller, backbone, task, folder)
            content = convert.convert(folder, [arguments.length])
            files[name] = quantize.quantize(content, recipe.rules, None)
    return files


if __name__ == "__main__":
    main()
