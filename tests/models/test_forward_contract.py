"""Contract of the forward function: what training and export compute with the same weights.

The reference of training is tf-models-official's `BertEncoderV2`, to the bit; that of export is
training, within the rounding of float32.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
import tiny_bert
from official.nlp.modeling import networks

from bert_glue_tf.models import classifiers
from bert_glue_tf.models.bert import arithmetic_export, forward
from bert_glue_tf.models.bert.architecture import ACTIVATIONS, Block, by_canonical_name
from bert_glue_tf.models.bert.classifier_weights import SavedWeights
from bert_glue_tf.models.bert.export_graph import ExportGraph
from bert_glue_tf.models.bert.layer import BertEncoder
from bert_glue_tf.models.probing import probe

# Of logits of size 1 to 10: another order of summation in float32, and folded factors.
TOLERANCE = 5e-5
CLASSES = 3
UNIFORM = tiny_bert.architecture(layers=3, hidden=16, heads=4)
WIDTHS = dataclasses.replace(
    tiny_bert.architecture(layers=2, hidden=16, heads=4),
    blocks=(Block(4, 4, 4, 32), Block(2, 3, 5, 7)),
)
ARCHITECTURES = {
    **{name: dataclasses.replace(UNIFORM, activation=name) for name in ACTIVATIONS},
    "widths": WIDTHS,
}
# What tf-models-official does not compute, or in other operations.
OTHERS = {
    "no types": tiny_bert.architecture(heads=4, type_vocab_size=0),
    "one type": tiny_bert.architecture(heads=4, type_vocab_size=1),
    "narrow tables": tiny_bert.architecture(heads=4, embedding_size=6),
    "epsilon": tiny_bert.architecture(heads=4, layer_norm_epsilon=0.3),
}
POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")


class Official(BertEncoder):
    """The same variables and dropout, computed by tf-models-official."""

    call = networks.BertEncoderV2.call


def built(kind, architecture, quantize=forward.keep, policy="float32"):
    """An encoder with weights that are not near zero, the same for every kind."""
    tf_keras.utils.set_random_seed(3)
    tf_keras.mixed_precision.set_global_policy(policy)
    try:
        with classifiers.restorable_dropout():
            encoder = kind(architecture, quantize)
            encoder(probe(architecture.vocab_size))
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    drawn = tiny_bert.weights(architecture)
    for name, variable in by_canonical_name(encoder.variables).items():
        variable.assign(drawn[name])
    return encoder


def published(outputs):
    """Those outputs that tf-models-official's encoder has as well."""
    return {name: value for name, value in outputs.items() if name != "attention_inputs"}


def computed(encoder, batch, training=False):
    """Two steps' outputs and gradients, of a compiled function, as arrays."""
    shape = (*batch["input_mask"].shape, UNIFORM.hidden_size)
    toward = tf.constant(np.random.default_rng(1).normal(size=shape), tf.float32)

    @tf.function
    def step(batch):
        with tf.GradientTape() as tape:
            found = published(encoder(batch, training=training))
            sequence, pooled = (
                tf.cast(found[f"{name}_output"], tf.float32) for name in ("sequence", "pooled")
            )
            loss = tf.reduce_sum(sequence * toward) + tf.reduce_sum(pooled * toward[:, 0])
        variables = by_canonical_name(encoder.trainable_variables)
        gradients = dict(zip(variables, tape.gradient(loss, list(variables.values())), strict=True))
        return found, {name: tf.convert_to_tensor(value) for name, value in gradients.items()}

    batch = {name: tf.constant(value) for name, value in batch.items()}
    return [value.numpy() for _ in range(2) for value in tf.nest.flatten(step(batch))]


def equal(left, right):
    return all(
        a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in zip(left, right, strict=True)
    )


def head(architecture):
    random = np.random.default_rng(4)
    size = architecture.hidden_size
    kernel, bias = random.normal(size=(size, CLASSES)), random.normal(size=CLASSES)
    return kernel.astype(np.float32), bias.astype(np.float32)


def exported(architecture, quantize=forward.keep):
    weights = SavedWeights(architecture, tiny_bert.weights(architecture), *head(architecture))
    return ExportGraph(weights, quantize)


def exported_logits(graph, batch):
    function = graph.function(batch["input_mask"].shape[1])
    rows = [
        function(**{name: tf.constant(value[i : i + 1]) for name, value in batch.items()})
        for i in range(len(batch["input_mask"]))
    ]
    return np.concatenate([row["logits"] for row in rows])


def trained_logits(encoder, batch):
    kernel, bias = head(encoder.architecture)
    return encoder(batch, training=False)["pooled_output"].numpy() @ kernel + bias


# Training.


def nodes(encoder, batch):
    """The graph of a step: name, operation, inputs and constant of every node, in order."""

    @tf.function
    def step(batch):
        with tf.GradientTape() as tape:
            found = published(encoder(batch, training=True))
            loss = tf.reduce_sum(tf.cast(found["sequence_output"], tf.float32))
            loss += tf.reduce_sum(tf.cast(found["pooled_output"], tf.float32))
        return found, tape.gradient(loss, encoder.trainable_variables)

    batch = {name: tf.constant(value) for name, value in batch.items()}
    graph = step.get_concrete_function(batch).graph.as_graph_def()
    return [
        (node.name, node.op, [*node.input], node.attr["value"].SerializeToString())
        for node in graph.node
    ]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_graph_of_training_is_tf_models_officials_node_for_node(name, policy):
    """The names as well: in what order TensorFlow adds depends on them."""
    encoder = built(BertEncoder, ARCHITECTURES[name], policy=policy)
    batch = probe(encoder.architecture.vocab_size, batch=3, length=12)
    ours = nodes(encoder, batch)
    encoder.__class__ = Official  # The same layers, whose names count through a process.
    assert ours == nodes(encoder, batch)
    assert len(ours) > 500


@pytest.mark.parametrize("training", [False, True], ids=["inference", "dropout"])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_outputs_and_gradients_are_tf_models_officials_to_the_bit(policy, training):
    batch = probe(WIDTHS.vocab_size, batch=3, length=12)
    encoder = built(BertEncoder, WIDTHS, policy=policy)
    states = [generator.state.numpy() for generator in classifiers.dropout_states(encoder)]
    found = computed(encoder, batch, training)
    half = len(found) // 2  # Dropout draws anew in each step.
    assert equal(found[:half], found[half:]) is not training
    encoder.__class__ = Official
    for generator, state in zip(classifiers.dropout_states(encoder), states, strict=True):
        generator.state.assign(state)
    assert equal(computed(encoder, batch, training), found)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_first_weights_are_tf_models_officials(policy):
    tf_keras.mixed_precision.set_global_policy(policy)
    try:
        found = []
        for kind in (Official, BertEncoder):
            tf_keras.utils.set_random_seed(5)
            encoder = kind(WIDTHS)
            encoder(probe(WIDTHS.vocab_size))
            found.append(encoder.get_weights())
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    assert equal(*found)
    assert len({array.tobytes() for array in found[0] if array.ndim == 3}) > 1


def test_every_weight_has_a_gradient():
    encoder = built(BertEncoder, UNIFORM)
    batch = probe(UNIFORM.vocab_size)
    gradients = computed(encoder, batch)[-len(encoder.trainable_variables) :]
    names = sorted(by_canonical_name(encoder.trainable_variables))
    nothing = [name for name, value in zip(names, gradients, strict=True) if not value.any()]
    assert not nothing


def test_two_texts_in_one_row_are_encoded_as_alone():
    """Packing: a mask by pairs, positions that begin anew, a pooled token for each text."""
    encoder = built(BertEncoder, UNIFORM)
    ids = np.random.default_rng(2).integers(0, UNIFORM.vocab_size, 10).astype(np.int32)
    lengths = (6, 4)
    texts = np.repeat([0, 1], lengths)
    packed = forward.Inputs(
        tf.constant(ids[np.newaxis]),
        tf.constant((texts == 1)[np.newaxis], tf.int32),
        tf.constant((texts[:, np.newaxis] == texts)[np.newaxis]),
        positions=tf.constant([[*range(6), *range(4)]]),
        firsts=tf.constant([[0, 0], [0, 6]]),
    )
    found = encoder.encode(packed).pooled
    for index, (start, length) in enumerate(zip((0, 6), lengths, strict=True)):
        alone = {
            "input_word_ids": ids[np.newaxis, start : start + length],
            "input_mask": np.ones((1, length), np.int32),
            "input_type_ids": np.full((1, length), index, np.int32),
        }
        expected = encoder(alone)["pooled_output"][0]
        np.testing.assert_allclose(found[index], expected, atol=1e-5)


def test_a_layer_is_made_again_from_its_configuration():
    encoder = built(BertEncoder, WIDTHS)
    again = BertEncoder.from_config(encoder.get_config())
    again(probe(WIDTHS.vocab_size))
    assert again.architecture == WIDTHS
    assert [v.name for v in again.variables] == [v.name for v in encoder.variables]


# Training and export.


@pytest.mark.parametrize("name", OTHERS)
def test_others_give_what_numpy_gives(name):
    architecture = OTHERS[name]
    batch = probe(architecture.vocab_size, batch=3, length=12)
    expected = tiny_bert.forward(architecture, tiny_bert.weights(architecture), batch)
    found = built(BertEncoder, architecture)(batch)
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, atol=3e-5)


@pytest.mark.parametrize("name", [*ARCHITECTURES, *OTHERS])
def test_export_gives_the_logits_of_training(name):
    architecture = {**ARCHITECTURES, **OTHERS}[name]
    batch = probe(architecture.vocab_size, batch=3, length=12)  # Two of its rows are padded.
    expected = trained_logits(built(BertEncoder, architecture), batch)
    assert np.ptp(expected) > 0.1  # Otherwise any graph would do.
    found = exported_logits(exported(architecture), batch)
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)


class Recorder:
    """A callback that notes what it is given."""

    def __init__(self):
        self.points = []

    def __call__(self, name, tensor):
        self.points.append(name)
        return tensor


@pytest.mark.parametrize("name", ["gelu", "widths", "no types", "narrow tables"])
def test_both_call_the_callback_at_the_same_points(name):
    architecture = {**ARCHITECTURES, **OTHERS}[name]
    batch = probe(architecture.vocab_size, batch=1)
    trained, graph = Recorder(), Recorder()
    encoder = built(BertEncoder, architecture, trained)
    trained.points.clear()  # Of the first call, in which the variables were made.
    encoder(batch)
    exported_logits(exported(architecture, graph), batch)
    called = list(dict.fromkeys(graph.points))  # TensorFlow traces a function twice.
    classifier = [point for point in called if point.startswith("classifier")]
    assert classifier == [
        "classifier:input",
        "classifier/kernel",
        "classifier/bias",
        "classifier:output",
    ]
    assert called[: -len(classifier)] == trained.points
    assert len(set(trained.points)) == len(trained.points)
    weights = {point for point in trained.points if ":" not in point}
    assert weights == set(architecture.shapes())
    documented = {
        f"{part}:{end}"
        for part, end in itertools.product(
            ("query", "key", "value", "attention_output"), ("input", "output")
        )
    } | {"scores:output", "softmax:output", "context:output"}
    attention = "layer_1/self_attention/"
    of_attention = {p.removeprefix(attention) for p in trained.points if p.startswith(attention)}
    assert of_attention == documented
    of_layer = {
        p.removeprefix("layer_1/")
        for p in trained.points
        if p.startswith("layer_1/") and "self_attention/" not in p
    }
    assert of_layer == {
        f"{part}:{end}"
        for part in ("self_attention_layer_norm", "intermediate", "output", "output_layer_norm")
        for end in ("input", "output")
    }


def test_a_callback_that_changes_nothing_changes_no_bit():
    batch = probe(UNIFORM.vocab_size)
    plain = computed(built(BertEncoder, UNIFORM), batch, training=True)
    watched = computed(built(BertEncoder, UNIFORM, Recorder()), batch, training=True)
    assert equal(watched, plain)
    plain = exported_logits(exported(UNIFORM), batch)
    assert np.array_equal(exported_logits(exported(UNIFORM, Recorder()), batch), plain)


def fake_quantize_weights(name, tensor):
    """Every matrix and table in 4 bits, as a training with quantization in mind would."""
    if not name.endswith(("/kernel", "/embeddings")) or name.startswith("classifier"):
        return tensor
    tensor = tf.convert_to_tensor(tensor)
    most = tf.reduce_max(tf.abs(tensor))
    return tf.quantization.fake_quant_with_min_max_vars(
        tensor, -most, most, num_bits=4, narrow_range=True
    )


@pytest.mark.parametrize("name", ["gelu", "widths"])
def test_weights_that_a_callback_changes_are_changed_in_both(name):
    architecture = ARCHITECTURES[name]
    batch = probe(architecture.vocab_size, batch=3, length=12)
    expected = trained_logits(built(BertEncoder, architecture, fake_quantize_weights), batch)
    assert np.abs(expected - trained_logits(built(BertEncoder, architecture), batch)).max() > 0.1
    found = exported_logits(exported(architecture, fake_quantize_weights), batch)
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)


def test_gradients_flow_through_a_callback():
    encoder = built(BertEncoder, UNIFORM, fake_quantize_weights)
    gradients = computed(encoder, probe(UNIFORM.vocab_size))[-len(encoder.trainable_variables) :]
    assert all(np.isfinite(value).all() and value.any() for value in gradients)


@pytest.mark.parametrize(
    "point",
    [
        "layer_1/self_attention/value:output",
        "layer_1/self_attention/context:output",
        "layer_0/self_attention/attention_output:output",
        "layer_1/output:input",
        "layer_1/output:output",
        "layer_0/output_layer_norm:input",
        "pooler_transform:output",
        "pooler:output",
    ],
)
def test_an_activation_that_a_callback_changes_is_changed_in_both(point):
    """At points where both compute the same tensor; see `forward`."""

    def change(name, tensor):
        return tf.math.round(tensor * 4) / 4 + 0.1 if name == point else tensor

    batch = probe(UNIFORM.vocab_size, batch=3, length=12)
    plain = trained_logits(built(BertEncoder, UNIFORM), batch)
    found = trained_logits(built(BertEncoder, UNIFORM, change), batch)
    assert np.abs(found - plain).max() > 1e-3
    # What is rounded may fall to the other side of a step in a few places.
    graph = exported_logits(exported(UNIFORM, change), batch)
    assert np.median(np.abs(graph - found)) < TOLERANCE


def test_masked_tokens_weigh_nothing_in_both():
    batch = probe(UNIFORM.vocab_size, batch=3, length=12)
    hidden = batch["input_mask"] == 0
    assert hidden.any()
    other = {**batch, "input_word_ids": np.where(hidden, 7, batch["input_word_ids"])}
    encoder, graph = built(BertEncoder, UNIFORM), exported(UNIFORM)
    assert np.array_equal(trained_logits(encoder, other), trained_logits(encoder, batch))
    assert np.array_equal(exported_logits(graph, other), exported_logits(graph, batch))


@pytest.mark.parametrize("larger", [1.0, 1.5])
def test_padding_weighs_nothing_at_length_512_where_scores_are_large(larger):
    """Scores as of a fine-tuned encoder and larger, of which a mask of -30 lets some through."""
    batch = probe(UNIFORM.vocab_size, batch=2, length=12)
    long = {name: np.pad(value, ((0, 0), (0, 500))) for name, value in batch.items()}
    long["input_word_ids"][:, 12:] = 60  # Any other word than the published padding.
    drawn = tiny_bert.weights(UNIFORM)
    for name, value in drawn.items():
        if "self_attention/query" in name:
            value *= 8 * larger
    encoder = built(BertEncoder, UNIFORM)
    for name, variable in by_canonical_name(encoder.variables).items():
        variable.assign(drawn[name])
    graph = ExportGraph(SavedWeights(UNIFORM, drawn, *head(UNIFORM)))
    expected, found = trained_logits(encoder, batch), exported_logits(graph, long)
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())
    short = ExportGraph(SavedWeights(UNIFORM, drawn, *head(UNIFORM)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arithmetic_export, "MASKED", -30.0)
        leaking = np.abs(exported_logits(short, long) - expected).max()
    assert leaking > 10 * np.abs(found - expected).max()  # Which the test would see.
