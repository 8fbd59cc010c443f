"""Scores of an elastic BERT's sizes against the same sizes, each trained alone with a teacher.

python benchmarks/elastic_scores.py --task=mrpc --data=/folder/with/glue --seeds=1,2,3

Both start from the same fine-tuned network, which teaches what is trained alone. What is finished
in --runs_dir is not run again.
"""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import bert_glue_tf  # noqa: F401  (chooses Keras 2 before TensorFlow is imported)
from bert_glue_tf import api
from bert_glue_tf.compression.names import NO_PRUNING
from bert_glue_tf.pruning.elastic import Elastic
from bert_glue_tf.reports.groups import Group
from bert_glue_tf.reports.measured import KERAS, Model
from bert_glue_tf.studies import words


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="mrpc")
    parser.add_argument("--data", required=True)
    parser.add_argument("--encoder", default="minilm_l6")
    parser.add_argument("--widths", default="0.25,0.5,1.0")
    parser.add_argument("--depths", default="0.5,1.0")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--train_examples", type=int, default=0)
    parser.add_argument("--finetune_epochs", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--learning_rate", type=float, default=1e-4)
    parser.add_argument("--runs_dir", type=pathlib.Path, default=pathlib.Path("runs"))
    arguments = parser.parse_args()

    options = f"widths={arguments.widths} depths={arguments.depths}"
    shapes = Elastic({"widths": arguments.widths, "depths": arguments.depths}).shapes
    found: dict[tuple[str, str], list[Model]] = {}
    for seed in map(int, arguments.seeds.split(",")):
        together = run(arguments, seed, pruning_method="elastic", pruning_options=options)
        for model in api.read_models([together]):
            if model.recipe == KERAS:
                found.setdefault((model.size, "together"), []).append(model)
        for name in shapes:
            alone = run(arguments, seed, teacher="start", **alone_settings(name))
            (model,) = (one for one in api.read_models([alone]) if one.recipe == KERAS)
            found.setdefault((name, "alone"), []).append(model)
    for line in lines(found, shapes):
        print(line)


def run(arguments: argparse.Namespace, seed: int, **settings: Any) -> pathlib.Path:
    """Return the folder of a finished run, which is trained now where it is not there."""
    names = ("task", "data", "encoder", "train_examples", "finetune_epochs", "epochs")
    same = {name: getattr(arguments, name) for name in (*names, "learning_rate")}
    config = api.ExperimentConfig(**same, seed=seed, **settings)
    folder: pathlib.Path = arguments.runs_dir / config.run_name
    api.train(config, folder)
    return folder


def alone_settings(name: str) -> dict[str, str]:
    """Return the settings by which a network of a size is pruned in a run of its own."""
    width, depth = (float(part[1:]) for part in name.split("-"))
    sparsities = {}
    if depth < 1:
        sparsities["layer"] = 1 - depth
    if width < 1:
        sparsities |= {"attention_head": 1 - width, "neuron": 1 - width}
    if not sparsities:
        return {"pruning_method": NO_PRUNING}
    options = (f"{one}.final_sparsity={value:g}" for one, value in sparsities.items())
    return {
        "pruning_method": ",".join(sparsities),
        "pruning_schedule": "one_shot",
        "pruning_options": " ".join(options),
    }


def lines(found: Mapping[tuple[str, str], list[Model]], sizes: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each size: both scores, and their difference with its interval."""
    for name in sizes:
        together, alone = (
            Group(tuple(found[name, way]), f"{name} {way}") for way in ("together", "alone")
        )
        difference = api.compare(together, alone)
        told = words.interval(difference) if difference else "not the same examples"
        yield f"{name}: together {together.mean:.4f}, alone {alone.mean:.4f}, difference {told}"


if __name__ == "__main__":
    main()
