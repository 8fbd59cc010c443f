"""Sparsities of parts of the network, and what is refused of them."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_cnn
from messages import refuses
from tiny_classifier import start

from bert_glue_tf.compression import ranking, registry, settings
from bert_glue_tf.compression.schedule import PruningContext
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.models import classifiers
from bert_glue_tf.models.units import Group, Member
from bert_glue_tf.runs.config import ExperimentConfig

TASK = tasks.get("sst2")
SHAPES = tiny_cnn.architecture()


def prepared(regions: str, **changes: object):
    """Magnitude pruning of a tiny CNN, its word vectors among what is pruned."""
    given = {
        "pruning_method": "magnitude",
        "final_sparsity": 0.5,
        "pruning_scope": "all",
        "region_sparsities": regions,
        **changes,
    }
    config = ExperimentConfig(task="sst2", **given)
    made = registry.build(config)
    backbone = tiny_cnn.backbone(tiny_cnn.built(SHAPES), SHAPES)
    made.reshape(start(backbone, TASK))
    model = classifiers.build_classifier(backbone.layer, TASK, dropout=0.0, seed=1)
    return made, made.prepare(model, PruningContext.from_config(config, 10, made.waits))


def by_part(made, model) -> dict[str, float]:
    """Part of the network -> fraction of its weights that are zero."""
    zero: dict[str, list[np.ndarray]] = {}
    for name, weight in made.pruned_weights(model).items():
        zero.setdefault(made.backbone.part_of(name), []).append(weight.numpy().ravel() == 0)
    return {part: float(np.concatenate(found).mean()) for part, found in zero.items()}


def test_a_part_has_its_own_sparsity_and_the_others_the_final_one():
    made, model = prepared("general vectors=0.2 layer 1=0.75")
    made.update(0.5)
    found = by_part(made, model)
    wanted = {
        "general vectors": 0.2,
        "domain vectors": 0.5,
        "layer 1": 0.75,
        "layer 2": 0.5,
        "classifier": 0.5,
    }
    assert found == pytest.approx(wanted, abs=0.01)


def test_a_region_is_several_parts_and_what_is_named_first_counts():
    made, model = prepared("layer 2=0.25 convolutions=0.75 word vectors=0.1 others=0")
    made.update(0.5)
    found = by_part(made, model)
    assert found["layer 1"] == pytest.approx(0.75, abs=0.01)
    assert found["layer 2"] == pytest.approx(0.25, abs=0.01)
    assert found["general vectors"] == pytest.approx(0.1, abs=0.01)
    assert found["classifier"] == 0


def test_a_part_goes_along_the_schedule_in_proportion():
    made, model = prepared("word vectors=0.8 others=0.4")
    made.update(0.25)  # Half of the way to 0.5.
    found = by_part(made, model)
    assert found["general vectors"] == pytest.approx(0.4, abs=0.01)
    assert found["layer 1"] == pytest.approx(0.2, abs=0.02)


def test_a_name_of_no_part_is_refused_with_those_there_are():
    with refuses(UserError, "'words'", "general vectors", "layer 2"):
        prepared("words=0.5")


@pytest.mark.parametrize(
    "text",
    ["words", "words=1", "words=-0.1", "words=a", "=0.5", "words=0.5 words=0.4", "a=0.5, b=1"],
)
def test_what_is_no_list_of_parts_is_refused(text):
    with refuses(UserError, f"--region_sparsities={text}"):
        ExperimentConfig(region_sparsities=text)


def test_parts_mean_nothing_where_all_weights_compete():
    with refuses(UserError, "--region_sparsities=words=0.5", "--ranking=global"):
        ExperimentConfig(region_sparsities="words=0.5", ranking="global")


@pytest.mark.parametrize("method", ["movement", "block"])
def test_parts_mean_nothing_where_the_method_lets_all_weights_compete(method):
    score = "score=movement block=2x2 " if method == "block" else ""
    regions = "general vectors=0.25"
    with refuses(UserError, f"--region_sparsities={regions}", f"--pruning_method={method}"):
        prepared(regions, pruning_method=method, pruning_options=f"{score}variant=soft")


def test_what_is_told_of_the_masks_is_told_once(caplog):
    made, _ = prepared("layer 1=0.999")
    made.update(0.5)
    made.update(0.5)
    told = [one.getMessage() for one in caplog.records if "only its bias is left" in one.message]
    assert len(told) == len(set(told)) > 0


def test_a_name_may_hold_blanks():
    found = settings.parse_regions(" general vectors=0.5  layer 2=0 others=.25 ")
    assert found == {"general vectors": 0.5, "layer 2": 0.0, "others": 0.25}


def group(name: str, count: int) -> Group:
    return Group(name, (count,), (Member(name, None, (count,), (0,)),), what="head")


def test_units_that_a_part_would_lose_all_of_are_named_with_the_flag():
    with refuses(UserError, "--region_sparsities=0.9", "all heads in b"):
        ranking.require_reachable([group("a", 4), group("b", 4)], [0.5, 0.9], "local")
