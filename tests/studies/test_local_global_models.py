"""The study's own models: recipes, shares of the authors' code, and the claims on them, by hand."""

from __future__ import annotations

import dataclasses

import pytest
from messages import refuses

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.evaluation.collapse import Mark
from bert_glue_tf.evaluation.significance import Difference, Procedure
from bert_glue_tf.reports.verdicts import Comparison, Outcome
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.studies import (
    claims,
    local_global_answers,
    local_global_claims,
    local_global_models,
    printed,
)
from bert_glue_tf.studies import zeros as zeros_of
from bert_glue_tf.studies.claims import Verdict
from bert_glue_tf.studies.local_global_claims import Kept
from bert_glue_tf.studies.local_global_grids import Way
from bert_glue_tf.studies.local_global_models import MODELS

GIVEN = {"data": "absa", "encoder": "somewhere"}
TENTHS = [tenth / 10 for tenth in range(1, 10)]


def grids(name, ways=tuple(Way), at=(0.5, 0.9), seeds=(), **given):
    return local_global_models.grids(MODELS[name], {**GIVEN, **given}, at, seeds, ways)


# --- models and their recipes ---


def test_the_studys_eight_models_on_its_data():
    tasks = {name: one.task for name, one in MODELS.items()}
    assert tasks == {
        "conv4": "laptop14_aspects",
        "conv6": "laptop14_aspects",
        "de_cnn_laptop": "laptop14_aspects",
        "de_cnn_restaurant": "rest16_aspects",
        **dict.fromkeys(
            ("bert_linear", "bert_crf", "bert_tfm", "bert_gru", "bert_san"), "laptop14_e2e"
        ),
    }
    heads = {one.head for one in MODELS.values() if one.head}
    assert heads == {"linear", "crf", "transformer", "gru", "self_attention"}
    assert [one.name for one in local_global_models.chosen([])] == list(MODELS)


def test_a_cnn_has_the_recipe_of_the_study_and_what_is_given_goes_before():
    equal, regrown = grids("de_cnn_laptop", epochs="30", encoder_dropout="0.1")
    config = equal.pruned["local", 0.5].configs[0]
    assert (config.epochs, config.batch_size, config.learning_rate) == (30, 128, 1e-4)
    assert (config.decay, config.keep, config.dropout) == ("plateau", "best", 0.0)
    assert (config.pruning_scope, config.pruning_schedule) == ("all", "gradual")
    assert config.encoder_dropout == ExperimentConfig().encoder_dropout  # That is the BERTs'.
    assert [one.seed for one in equal.unpruned.configs] == [1, 2, 3]
    assert equal.unpruned == regrown.unpruned  # Trained once for both ways.
    assert (config.plateau_epochs, config.early_stopping) == (20, 25)
    _, published, told = local_global_models.deviations(["de_cnn_laptop"], [Way.EQUAL])
    assert "Xu et al. 2018" in published
    assert printed.unpruned("de_cnn_laptop") == pytest.approx(0.8159)
    assert printed.unpruned("conv4") is None
    assert "after 20 epochs without a better one (theirs: 20 of conv4" in told
    assert "ends after 25 (theirs: 100)" in told
    # Of a BERT the algorithm alone, and what is scored where weights grow back.
    assert len(local_global_models.deviations(["bert_crf"], list(Way))) == 2
    assert len(local_global_models.deviations(["bert_crf"], [Way.EQUAL])) == 1
    assert grids("de_cnn_laptop")[0].unpruned.configs[0].epochs == 300
    assert grids("conv4")[0].unpruned.configs[0].epochs == 200


def test_a_bert_has_its_head_one_seed_and_the_best_step_after_1000():
    equal, _ = grids("bert_tfm")
    (config,) = equal.unpruned.configs
    assert (config.tagging_head, config.batch_size, config.learning_rate) == (
        "transformer",
        32,
        2e-5,
    )
    assert (config.epochs, config.keep_after, config.seed) == (18, 1000, 1)


@pytest.mark.parametrize(
    "given",
    [
        {"epochs": "2"},
        {"finetune_epochs": "2"},
        {"keep": "last"},
        {"batch_size": "64"},
        {"train_examples": "320"},
    ],
)
def test_a_bert_whose_steps_are_others_has_no_step_1000_to_wait_for(given):
    assert grids("bert_tfm", **given)[0].unpruned.configs[0].keep_after == 0


def test_settings_that_belong_together_are_given_together():
    config = grids("conv4", decay="linear")[0].unpruned.configs[0]
    assert (config.decay, config.plateau_epochs) == ("linear", ExperimentConfig().plateau_epochs)


@pytest.mark.parametrize("name", list(MODELS))
def test_all_runs_of_a_model_are_different_ones(name):
    cells = {one for grid in grids(name, at=TENTHS) for one in grid.cells}
    runs = [config.run_name for one in cells for config in one.configs]
    assert len(cells) == 1 + 2 * 2 * len(TENTHS)
    assert len(set(runs)) == len(runs)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: local_global_models.chosen(["conv4", "conv5"]), "--models=conv4,conv5"),
        (lambda: local_global_models.ways([]), "--ways="),
        (lambda: local_global_models.ways(["equal", "both"]), "--ways=equal,both"),
        (lambda: grids("conv4", at=(0.55,)), "--sparsities"),
    ],
)
def test_what_is_no_model_way_or_share_is_refused(call, named):
    with refuses(UserError, named):
        call()


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ([Way.EQUAL], "what is pruned stays zero."),
        ([Way.REGROWN], "weights grow back, and the sparsities are not equal."),
        ([Way.REGROWN, Way.EQUAL], "what is pruned stays zero; as the authors' code, weights grow"),
    ],
)
def test_no_way_is_said_to_be_the_studys_algorithm(asked, told):
    first, *_ = local_global_models.deviations([], asked)
    assert "Algorithm 1 weights may grow back until the next mask" in first
    assert told in first


def test_equal_sparsity_needs_no_share_of_the_authors():
    (equal,) = grids("conv4", ways=[Way.EQUAL], at=(0.55,))
    assert equal.pruned["global", 0.55].configs[0].final_sparsity == 0.55


# --- how the authors' code prunes ---


def test_conv4_loses_the_shares_of_its_layers():
    found = local_global_models.shares(MODELS["conv4"], 0.2)
    assert found == {
        "general vectors": 0.2,
        "layer 1": 0.3,
        "layer 2": 0.3,
        "layer 3": 0.3,
        "layer 4": 0.2,
        "classifier": 0.2,
        "others": 0.0,
    }
    assert local_global_models.amount(MODELS["conv4"], 0.2) == 0.22


def test_de_cnn_loses_nothing_but_general_vectors_until_half():
    found = local_global_models.shares(MODELS["de_cnn_laptop"], 0.5)
    layers = {f"layer {number}": 0.0 for number in range(1, 5)}
    assert found == {
        "general vectors": 0.5,
        "domain vectors": 0.0,
        **layers,
        "classifier": 0.0,
        "others": 0.0,
    }
    assert local_global_models.amount(MODELS["de_cnn_laptop"], 0.5) == 0.53
    most = local_global_models.shares(MODELS["de_cnn_restaurant"], 0.9)
    assert (most["general vectors"], most["domain vectors"], most["layer 4"]) == (0.9, 0.75, 0.75)


def test_a_bert_loses_the_shares_of_bert_bases_groups():
    found = local_global_models.shares(MODELS["bert_gru"], 0.5)
    # 7 % of all weights are words', 30 % in 24 feed-forward and 13 % in 50 attention matrices.
    whole = 109_530_754
    assert found["words"] == pytest.approx(0.07 * whole / 23_440_896, abs=1e-3)
    assert found["feed-forward"] == pytest.approx(0.30 * whole / 24 / (768 * 3072), abs=1e-3)
    assert found["attention"] == pytest.approx(0.13 * whole / 50 / 768**2, abs=1e-3)
    assert found["others"] == 0
    for sparsity in TENTHS:
        assert all(
            0 <= one < 1
            for one in local_global_models.shares(MODELS["bert_gru"], sparsity).values()
        )
    assert local_global_models.amount(MODELS["bert_gru"], 0.5) == 0.5


@pytest.mark.parametrize(
    ("name", "following", "rest"),
    [
        ("bert_linear", 24, 49),
        ("bert_crf", 24, 49),
        ("bert_tfm", 27, 50),
        ("bert_gru", 24, 50),
        ("bert_san", 25, 50),
    ],
)
def test_the_matrices_of_a_head_count_among_those_of_its_size(name, following, rest):
    found = local_global_models.shares(MODELS[name], 0.5)
    whole = 109_530_754
    assert found["feed-forward"] == pytest.approx(0.30 * whole / following / (768 * 3072), abs=1e-3)
    assert found["attention"] == pytest.approx(0.13 * whole / rest / 768**2, abs=1e-3)


def test_the_regrown_way_is_soft_with_shares_for_local_and_an_amount_for_global():
    _, regrown = grids("de_cnn_laptop")
    local, whole = (regrown.pruned[name, 0.5].configs[0] for name in ("local", "global"))
    assert (local.pruning_schedule, whole.pruning_schedule) == ("soft", "soft")
    assert local.regions["general vectors"] == 0.5
    assert local.regions["domain vectors"] == 0.0
    assert (whole.regions, whole.final_sparsity, whole.ranking) == ({}, 0.53, "global")


# --- claims ---


def against(low, high, mean=None):
    """A difference to the unpruned model with this interval."""
    middle = (low + high) / 2 if mean is None else mean
    difference = Difference(middle, (low, high), (middle,), 0.01, Procedure.PERMUTATION, None)
    return Comparison("t", "s", "span_f1", 800, "a", "b", (1,), difference, encoder="de_cnn")


KEPT, LOST, OPEN = against(-0.1, -0.05), against(-0.7, -0.6), against(-0.5, -0.3)


def model(local, behind, title="DE-CNN, laptop", until=0.8):
    """A model of F1 0.8: half of it is lost at a difference of -0.4."""
    found = {("local", tenth / 10): KEPT for tenth in range(1, 8)}
    found |= {("local", until): local, ("global", 0.3): KEPT, ("global", 0.4): behind}
    return Kept(title, 0.8, found)


@pytest.mark.parametrize(
    ("local", "behind", "verdict"),
    [
        (KEPT, LOST, Verdict.HOLDS),
        (KEPT, KEPT, Verdict.DOES_NOT_HOLD),
        (LOST, LOST, Verdict.DOES_NOT_HOLD),
        (OPEN, LOST, Verdict.CANNOT_BE_TOLD),
        (KEPT, OPEN, Verdict.CANNOT_BE_TOLD),
        (OPEN, KEPT, Verdict.DOES_NOT_HOLD),
    ],
)
def test_local_stays_considerable_and_global_drops(local, behind, verdict):
    claim = "local_global.de_cnn_until_80"
    answer = local_global_claims.considerable(claim, [model(local, behind)], 0.8, 0.3, 1)
    assert answer.verdict is verdict
    assert answer.claim == claim
    assert (answer.examples, answer.seeds, answer.encoder) == (800, 1, "de_cnn")
    assert "unpruned 0.800: local 80 %" in answer.numbers
    assert "global 30 %" in answer.numbers
    assert "global 40 %" in answer.numbers
    least = max(map(claims.smallest, (local, KEPT, behind)))  # Of the wider interval.
    assert answer.numbers.endswith(f"Shown four times of five would be {least:.3f}")


def test_a_claim_on_several_models_holds_only_if_all_were_run():
    found = [model(KEPT, LOST)]
    answer = local_global_claims.considerable("local_global.de_cnn_until_80", found, 0.8, 0.3, 2)
    assert answer.verdict is Verdict.CANNOT_BE_TOLD
    assert answer.numbers.startswith("1 of its 2 models")
    found = [model(KEPT, KEPT)]  # One that contradicts it is enough.
    answer = local_global_claims.considerable("local_global.de_cnn_until_80", found, 0.8, 0.3, 2)
    assert answer.verdict is Verdict.DOES_NOT_HOLD


def test_a_lower_sparsity_at_which_local_has_lost_it_contradicts_too():
    one = model(KEPT, LOST)
    one = dataclasses.replace(one, against={**one.against, ("local", 0.2): LOST})
    answer = local_global_claims.considerable("local_global.de_cnn_until_80", [one], 0.8, 0.3, 1)
    assert answer.verdict is Verdict.DOES_NOT_HOLD


@pytest.mark.parametrize(
    ("changed", "missing", "verdict", "told"),
    [
        # Lost at 10 % already: that is no drop right after 30 %.
        (
            {("global", 0.1): LOST, ("global", 0.3): LOST},
            [],
            Verdict.DOES_NOT_HOLD,
            "global 30 % 0.150, not",
        ),
        ({}, [("global", 0.3)], Verdict.CANNOT_BE_TOLD, "not run: global up to 30 %"),
        (
            {("global", 0.8): LOST},
            [("global", 0.4)],
            Verdict.CANNOT_BE_TOLD,
            "not run: global right after 30 %",
        ),
        # What is kept at 80 % has not been lost before.
        ({("global", 0.8): KEPT}, [("global", 0.4)], Verdict.DOES_NOT_HOLD, "global 80 % 0.725"),
        ({("local", 0.8000000001): KEPT}, [("local", 0.8)], Verdict.HOLDS, "local 80 % 0.725"),
    ],
)
def test_global_has_to_drop_right_after_30_and_not_before(changed, missing, verdict, told):
    one = model(KEPT, LOST)
    found = {key: value for key, value in one.against.items() if key not in missing} | changed
    one = dataclasses.replace(one, against=found)
    answer = local_global_claims.considerable("local_global.de_cnn_until_80", [one], 0.8, 0.3, 1)
    assert answer.verdict is verdict
    assert told in answer.numbers


def test_of_a_model_that_has_learned_nothing_nothing_can_be_told():
    one = model(KEPT, LOST)
    marked = {
        key: dataclasses.replace(found, base_mark=Mark.AT_CHANCE)
        for key, found in one.against.items()
    }
    one = dataclasses.replace(one, against=marked)
    answer = local_global_claims.considerable("local_global.de_cnn_until_80", [one], 0.8, 0.3, 1)
    assert answer.verdict is Verdict.CANNOT_BE_TOLD


def test_without_the_sparsities_of_the_claim_there_is_no_answer():
    one = Kept("DE-CNN", 0.8, {("local", 0.5): KEPT, ("global", 0.5): LOST})
    assert local_global_claims.considerable("c", [one], 0.8, 0.3, 1) is None


SIZES = {
    "general vectors": 600,
    "domain vectors": 100,
    "layer 1": 200,
    "layer 2": 90,
    "classifier": 10,
}


def zeros(general, first, second, classifier=0.5):
    parts = {"general vectors": general, "domain vectors": 0.0, "layer 1": first, "layer 2": second}
    return {**parts, "classifier": classifier}


class OneGroup:
    seeds = (1, 2, 3)

    class first:
        encoder = "de_cnn"


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        # Of the vectors 600 * 0.35 / 700 = 30 % are gone, less than of either layer.
        ({0.5: zeros(0.35, 0.9, 0.4)}, Verdict.HOLDS),
        ({0.5: zeros(0.35, 0.9, 0.2)}, Verdict.DOES_NOT_HOLD),
        ({0.5: zeros(0.35, 0.9, 0.4, classifier=0.2)}, Verdict.DOES_NOT_HOLD),
        ({0.5: zeros(0.35, 0.9, 0.4), 0.9: zeros(1.0, 0.8, 0.9)}, Verdict.DOES_NOT_HOLD),
    ],
)
def test_layers_are_emptied_ahead_of_the_vectors(found, verdict):
    named = {("global", sparsity): values for sparsity, values in found.items()}
    answer = local_global_claims.vectors_last(OneGroup, named, SIZES)
    assert answer.verdict is verdict
    assert "50 %: 30.0 % of the vectors" in answer.numbers


def test_the_share_of_the_vectors_is_that_of_the_models_whichever_way_they_are_pruned():
    both = [found_with("de_cnn_laptop", way, 0.3) for way in Way]
    answer = answered(*both)["local_global.de_cnn_share"]
    assert answer.verdict is Verdict.HOLDS
    assert answer.numbers.count("DE-CNN, laptop: 700 of 1,000 weights, 70.0%") == 1
    more = {**SIZES, "general vectors": 2000}  # 2,100 of 2,400 are 87.5 %.
    other = dataclasses.replace(found_with("de_cnn_restaurant", Way.EQUAL, 0.3), sizes=more)
    answer = answered(*both, other)["local_global.de_cnn_share"]
    assert answer.verdict is Verdict.DOES_NOT_HOLD
    assert "DE-CNN, restaurant: 2,100 of 2,400 weights, 87.5%" in answer.numbers
    assert "has 70 % with 700" in answer.numbers
    assert local_global_claims.vectors_share({"Conv-4": {"layer 1": 10}}, []) is None


def test_the_embeddings_stand_beside_figure_10():
    sizes = {"words": 800, "positions": 50, "types": 2, "layer 1": 100}
    models = [zeros_of.embedding_row("tiny", sizes, 1000), zeros_of.embedding_row("cnn", {}, 10)]
    theirs, ours = zeros_of.embeddings(models).texts()
    assert theirs["words"] == "23,440,896 (21.4012%)"  # As it prints them.
    assert theirs["positions"] == "393,216 (0.3591%)"
    assert theirs["types"] == "1,536 (0.0014%)"
    assert (ours["model"], ours["words"]) == ("tiny", "800 (80.0000%)")
    assert not zeros_of.embeddings(models[1:]).rows


def test_without_vectors_in_scope_nothing_is_answered():
    assert local_global_claims.vectors_last(OneGroup, {}, SIZES) is None
    only = {("global", 0.5): {"layer 1": 0.5}}
    assert local_global_claims.vectors_last(OneGroup, only, {"layer 1": 10}) is None


# --- comparisons of the two rankings ---


def compared(mean, **changes):
    """Local minus global at some sparsity, shown where it is far from 0."""
    return dataclasses.replace(against(mean - 0.1, mean + 0.1), **changes)


def test_where_one_of_three_collapses_and_three_of_three_the_comparison_counts():
    marks = {"mark": Mark.COLLAPSED, "base_mark": Mark.COLLAPSED}
    assert local_global_claims.outcome(compared(0.3, **marks)) is Outcome.BETTER
    both = compared(0.3, **marks, all_collapsed=True)
    assert local_global_claims.outcome(both) is Outcome.UNDEFINED


def test_a_claim_on_two_models_needs_both_to_hold():
    claim, one = "local_global.conv", {"Conv-4": {0.5: compared(0.3)}}
    alone = local_global_claims.ranking(one, claim, models=2)
    assert alone.verdict is Verdict.CANNOT_BE_TOLD
    assert alone.numbers.startswith("1 of its 2 models were run. local is better at 1 of 1")
    both = {**one, "Conv-6": {0.5: compared(0.2)}}
    assert local_global_claims.ranking(both, claim, models=2).verdict is Verdict.HOLDS
    worse = {"Conv-4": {0.5: compared(-0.3)}}
    found = local_global_claims.ranking(worse, claim, models=2)
    assert found.verdict is Verdict.DOES_NOT_HOLD


def test_models_that_have_learned_nothing_do_not_count():
    both = {"Conv-4": {0.5: compared(0.3)}, "Conv-6": {0.5: compared(0.2)}}
    marked = {"Conv-6": Mark.AT_CHANCE}
    found = local_global_claims.ranking(both, "local_global.conv", marked, 2)
    assert found.verdict is Verdict.CANNOT_BE_TOLD
    assert "local is better at 1 of 1" in found.numbers
    assert "Conv-6: its unpruned model is not above chance" in found.numbers
    marked["Conv-4"] = Mark.COLLAPSED
    found = local_global_claims.ranking(both, "local_global.local", marked)
    assert found.verdict is Verdict.CANNOT_BE_TOLD
    assert "Conv-4: its unpruned model is COLLAPSED" in found.numbers


def found_with(name, way, mean, part=0.2, mark=None):
    """Return what a model has, at 50 % by name: with three seeds, and with its layers' zeros."""
    grid = next(one for one in grids(name, at=(0.5,)) if one.way is way)
    group = type("Group", (OneGroup,), {"mean": 0.8, "mark": mark})
    removed = {("local", 0.5): 0.266, ("global", 0.5): 0.53}
    return local_global_answers.Found(
        grid=grid,
        unpruned=group,
        compared={0.5: compared(mean)},
        against={},
        pruned=group,
        removed=removed if way is Way.REGROWN else dict.fromkeys(removed, 0.5),
        zeros={("global", 0.5): zeros(0.35, 0.9, part)},
        sizes=SIZES,
    )


def answered(*found):
    return {one.claim: one for one in local_global_answers.answers(found)}


def test_at_unequal_sparsity_no_ranking_is_called_the_better_one():
    regrown = found_with("de_cnn_laptop", Way.REGROWN, 0.3)
    alone = answered(regrown)["local_global.local"]
    assert alone.verdict is Verdict.CANNOT_BE_TOLD
    assert alone.numbers.startswith("As the authors' code, at unequal sparsity: local is better")
    gone = "In truth: DE-CNN, laptop, as the authors' code: local 50 % (26.6% gone) against global"
    assert f"{gone} (53.0%)" in alone.numbers
    both = answered(found_with("de_cnn_laptop", Way.EQUAL, 0.3), regrown)["local_global.local"]
    assert both.verdict is Verdict.HOLDS
    assert "As the authors' code, at unequal sparsity: holds. local is better" in both.numbers
    assert f"{gone} (53.0%)" in both.numbers


def test_where_the_zeros_are_every_model_is_asked():
    laptop = found_with("de_cnn_laptop", Way.EQUAL, 0.3, part=0.4)
    name = "local_global.de_cnn_zeros"
    assert answered(laptop)[name].verdict is Verdict.HOLDS
    other = found_with("de_cnn_restaurant", Way.EQUAL, 0.3, part=0.2)
    answer = answered(laptop, other)[name]
    assert answer.verdict is Verdict.DOES_NOT_HOLD
    assert "DE-CNN, laptop, equal sparsity: zeros of the vectors" in answer.numbers
    assert "DE-CNN, restaurant, equal sparsity: zeros of the vectors" in answer.numbers
    unlearned = found_with("de_cnn_restaurant", Way.EQUAL, 0.3, 0.4, Mark.COLLAPSED)
    answer = answered(laptop, unlearned)[name]
    assert answer.verdict is Verdict.CANNOT_BE_TOLD
    assert "DE-CNN, restaurant, equal sparsity: its unpruned model is COLLAPSED" in answer.numbers
