"""The scores of each pruning method, against values computed by hand or by autodiff."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
import tiny_bert
from messages import refuses
from tiny_classifier import start

from bert_glue_tf.compression import masked, registry, scores, units
from bert_glue_tf.compression import patterns as patterns_of
from bert_glue_tf.compression.masked import MaskedPruning
from bert_glue_tf.compression.schedule import PruningContext
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.models import classifiers, transformer_names
from bert_glue_tf.models.bert.backbone import BertBackbone
from bert_glue_tf.models.bert.network import build_encoder
from bert_glue_tf.models.units import Group, Member
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.training.optimizer import build_optimizer

TASK = tasks.get("mnli")
QUERY = "transformer/layer_0/self_attention/query/kernel"


def settings(method: str, **changes) -> ExperimentConfig:
    return ExperimentConfig(
        **{"task": TASK.name, "final_sparsity": 0.5, "pruning_method": method, "dropout": 0.0}
        | changes
    )


def classifier(layers: int = 1) -> tf_keras.Model:
    shapes = dataclasses.replace(
        tiny_bert.architecture(layers=layers, heads=4), output_dropout=0.0, attention_dropout=0.0
    )
    encoder = build_encoder(shapes, tiny_bert.weights(shapes).__getitem__)
    return classifiers.build_classifier(encoder, TASK, dropout=0.0, seed=1)


def prepare(method: str, model: tf_keras.Model | None = None, steps: int = 10, **changes):
    """The method on a tiny classifier, and the optimizer that drives it."""
    config = settings(method, **changes)
    made = registry.build(config)
    context = PruningContext.from_config(config, steps, made.waits)
    model = ready(made, model or classifier(), context)
    optimizer = made.wrap_optimizer(build_optimizer(config, steps // made.cycles))
    return made, model, optimizer


def ready(made, model: tf_keras.Model, context: PruningContext) -> tf_keras.Model:
    """The model as the method prepares it in a run."""
    backbone = tiny_bert.backbone(model.get_layer("bert_encoder"), tiny_bert.architecture())
    made.reshape(start(backbone, TASK))
    return made.prepare(model, context)


def weight(model: tf_keras.Model, name: str) -> tf.Variable:
    return next(v for v in model.variables if transformer_names.name_of(v) == name)


def group_of(method: MaskedPruning, name: str) -> Group:
    return next(group for group in method.all_groups if group.name == name)


def features(seed: int = 0, batch: int = 4, length: int = 6) -> dict[str, np.ndarray]:
    ids = np.random.default_rng(seed).integers(5, 90, (batch, length)).astype(np.int32)
    return {
        "input_word_ids": ids,
        "input_mask": np.ones_like(ids),
        "input_type_ids": np.zeros_like(ids),
    }


def loss_of(model: tf_keras.Model, seed: int = 0) -> tf.Tensor:
    labels = np.arange(4) % 3
    return TASK.problem.keras_loss()(labels, model(features(seed), training=False))


def gradients(model: tf_keras.Model, seed: int = 0) -> list[tf.Tensor]:
    with tf.GradientTape() as tape:
        loss = loss_of(model, seed)
    return tape.gradient(loss, model.trainable_variables)


def test_scopes_by_name():
    variables = classifier(layers=2).trainable_variables
    found = {
        scope: set(units.in_scope(BertBackbone, variables, scope))
        for scope in ("classifier", "encoder", "embeddings", "all")
    }
    assert found["classifier"] == {"pooler_transform/kernel", "classifier/kernel"}
    assert len(found["encoder"]) == 12  # Six matrices of two layers.
    assert found["embeddings"] == {
        "word_embeddings/embeddings",
        "position_embedding/embeddings",
        "type_embeddings/embeddings",
    }
    assert found["all"] == found["classifier"] | found["encoder"] | found["embeddings"]
    one = units.in_scope(BertBackbone, variables, "encoder", r"layer_1/.*query")
    assert set(one) == {"transformer/layer_1/self_attention/query/kernel"}


@pytest.mark.parametrize(
    ("scope", "pattern_", "named"),
    [
        ("encoder", "self_atention/query", "self_attention/query/kernel"),
        ("encoder", "word_embeddings", "--pruning_scope=emb"),
    ],
)
def test_a_scope_that_matches_nothing_names_what_is_near(scope, pattern_, named):
    with refuses(UserError, named):
        units.in_scope(BertBackbone, classifier().trainable_variables, scope, pattern_)


def test_a_member_spreads_units_over_its_weights_and_sums_them_up():
    variable = tf.Variable(np.arange(24.0, dtype=np.float32).reshape(2, 3, 4))
    heads = Member("kernel", variable, (2, 3, 4), (1,))
    units = tf.constant([True, False, True])
    np.testing.assert_array_equal(heads.expand(units)[0, :, 0], [True, False, True])
    np.testing.assert_allclose(heads.total(variable.numpy()), variable.numpy().sum((0, 2)))
    blocks = Member("kernel", variable, (2, 1, 6, 2), (0, 2))
    spread = blocks.expand(tf.reshape(tf.range(12), (2, 6))).numpy()
    np.testing.assert_array_equal(spread.reshape(2, 12)[1], np.repeat(np.arange(6, 12), 2))
    np.testing.assert_allclose(
        blocks.total(variable.numpy()), variable.numpy().reshape(2, 6, 2).sum(2)
    )
    assert (heads.unit_size, blocks.unit_size) == (8, 2)


@pytest.mark.parametrize(
    ("method", "axis"),
    # y = Wx with W = kernel transposed: a row of W makes an output, a column reads an input.
    [("row", 0), ("column", 1)],
)
def test_rows_and_columns_by_their_norm(method, axis):
    made, model, _ = prepare(method, pruning_schedule="one_shot", begin_step=0)
    kernel = weight(model, "transformer/layer_0/output/kernel")
    norms = np.sqrt((kernel.numpy() ** 2).sum(axis))
    made.advance(0)
    gone = (kernel.numpy() == 0).all(axis)
    assert gone.sum() == len(norms) // 2
    assert norms[gone].max() < norms[~gone].min()


def test_a_query_row_is_one_output_of_one_head():
    made, model, _ = prepare("row", pruning_schedule="one_shot", begin_step=0)
    kernel = weight(model, QUERY)  # [16, 4 heads, 4]
    norms = np.sqrt((kernel.numpy() ** 2).sum(0)).reshape(-1)
    made.advance(0)
    gone = (kernel.numpy() == 0).all(0).reshape(-1)
    np.testing.assert_array_equal(np.sort(np.flatnonzero(gone)), np.sort(np.argsort(norms)[:8]))


def test_blocks_by_their_norm():
    made, model, _ = prepare(
        "block", pruning_options="block=4x8", pruning_schedule="one_shot", begin_step=0
    )
    kernel = weight(model, "transformer/layer_0/output/kernel")  # [32, 16]

    def norms() -> np.ndarray:
        return np.sqrt((kernel.numpy().reshape(8, 4, 2, 8) ** 2).sum((1, 3)))

    before = norms()
    made.advance(0)
    gone = norms() == 0
    assert gone.sum() == 8
    assert before[gone].max() < before[~gone].min()


@pytest.mark.parametrize("size", ["5x4", "4x5"])
def test_blocks_that_do_not_divide_a_matrix(size):
    with refuses(UserError, f"block={size}", "2 or 4"):
        prepare("block", pruning_options=f"block={size}")


@pytest.mark.parametrize("size", ["4", "4x", "0x4", "4x4x4", "axb"])
def test_a_block_size_that_is_none(size):
    with refuses(UserError, f"block={size}", "block=16x16"):
        prepare("block", pruning_options=f"block={size}")


def test_patterns_by_hand():
    blocks = np.array([[9, 8, 0, 1], [9, 8, 1, 0], [0, 1, 9, 9], [5, 0, 0, 4]], np.float64)
    found = patterns_of.fitting_patterns(blocks, kept=2, count=2)
    # {0, 1} is what two blocks are largest in; {2, 3} and {0, 3} one each.
    assert found[0].tolist() == [True, True, False, False]
    assert len(found) == 2
    patterns = np.array([[True, True, False, False], [False, False, True, True]])
    best = patterns_of.best_patterns(blocks, patterns)
    # Energies of the last block: 25 + 0 against 0 + 16.
    np.testing.assert_array_equal(best, patterns[[0, 0, 1, 0]])


def test_every_block_keeps_one_of_its_matrixs_patterns():
    made, model, _ = prepare(
        "pattern", pruning_options="patterns=3", pruning_schedule="one_shot", begin_step=0
    )
    made.advance(0)
    kernel = weight(model, "transformer/layer_0/intermediate/kernel").numpy()  # [16, 32]
    blocks = (kernel != 0).reshape(4, 4, 8, 4).transpose(0, 2, 1, 3).reshape(32, 16)
    assert (blocks.sum(1) == 8).all()
    assert len(np.unique(blocks, axis=0)) <= 3


def test_the_sparsity_of_a_pattern_goes_in_steps_of_a_weight():
    with refuses(UserError, "0.28", "0.25 or 0.3125"):
        prepare("pattern", final_sparsity=0.28)
    with refuses(UserError, "--ranking=global", "--pruning_method=pattern"):
        prepare("pattern", ranking="global")


def test_gradient_is_the_running_mean_of_weight_times_gradient():
    made, model, optimizer = prepare("gradient")
    name = QUERY
    expected = np.zeros(weight(model, name).shape, np.float64)
    for step in range(3):
        found = gradients(model, step)
        norm = min(1.0, 1.0 / float(tf.linalg.global_norm(found)))  # The optimizer clips to 1.
        index = next(
            i
            for i, v in enumerate(model.trainable_variables)
            if transformer_names.name_of(v) == name
        )
        now = np.abs(weight(model, name).numpy() * found[index].numpy() * norm)
        expected = 0.99 * expected + 0.01 * now
        optimizer.apply_gradients(zip(found, model.trainable_variables, strict=True))
    np.testing.assert_allclose(made.score(group_of(made, name)), expected, rtol=1e-4, atol=1e-9)


def test_a_heads_importance_is_the_gradient_of_its_mask():
    """Against autodiff through a mask that multiplies the heads' part of the output matrix."""
    made, model, optimizer = prepare("attention_head")
    output = weight(model, "transformer/layer_0/self_attention/attention_output/kernel")
    values = output.numpy()
    mask = np.ones(4)
    numeric = []
    for head in range(4):
        # dL/dm by central differences: the mask scales what the head contributes.
        losses = []
        for change in (1e-2, -1e-2):
            scaled = mask.copy()
            scaled[head] += change
            output.assign(values * scaled[:, None, None])
            losses.append(float(loss_of(model)))
        numeric.append(abs(losses[0] - losses[1]) / 2e-2)
    output.assign(values)
    found = gradients(model)
    norm = min(1.0, 1.0 / float(tf.linalg.global_norm(found)))
    optimizer.apply_gradients(zip(found, model.trainable_variables, strict=True))
    (group,) = made.all_groups
    learned = super(type(made), made).score(group)  # Before the layer's norm divides it.
    np.testing.assert_allclose(learned / 0.01 / norm, numeric, rtol=0.05, atol=2e-4)
    np.testing.assert_allclose(np.linalg.norm(made.score(group)), 1.0, rtol=1e-5)


@pytest.mark.parametrize("method", ["attention_head", "neuron"])
def test_a_masked_unit_is_gone_from_all_of_its_weights(method):
    made, _model, _ = prepare(method)
    (group,) = made.all_groups
    mask = np.ones(group.units, bool)
    mask[1] = False
    made.set_masks([mask])
    for member in group.members:
        gone = np.moveaxis(member.variable.numpy(), member.unit_axes[0], 0)
        assert (gone[1] == 0).all(), member.name
        assert np.count_nonzero(gone[0]), member.name
    assert len(group.members) == {"attention_head": 7, "neuron": 3}[method]


def test_movement_scores_and_hidden_weights():
    made, model, optimizer = prepare("movement", pruning_options="score_rate=0.5")
    group = group_of(made, QUERY)
    index = next(
        i for i, v in enumerate(model.trainable_variables) if transformer_names.name_of(v) == QUERY
    )
    expected, square = np.zeros(group.units), np.zeros(group.units)
    for step in (1, 2, 3):
        before = weight(model, QUERY).numpy()
        found = gradients(model, step)
        norm = min(1.0, 1.0 / float(tf.linalg.global_norm(found)))
        moved = found[index].numpy().astype(np.float64) * norm * before
        square = 0.999 * square + 0.001 * moved**2
        expected -= 0.5 * moved / np.sqrt(square / (1 - 0.999**step))
        optimizer.apply_gradients(zip(found, model.trainable_variables, strict=True))
        made.step.assign(step)  # No mask is updated yet.
        np.testing.assert_allclose(made.score(group), expected, rtol=2e-3, atol=1e-3)
    # What is masked keeps its value, and comes back with it.
    whole = weight(model, QUERY).numpy()
    made.update(0.5)
    masked = weight(model, QUERY).numpy()
    np.testing.assert_array_equal(masked == 0, ~made.mask(group))
    made.set_masks([np.ones(g.units, bool) for g in made.all_groups])
    np.testing.assert_array_equal(weight(model, QUERY).numpy(), whole)


def test_soft_movement_pulls_its_scores_down_and_ranks_over_the_whole_scope():
    made, _, _ = prepare("movement", pruning_options="variant=soft penalty=4.0 score_rate=0.5")
    assert made.plan.ranking == "global"
    group = group_of(made, QUERY)
    zero = tf.zeros(group.units)
    made.observe(group, group.members[0], zero)
    # The penalty's gradient at a score of 0 is 4 * 0.5 * 0.5, times the rate of 0.5.
    np.testing.assert_allclose(made.score(group), np.full(group.units, -0.5), rtol=1e-6)
    with refuses(UserError, "variant=medium", "hard"):
        prepare("movement", pruning_options="variant=medium")


@pytest.mark.parametrize(
    ("method", "option"),
    [
        ("movement", "variant=medium"),
        ("block", "block=axb"),
        ("pattern", "patterns=0"),
        ("layer", "order=bottom"),
        ("vocabulary", "keep=0.0"),
        ("admm", "rho=0.0"),
    ],
)
def test_a_value_that_is_good_for_no_encoder_is_refused_before_one_is_loaded(method, option):
    with refuses(UserError, option):
        registry.check(method, option)


@pytest.mark.parametrize(
    ("steps", "settings", "told"),
    [
        # A cubic is three times as steep at its beginning as on average.
        (1000, {"begin_step": 1, "end_step": 601, "final_sparsity": 0.5}, "0.25 % of the weights"),
        (1000, {"pruning_schedule": "one_shot", "final_sparsity": 0.5}, "50 % of the weights"),
        (1000, {"pruning_options": "initial=magnitude", "final_sparsity": 0.5}, ""),
        (9000, {"begin_step": 1, "end_step": 7601, "final_sparsity": 0.5}, ""),
    ],
)
def test_movement_warns_of_a_pace_at_which_networks_collapse(steps, settings, told, caplog):
    made, _, _ = prepare("movement", steps=steps, initial_sparsity=0.0, **settings)
    assert not caplog.messages  # A rehearsal comes as far as this.
    with caplog.at_level("WARNING", "absl"):
        for step in range(2):
            made.advance(step)
    assert [told in one and "--end_step" in one for one in caplog.messages] == [True] * bool(told)


def test_values_are_a_snapshot_that_nobody_can_write_to():
    variable = tf.Variable([1.0, 2.0])
    before = masked.values_of(variable)
    with pytest.raises(ValueError, match="read-only"):
        before[0] = 3.0
    for change in (variable.assign_add, variable.assign_sub, variable.assign):
        change([1.0, 1.0])
        np.testing.assert_array_equal(before, [1.0, 2.0])
    np.testing.assert_array_equal(masked.values_of(variable), [1.0, 1.0])


def test_masks_of_weights_of_many_shapes_are_updated_without_a_word(caplog):
    made, _, _ = prepare("movement", pruning_scope="all")
    assert len({group.units for group in made.all_groups}) > 4  # TensorFlow warns from there on.
    with caplog.at_level("WARNING"):
        made.update(0.5)
    assert not caplog.messages


def test_movement_may_begin_with_the_magnitudes():
    made, model, _ = prepare("movement", pruning_options="initial=magnitude")
    group = group_of(made, QUERY)
    size = np.abs(weight(model, QUERY).numpy())
    np.testing.assert_allclose(made.score(group), size / np.sqrt((size**2).mean()), rtol=1e-5)
    zero, _, _ = prepare("movement")
    assert not zero.score(group_of(zero, QUERY)).any()
    for option, wanted in (
        ("score_rate=-1", "above 0"),
        ("score_rate=0", "above 0"),
        ("penalty=-1", "0 or above"),
        ("score_rate=nan", "a number"),
        ("penalty=inf", "a number"),
    ):
        with refuses(UserError, option.split("=")[0], wanted):
            prepare("movement", pruning_options=option)
    with refuses(UserError, "--ranking=lamp", "--pruning_method=movement"):
        prepare("movement", pruning_options="variant=soft", ranking="lamp")
    with refuses(UserError, "initial=random", "zero, m"):
        prepare("movement", pruning_options="initial=random")


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_scores_are_compiled_once_for_a_shape(policy):
    method, compiled = "gradient", scores.running_mean
    tf_keras.mixed_precision.set_global_policy(policy)
    try:
        made, model, optimizer = prepare(method, classifier(layers=2))
        before = compiled.jitted.experimental_get_tracing_count()

        @tf.function
        def step():
            with tf.GradientTape() as tape:
                loss = loss_of(model)
            found = tape.gradient(loss, model.trainable_variables)
            optimizer.apply_gradients(zip(found, model.trainable_variables, strict=True))

        step()
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    shapes = {tuple(group.members[0].variable.shape) for group in made.all_groups}
    assert len(made.all_groups) > 2 * len(shapes)
    assert compiled.jitted.experimental_get_tracing_count() - before <= len(shapes)
    assert any(made.score(group).any() for group in made.all_groups)


def test_a_lottery_ticket_is_wound_back_with_optimizer_and_learning_rate():
    made, model, optimizer = prepare("lottery_ticket", steps=6, learning_rate=1e-2)
    first = {transformer_names.name_of(v): v.numpy() for v in model.trainable_variables}
    for step in range(1, 7):
        optimizer.apply_gradients(
            zip(gradients(model, step), model.trainable_variables, strict=True)
        )
        trained = weight(model, QUERY).numpy()
        made.advance(step)
        if step in (2, 4):
            assert int(optimizer.iterations) == 0
            # Three rounds, two prunings: half is left after both, so 1 - sqrt(0.5) after one.
            gone = round({2: 1 - 0.5**0.5, 4: 0.5}[step] * trained.size)
            now = weight(model, QUERY).numpy()
            assert np.count_nonzero(now == 0) == gone
            np.testing.assert_array_equal(now[now != 0], first[QUERY][now != 0])
            assert np.abs(trained[now == 0]).max() <= np.abs(trained[now != 0]).min()
            name = "classifier/bias"
            np.testing.assert_array_equal(weight(model, name).numpy(), first[name])
            for slot in optimizer.variables():
                assert not np.any(slot.numpy()), slot.name
    assert int(optimizer.iterations) == 2
    with refuses(UserError, "rounds=1", "2"):
        prepare("lottery_ticket", pruning_options="rounds=1")


def test_admm_by_hand():
    made, model, _ = prepare("admm", pruning_options="rho=0.5", begin_step=2, end_step=6, steps=10)
    group = group_of(made, QUERY)
    (member,) = group.members
    w = weight(model, QUERY).numpy().astype(np.float64)
    zero = tf.zeros(group.units)
    assert not made.observe(group, member, zero).numpy().any()  # Not before it begins.
    for step in range(1, 4):
        made.advance(step)
    # Step 2: Z is the larger half of W, U is 0; step 3: Z of W + U, U = W + U - Z.
    z = np.where(np.abs(w) > np.median(np.abs(w)), w, 0.0)
    np.testing.assert_allclose(made._z[QUERY].numpy(), z, atol=1e-7)
    np.testing.assert_allclose(made._u[QUERY].numpy(), w - z, atol=1e-7)
    pull = made.observe(group, member, zero).numpy()
    np.testing.assert_allclose(pull, 0.5 * (w - z + (w - z)), atol=1e-6)
    for step in range(4, 7):
        made.advance(step)
    assert not made.observe(group, member, zero).numpy().any()  # Nor after its end.
    assert np.count_nonzero(weight(model, QUERY).numpy() == 0) == w.size // 2


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("structure=random", "structure=random"),
        ("structure=row block=4x4", "block=4x4"),
        ("rho=0", "rho=0"),
    ],
)
def test_admm_refuses(options, named):
    with refuses(UserError, named):
        prepare("admm", pruning_options=options)


def test_a_second_method_prunes_what_the_first_has_left():
    made, model, optimizer = prepare("attention_head,magnitude", steps=20)
    assert [m.name for m in made.methods] == ["attention_head", "magnitude"]
    first, second = (m.plan for m in made.methods)
    assert first.begin_step < first.end_step == second.begin_step < second.end_step
    callback = made.callbacks()[0]
    for step in range(20):
        optimizer.apply_gradients(
            zip(gradients(model, step), model.trainable_variables, strict=True)
        )
        callback.on_train_batch_end(step)
    heads = made.methods[0].mask(made.methods[0].all_groups[0])
    assert heads.sum() == 2
    query = weight(model, QUERY).numpy()  # [16, 4, 4]
    for head in range(4):
        zeros = np.count_nonzero(query[:, head] == 0)
        assert zeros == query[:, head].size if not heads[head] else zeros < query[:, head].size
    # Half of the heads are gone, and half of the weights of the others.
    assert np.count_nonzero(query == 0) == 0.75 * query.size


@pytest.mark.parametrize(
    ("method", "named"),
    [
        ("attention_head,attention_head", "attention_head"),
        ("none,attention_head", "none"),
        ("lottery_ticket,attention_head", "lottery_ticket"),
        ("classifier_magnitude,magnitude", "classifier_magnitude"),
        ("attention_head,heads", "--pruning_method=heads"),
    ],
)
def test_methods_that_contradict(method, named):
    with refuses(UserError, named):
        registry.build(settings(method))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("rounds=3", "'rounds'"),
        ("final_sparsity=1", "final_sparsity=1"),
        ("final_sparsity=half", "final_sparsity=half"),
        ("final_sparsity", "name=value"),
        ("final_sparsity=0.1 final_sparsity=0.2", "final_sparsity"),
    ],
)
def test_options_that_are_none(options, named):
    with refuses(UserError, named):
        registry.build(settings("magnitude", pruning_options=options))


def test_a_methods_own_final_sparsity():
    made = registry.build(
        settings("attention_head,magnitude", pruning_options="magnitude.final_sparsity=0.25")
    )
    context = PruningContext.from_config(settings("attention_head,magnitude"), 20, "waits")
    ready(made, classifier(), context)
    assert [m.plan.final_sparsity for m in made.methods] == [0.5, 0.25]


def test_gradients_are_needed_before_the_first_ranking():
    with refuses(UserError, "--begin_step=0", "--pruning_method=attention_head"):
        prepare("attention_head", begin_step=0)
    # Where all goes at once they are measured then, with fine-tuned weights before the first step.
    config = settings("attention_head", pruning_schedule="one_shot", finetune_epochs=1)
    context = PruningContext.from_config(config, 20, registry.build(config).waits)
    assert (context.begin_step, context.end_step) == (0, 0)
    made, _, _ = prepare("attention_head", pruning_schedule="one_shot", begin_step=0)
    with pytest.raises(ValueError, match="learn_from"):  # A mistake of who wrote the training.
        made.advance(0)


def test_one_shot_prunes_fine_tuned_weights_before_the_first_step():
    config = settings("magnitude", pruning_schedule="one_shot", finetune_epochs=1)
    context = PruningContext.from_config(config, 20)
    assert (context.begin_step, context.end_step) == (0, 0)
    made, model, _ = prepare("magnitude", pruning_schedule="one_shot", finetune_epochs=1)
    made.callbacks()[0].on_train_begin()
    assert np.count_nonzero(weight(model, QUERY).numpy() == 0) == 128
    with refuses(UserError, "--end_step=3", "--pruning_schedule=one_shot"):
        settings("magnitude", pruning_schedule="one_shot", end_step=3)


def test_iterative_pruning_updates_five_times():
    config = settings("magnitude", pruning_schedule="iterative", begin_step=0, end_step=50)
    context = PruningContext.from_config(config, 100)
    assert (context.frequency, context.end_step) == (10, 50)
    made = registry.build(config)
    model = ready(made, classifier(), context)
    found = []
    for step in range(101):
        made.advance(step)
        zeros = np.mean(weight(model, QUERY).numpy() == 0)
        if not found or found[-1] != zeros:
            found.append(zeros)
    # The same share each time, of a matrix of 256 weights.
    assert found == [0, *(round(256 * share) / 256 for share in (0.1, 0.2, 0.3, 0.4, 0.5))]


def test_each_method_of_a_combination_has_its_own_rounds():
    config = settings(
        "attention_head,magnitude", pruning_schedule="iterative", begin_step=10, end_step=110
    )
    context = PruningContext.from_config(config, 120, "waits")
    parts = [context.part(number, 2) for number in range(2)]
    assert [(p.begin_step, p.end_step, p.frequency) for p in parts] == [(10, 60, 10), (60, 110, 10)]


def test_one_head_of_a_layer_is_left_whatever_the_methods_before_have_done():
    made, _, _ = prepare(
        "attention_head,row",
        pruning_options="attention_head.score=magnitude attention_head.final_sparsity=0.75 "
        "row.final_sparsity=0.875",
        pruning_schedule="one_shot",
        begin_step=1,
    )
    head, row = made.methods
    head.update(0.75)
    row.update(0.875)
    (heads,) = head.all_groups
    assert head.mask(heads).sum() == 1
    query = group_of(row, QUERY)
    # Of the four outputs of the head that is left, one is; those of the others are not ranked.
    left = row.mask(query).reshape(4, 4)[head.mask(heads)]
    assert left.sum() == 1


def test_a_neuron_that_gives_nothing_any_more_is_gone_for_the_next_method():
    made, _, _ = prepare(
        "column,neuron",
        pruning_options="score=magnitude",
        pruning_schedule="one_shot",
        begin_step=1,
    )
    column, neuron = made.methods
    column.update(0.5)
    output = group_of(column, "transformer/layer_0/output/kernel")
    gone = ~column.mask(output)
    (group,) = neuron.all_groups
    (alive,) = neuron._alive()
    np.testing.assert_array_equal(alive, ~gone)
    neuron.update(0.5)
    # Half of those that were left, and of these only.
    assert np.count_nonzero(~neuron.mask(group)) == alive.sum() // 2
    assert not (~neuron.mask(group) & gone).any()


def test_weights_of_one_name_are_refused():
    twins = [tf.Variable(np.ones((4, 4), np.float32), name="kernel") for _ in range(2)]
    with refuses(UserError, "kernel"):
        units.in_scope(BertBackbone, twins, "encoder")
    # Where they are left out they do no harm.
    other = tf.Variable(np.ones((4, 4), np.float32), name="table")
    assert list(units.in_scope(BertBackbone, [*twins, other], "encoder", "table")) == ["table"]


def test_an_expression_whose_search_does_not_end_is_refused(monkeypatch):
    monkeypatch.setattr(units, "SEARCH_SECONDS", 1.0)
    names = ("transformer/layer_0/self_attention/query/kernel", "word_embeddings/embeddings")
    weights = [tf.Variable(np.ones((4, 4), np.float32), name=name) for name in names]
    # Each of these takes a power of the name's length.
    for endless in ("(a|.|[a-z])*[!?]", "(?:(?:.?){60}){60}[!?]"):
        with refuses(UserError, f"--pruning_weights={endless}", "2 names"):
            units.in_scope(BertBackbone, weights, "all", endless)
    monkeypatch.undo()
    # What the standard library would search for without an end is answered.
    with refuses(UserError, "--pruning_weights=(.+)+!"):
        units.in_scope(BertBackbone, weights, "all", "(.+)+!")
    # What looks ahead, ends soon and holds what no terminal can show is searched for as ever.
    assert list(units.in_scope(BertBackbone, weights, "all", "^(?!.*query)")) == [names[1]]
    assert list(units.in_scope(BertBackbone, weights, "all", "y/|\0|\udc80|\n")) == [names[0]]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (("lottery_ticket,attention_head",), "lottery_ticket"),
        (
            ("classifier_magnitude", "ranking"),
            "--ranking=lamp",
        ),
        (("layer", "pruning_weights"), "--pruning_weights=query"),
        (("vocabulary", "ranking"), "--ranking=lamp"),
        (("lottery_ticket", "begin_step"), "--begin_step=3"),
    ],
)
def test_what_contradicts_is_told_without_tensorflow(changes, named):
    method, *name = changes
    given = {"ranking": "lamp", "pruning_weights": "query", "begin_step": 3}
    config = settings(method, **{key: given[key] for key in name})
    for refuse in (
        lambda: registry.check(method, "", config.given_pruning),
        lambda: registry.build(config),
    ):
        with refuses(UserError, named):
            refuse()


def test_admm_needs_steps():
    with refuses(UserError, "--pruning_schedule=one_shot", "--pruning_method=admm"):
        prepare("admm", pruning_schedule="one_shot", begin_step=1)
