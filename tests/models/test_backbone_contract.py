"""Contract suite: the backbones of all families."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import subprocess
import sys
import tomllib

import numpy as np
import pytest
import tensorflow as tf
import tiny_bert
import tiny_cnn
import tiny_small
from messages import refuses
from slow_fixtures import slow_to_make

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.data.layouts import Padded
from bert_glue_tf.models import (
    classifiers,
    encoders,
    families,
    heads,
    imported,
    loading,
    saved_encoders,
    saving,
)
from bert_glue_tf.models.backbone import Backbone
from bert_glue_tf.models.parts import CAPABILITIES, Attention, States
from bert_glue_tf.models.probing import probe
from bert_glue_tf.models.saved_encoders import TakesOver

CLASSES = 3
# Family -> what writes a tiny encoder that it can hold into a folder: of the sizes of
# `tiny_bert.architecture`, over its vocabulary, as a pair of SavedModels.
WRITERS = {
    "bert": tiny_bert.write_pair,
    "saved_model": tiny_bert.write_pair,
    "text_cnn": tiny_cnn.write_pair,
}
# Families that begin a network from a name -> the backbone of a tiny one.
BEGUN = {"small": tiny_small.backbone}
# Filters and channels of the tiny encoders that have some, and whether the first two groups of
# filters stand side by side for what reads them.
FILTERS = {"text_cnn": ([4, 8, 16], [4, 8], True), "small": ([6, 16, 120, 84], [6, 16, 120], False)}
# The part whose weights are pruned away in the tests of what is cut out.
FIRST_PART = {"small": "c1"}


@pytest.fixture(scope="module", params=families.names())
def family(request):
    return request.param


@pytest.fixture(scope="module")
def task(family):
    return tiny_small.task() if family in BEGUN else tasks.get("mnli")


@pytest.fixture(scope="module")
def pair(family, tmp_path_factory):
    if family in BEGUN:
        return None
    return WRITERS[family](tmp_path_factory.mktemp("pair"), seed=3)


@pytest.fixture(scope="module")
def backbone(family, pair) -> Backbone:
    if family in BEGUN:
        return BEGUN[family]()
    return loading.load(encoders.resolve(str(pair)), family=family, seq_length=16)


@pytest.fixture(scope="module")
def model(backbone, task):
    """A classifier on the encoder, with a head whose logits are not near zero."""
    made = classifiers.build_classifier(backbone.layer, task, dropout=0.1, seed=1)
    random = np.random.default_rng(2)
    head = made.get_layer(heads.CLASSIFIER)
    head.set_weights([random.normal(size=weight.shape) for weight in head.get_weights()])
    return made


@pytest.fixture(scope="module")
@slow_to_make
def saved(backbone, model, task, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "model"
    saving.save(model, backbone, task, folder, saving.Reading(16, "tail"))
    return folder


@pytest.fixture(scope="module")
def batch(family):
    if family in BEGUN:
        return tiny_small.batch()
    return probe(len(tiny_bert.VOCABULARY), batch=3, length=12)


def logits(model, batch):
    layout = Padded() if "input_mask" in batch else tiny_small.layout()
    return classifiers.predict_fn(model, layout)(batch)


def outputs(backbone, batch):
    found = backbone.layer(batch)
    return {key: np.asarray(found[key]) for key in ("pooled_output", "sequence_output")}


def assert_same(left, right, atol=0.0):
    for key, value in left.items():
        np.testing.assert_allclose(right[key], value, atol=atol, err_msg=key)


@contextlib.contextmanager
def refused_without(backbone, capability):
    """Expects the operation inside to be refused where the encoder lacks the capability."""
    if not backbone.why_not(capability):
        yield
        return
    with refuses(NotImplementedError, backbone.why_not(capability)):
        yield


# --- the families ---


def test_every_family_is_tested_and_is_found_by_its_folder():
    assert {*WRITERS, *BEGUN} == set(families.names())
    assert set(BEGUN) == {name for name in families.names() if families.get(name).begins}
    for name in families.names():
        assert families.get(name).family == name
        assert issubclass(families.get(name), Backbone)
    with refuses(UserError, "'lstm'", "bert, saved_model"):
        families.get("lstm")


def test_lint_keeps_every_family_to_itself():
    path = pathlib.Path(__file__).parents[2] / "pyproject.toml"
    contracts = tomllib.loads(path.read_text())["tool"]["importlinter"]["contracts"]
    protected = {
        module: contract["allowed_importers"]
        for contract in contracts
        if contract["type"] == "protected"
        for module in contract["protected_modules"]
    }
    assert protected == {f"bert_glue_tf.models.{name}": [] for name in families.names()}


def test_families_are_named_without_tensorflow():
    code = (
        "import pathlib, sys\n"
        "from bert_glue_tf.models import families\n"
        "print(*[families.get(name).family for name in families.names()])\n"
        "for family in map(families.get, families.names()):\n"
        "    family.region_of([family.part_of('tower/layer_3/dense/kernel')])\n"
        "families.taking_over(), families.importing('huggingface', pathlib.Path('none'))\n"
        "assert not {'tensorflow', 'tensorflow_hub', 'tf_keras'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == list(families.names())


# --- where it comes from ---


def test_each_folder_is_imported_by_the_family_that_reads_it(tmp_path, monkeypatch):
    class Recurrent(families.get("bert")):
        family = "recurrent"
        imports = ("huggingface",)

        @classmethod
        def reads(cls, kind, folder):
            return kind in cls.imports and imported.model_type(folder) == "lstm"

    shapes = tiny_bert.architecture(positions=64)
    folder = tiny_bert.write_huggingface(tmp_path / "hf", shapes)
    bert, get, names = families.get("bert"), families.get, families.names()
    monkeypatch.setattr(families, "names", lambda: (*names, "recurrent"))
    monkeypatch.setattr(
        families, "get", lambda name: Recurrent if name == "recurrent" else get(name)
    )
    assert families.importing("huggingface", folder) is bert
    assert families.importing("embedded", folder) is bert
    assert families.importing("saved_models", folder) is None
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "lstm"}))
    assert families.importing("huggingface", folder) is Recurrent
    # What no family reads is refused by one that imports the kind.
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "roberta"}))
    with refuses(UserError, "model_type is 'roberta'"):
        families.importing("huggingface", folder).check_weights("huggingface", folder)
    (folder / "config.json").write_text("{")
    assert families.importing("huggingface", folder) is bert


def test_one_family_takes_over_what_no_other_holds():
    *own, last = families.taking_over()
    assert last.takes_over_from is TakesOver.ANY
    assert {family.takes_over_from for family in own} == {TakesOver.ITS_OWN}


def test_foreign_weights_are_judged_and_imported_by_their_family(tmp_path, monkeypatch):
    monkeypatch.setenv("BERT_GLUE_TF_CACHE", str(tmp_path / "cache"))
    folder = tiny_bert.write_huggingface(tmp_path / "hf", tiny_bert.architecture(positions=64))
    family = families.importing("huggingface", folder)
    assert family.check_weights("huggingface", folder) == 64
    pair = family.import_weights("tiny", "huggingface", folder, "MIT")
    assert (pair / "encoder" / "saved_model.pb").is_file()
    assert (pair / "preprocessing" / "saved_model.pb").is_file()
    record = imported.read_record(pair)
    assert (record["kind"], record["licence"]) == ("huggingface", "MIT")
    assert family.import_weights("tiny", "huggingface", folder, "MIT") == pair


def test_it_reads_from_a_saved_models_variables_what_they_tell(backbone):
    rows, positions = backbone.saved_sizes(backbone.layer.variables)
    assert rows in (0, len(tiny_bert.VOCABULARY))
    assert positions in (0, backbone.positions)
    assert backbone.saved_sizes([]) == (0, 0)


def test_what_another_holds_keeps_its_answers(backbone, pair, batch):
    """Each family that takes a SavedModel over answers as the SavedModel does."""
    if backbone.takes_over_from is TakesOver.NONE:
        pytest.skip("the family holds no SavedModel")
    saved = saved_encoders.load_layer(str(pair / "encoder"))
    assert_same(outputs(backbone, batch), saved(batch), atol=1e-5)


def test_what_was_proved_once_is_built_again_of_its_variables_alone(backbone, pair, batch):
    """A family that says what it takes to build it is not loaded with its graphs again."""
    if backbone.begins:
        pytest.skip("the family holds no SavedModel")
    encoder = backbone.describe()["encoder"]
    proved = saved_encoders.ProvedEncoder(
        encoder=json.loads(json.dumps(encoder)),
        variables=saved_encoders.SavedVariables(str(pair / "encoder")),
        preprocessing=backbone.preprocessing,
        preprocessing_path=backbone.preprocessing_path,
        provenance=backbone.provenance,
    )
    if encoder is None:  # Only the SavedModel knows how to compute.
        with pytest.raises(NotImplementedError):
            type(backbone).take_again(proved)
        return
    again = type(backbone).take_again(proved)
    assert again.describe() == backbone.describe()
    assert again.record() == backbone.record()
    assert_same(dict(backbone.weights()), dict(again.weights()))
    assert_same(outputs(backbone, batch), outputs(again, batch))


# --- what it is ---


def test_it_is_a_value(backbone):
    with pytest.raises(dataclasses.FrozenInstanceError):
        backbone.layer = None
    told = backbone.with_provenance(name="other")
    assert told.provenance == {**backbone.provenance, "name": "other"} != backbone.provenance


def test_it_knows_its_positions(backbone):
    expected = 1 if backbone.begins else tiny_bert.architecture().positions
    assert backbone.positions == expected


def test_its_saved_model_answers_examples_as_their_features(backbone, saved, task):
    columns = ["the cat sat", "a " * 20], ["a b c", "x"]
    names = saving.TEXTS
    if backbone.begins:
        columns = (tiny_small.batch(2)["values"],)
        names = task.modality.inputs
    reader = backbone.tokenizer(task, 16, "tail")
    encoded = task.modality.encode(reader, columns)
    logits = saving.load_predict_fn(saved)(encoded.batch([0, 1], 16))
    served = saving.load_saved(saved).signatures["serving_default"]
    found = served(**dict(zip(names, map(tf.constant, columns), strict=True)))
    wanted = task.problem.answers(logits)
    assert [label.decode() for label in found["label"].numpy()] == [one.label for one in wanted]
    expected = [list(one.probabilities.values()) for one in wanted]
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-5)


def test_it_describes_itself_in_json_and_names_its_family(backbone, model, saved):
    told = backbone.describe()
    assert told["family"] == backbone.family
    assert json.loads(json.dumps(told)) == json.loads(json.dumps(backbone.describe(model)))
    assert saving.family_of(saved) is type(backbone)
    written = saving.read_description(saved)
    assert {name: written[name] for name in told} == json.loads(json.dumps(told))
    record = json.loads(json.dumps(backbone.record()))
    assert record["family"] == backbone.family
    assert record["parameters"] == sum(value.size for _, value in backbone.weights())


def test_it_counts_the_units_of_its_layers(backbone, model):
    layers = backbone.widths()
    assert layers == backbone.widths(model)
    if backbone.why_not("head"):
        assert layers == []
    else:
        size = tiny_bert.architecture()
        assert layers == [{"heads": size.heads, "neurons": size.inner_dim}] * size.layers


def test_its_tokenizer_gives_its_inputs(backbone, task):
    read, columns = tasks.get("sst2"), (["the film was good", "no"],)
    if backbone.begins:
        read, columns = task, tiny_small.examples(2).columns
    encoded = read.modality.encode(backbone.tokenizer(read, 8), columns)
    assert len(encoded) == 2
    assert set(encoded.batch([0, 1], 8)) == set(backbone.inputs) == set(read.modality.inputs)
    assert backbone.modality == read.modality.name


def test_its_preprocessing_is_written_and_read_again(backbone, task, tmp_path):
    backbone.write_preprocessing(tmp_path / "read")
    loaded = task.modality.load(str(tmp_path / "read"), "the folder")
    columns = ["the cat"], ["a b c"]
    if backbone.begins:
        columns = tiny_small.examples(1).columns
    mine, theirs = (
        task.modality.encode(task.modality.reader(one, task, 16, "head"), columns).batch([0], 16)
        for one in (backbone.preprocessing, loaded)
    )
    assert_same(mine, theirs)


def test_only_what_begins_from_nothing_is_fitted_to_examples(backbone):
    if not backbone.begins:
        assert backbone.fitted(None) is backbone
        return
    read = tiny_small.examples(50, seed=7)
    fitted = dict(backbone.fitted(read).weights())
    np.testing.assert_allclose(fitted["inputs/mean"], [read.values.mean()], rtol=1e-5)
    np.testing.assert_allclose(fitted["inputs/deviation"], [read.values.std()], rtol=1e-5)


# --- building it, and its weights ---


def test_built_anew_it_gives_the_same_outputs(backbone, batch):
    anew = backbone.build()
    assert type(anew) is type(backbone)
    assert_same(outputs(backbone, batch), outputs(anew, batch))
    assert not {id(v) for v in anew.layer.variables} & {id(v) for v in backbone.layer.variables}
    anew.layer.variables[0].assign_add(np.ones(anew.layer.variables[0].shape, np.float32))
    assert outputs(backbone, batch)["pooled_output"].any()


def test_its_dropout_can_be_set_or_it_says_why_not(backbone):
    if backbone.why_not("dropout"):
        with refuses(UserError, "--encoder_dropout=0.5", "dropout"):
            backbone.build(dropout=0.5)
    else:
        told = backbone.build(dropout=0.5).describe()["encoder"]
        rates = [np.ravel(value) for name, value in told.items() if "dropout" in name]
        assert set(np.concatenate(rates).tolist()) == {0.5}


def test_weights_go_there_and_back(backbone, batch):
    named = list(backbone.weights())
    halved = backbone.with_weights([value / 2 for _, value in named])
    for (name, value), (other, half) in zip(named, halved.weights(), strict=True):
        assert name == other
        np.testing.assert_array_equal(half, value / 2)
    # The one it was made of is as it was, and what is built anew has the same weights.
    assert_same(dict(named), dict(backbone.weights()))
    assert_same(outputs(halved, batch), outputs(halved.build(), batch))
    assert_same(
        outputs(backbone, batch), outputs(halved.with_weights([v for _, v in named]), batch)
    )


def test_it_starts_from_a_saved_classifier(backbone, model, saved, batch, task):
    zeros = backbone.with_weights([np.zeros_like(value) for _, value in backbone.weights()])
    started, (kernel, bias) = zeros.start_from(saved, CLASSES)
    again = classifiers.build_classifier(started.build().layer, task, dropout=0.0, seed=5)
    again.get_layer(heads.CLASSIFIER).set_weights([kernel, bias])
    np.testing.assert_allclose(logits(again, batch), logits(model, batch), atol=1e-6)


def test_it_does_not_start_from_other_weights(backbone, saved, tmp_path):
    with refuses(UserError, saved, "variables"):
        backbone.start_from(saved, CLASSES + 1)
    with refuses(UserError, tmp_path, "no model"):
        backbone.start_from(tmp_path, CLASSES)


def test_in_float32_it_is_the_same_classifier(backbone, model, batch):
    np.testing.assert_allclose(
        logits(backbone.in_float32(model), batch), logits(model, batch), atol=1e-6
    )


# --- pruning ---


def test_every_trainable_matrix_has_a_scope_and_every_vector_none(backbone, model):
    variables = backbone.prunable(model)
    scopes = backbone.scopes(variables)
    assert len(scopes) == len(variables)
    for variable in variables:
        name = backbone.name_of(variable)
        is_matrix = name.rsplit("/", 1)[-1] in ("kernel", "embeddings")
        assert bool(scopes[name]) is is_matrix, name
    assert len(set(scopes.values()) - {""}) == (2 if backbone.begins else 3)
    encoders_own = backbone.scopes(backbone.layer.variables)
    assert {name for name, _ in backbone.weights()} == set(encoders_own)
    assert all(scopes.get(name, "") == scope for name, scope in encoders_own.items())


def test_a_kernel_is_a_matrix_of_as_many_weights(backbone, model):
    for variable in backbone.prunable(model):
        name = backbone.name_of(variable)
        if name.endswith("kernel"):
            height, width = backbone.matrix_shape(name, tuple(variable.shape))
            assert height * width == np.prod(variable.shape)


def test_every_weight_is_of_a_part_and_parts_have_an_order(backbone, model):
    scopes = backbone.scopes(backbone.prunable(model))
    names = [name for name, scope in scopes.items() if scope]
    parts = {backbone.part_of(name) for name in names}
    assert all(part and "\n" not in part for part in parts)
    order = sorted(parts, key=backbone.place_of)
    assert order == sorted(reversed(order), key=backbone.place_of), "no two parts share a place"
    for name in names:
        assert backbone.region_of([name])
    # A name that says nothing is a part of its own.
    assert backbone.region_of(["b/kernel", "a/kernel"]) == "a/kernel, b/kernel"


@pytest.mark.parametrize("kind", ["filter", "channel"])
def test_filters_and_channels_are_numbered_by_what_makes_them(backbone, model, kind):
    variables = backbone.prunable(model)
    names = [backbone.name_of(variable) for variable in variables]
    groups = backbone.units(kind, names, variables)
    if backbone.why_not("filter"):
        assert groups == []
        return
    *counts, beside = FILTERS[backbone.family]
    assert [group.count for group in groups] == counts[kind == "channel"]
    starts = (0, 4, None) if beside else (0, 0, 0, None)
    for group, start in zip(groups, starts, strict=False):
        assert group.members[-1].name.endswith(backbone.output_of(kind))
        assert [reader.start for reader in group.readers] == ([] if start is None else [start])
    assert backbone.units(kind, [], variables) == []


@pytest.mark.parametrize("kind", ["head", "neuron"])
def test_units_run_through_the_weights_of_each_layer(backbone, model, kind):
    variables = model.trainable_variables
    names = [backbone.name_of(variable) for variable in variables]
    groups = backbone.units(kind, names, variables)
    if backbone.why_not(kind):
        assert groups == []
        return
    shapes = tiny_bert.architecture()
    assert len(groups) == shapes.layers
    for group in groups:
        assert group.count == {"head": shapes.heads, "neuron": shapes.inner_dim}[kind]
        assert group.members[-1].name.endswith(backbone.output_of(kind))
        assert {member.name for member in group.members} <= set(names)
    assert backbone.units(kind, [], variables) == []


# --- what not every family can ---


def test_the_states_of_its_layers_are_read_beside_the_logits(backbone, model, saved, batch):
    states = States(2, 16, (Attention(2, (16, 16, 16)),) * 2)
    with refused_without(backbone, "states"):
        assert backbone.states == states
    if backbone.why_not("states"):
        with refuses(UserError, saved):
            type(backbone).saved_states(saved)
        return
    assert type(backbone).saved_states(saved) == states
    select = {"states": lambda outputs: outputs["encoder_outputs"]}
    found = heads.with_inside(model, batch, select)(batch)
    np.testing.assert_allclose(found["logits"], model(batch), atol=1e-6)
    assert [one.shape for one in found["states"]] == [(3, 12, 16)] * 2
    shapes = tiny_bert.architecture()
    drawn = tiny_bert.weights(shapes, seed=3)
    for layer in (1, 2):
        cut = dataclasses.replace(shapes, layers=layer)
        expected = tiny_bert.forward(cut, drawn, batch)["sequence_output"]
        np.testing.assert_allclose(found["states"][layer - 1], expected, atol=1e-5)


def test_the_queries_keys_and_values_of_its_layers_are_read_beside_the_logits(
    backbone, model, batch
):
    """Of the first layer's output: that layer without its attention, in NumPy."""
    if backbone.why_not("states"):
        return
    select = {"inside": lambda outputs: [outputs["encoder_outputs"], outputs["attention_inputs"]]}
    states, inside = heads.with_inside(model, batch, select)(batch)["inside"]
    drawn = tiny_bert.weights(tiny_bert.architecture(), seed=3)
    for part, found in zip(("query", "key", "value"), inside[1], strict=True):
        kernel, bias = (
            drawn[f"transformer/layer_1/self_attention/{part}/{leaf}"]
            for leaf in ("kernel", "bias")
        )
        expected = np.einsum("abc,cde->abde", states[0], kernel.reshape(16, 2, 8))
        np.testing.assert_allclose(found, expected + bias.reshape(2, 8), atol=1e-5)


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_what_it_cannot_do_it_says_why_in_one_clause(backbone, capability):
    reason = backbone.why_not(capability)
    assert not reason.endswith(".")
    assert "\n" not in reason
    if reason:
        assert backbone.provenance["name"] in reason
        with refuses(UserError, f"--flag=7: {reason}. Leave it out."):
            backbone.require(capability, "--flag=7", "Leave it out.")
    else:
        backbone.require(capability, "--flag=7", "Leave it out.")


def test_an_unknown_capability_is_a_defect_of_ours(backbone):
    with refuses(ValueError, "flying", "head, "):
        backbone.why_not("flying")


def test_layers_are_dropped(backbone, batch):
    with refused_without(backbone, "layer"):
        whole = backbone.layers
        one = backbone.drop_layers([1])
        assert (whole.count, one.layers.count) == (2, 1)
        assert one.layers.parameters * 2 == whole.parameters
        names = {name for name, _ in one.weights() if name.startswith(whole.pattern)}
        assert sum(v.size for n, v in one.weights() if n in names) == one.layers.parameters
        assert one.describe()["encoder"]["layers"] == 1
        assert outputs(one, batch)["pooled_output"].shape == (3, 16)
        assert backbone.layers == whole


def test_pieces_are_kept(backbone, pair, batch):
    with refused_without(backbone, "vocabulary"):
        table = backbone.table
        assert (table.rows, table.width) == (len(tiny_bert.VOCABULARY), 16)
        order = np.arange(table.rows)[::-1]
        turned = backbone.keep_pieces(order, pair / "preprocessing")
        assert turned.preprocessing_path == str(pair / "preprocessing")
        ids = {**batch, "input_word_ids": table.rows - 1 - batch["input_word_ids"]}
        assert_same(outputs(backbone, batch), outputs(turned, ids))
        assert backbone.keep_pieces(order[:50], pair / "preprocessing").table.rows == 50


def test_it_is_shrunk_without_changing_its_function(backbone, batch, task):
    part_of, first = backbone.part_of, FIRST_PART.get(backbone.family, "layer 1")
    with refused_without(backbone, "shrink"):
        values = [
            np.zeros_like(value) if part_of(name) == first and value.ndim > 1 else value
            for name, value in backbone.weights()
        ]
        masked = backbone.with_weights(values)
        model = classifiers.build_classifier(masked.layer, task, dropout=0.1, seed=1)
        smaller, report = masked.shrink(model)
        assert report.lines()
        assert smaller.count_params() < model.count_params()
        np.testing.assert_allclose(logits(smaller, batch), logits(model, batch), atol=1e-5)
        assert masked.describe(smaller) != masked.describe(model)


# --- a saved classifier ---


def test_its_graph_gives_the_models_logits(saved, model, batch):
    graph = saving.graph(saved)
    function = graph.function(12)
    for row, expected in enumerate(logits(model, batch)):
        one = {name: value[row : row + 1] for name, value in batch.items()}
        np.testing.assert_allclose(function(**one)["logits"][0], expected, atol=1e-5)
    np.testing.assert_allclose(
        saving.load_predict_fn(saved)(batch), logits(model, batch), atol=1e-6
    )


def test_it_is_loaded_to_be_trained_or_says_why_not(backbone, saved, model, batch):
    if backbone.describe()["encoder"] is None:
        with refuses(UserError, saved, "SavedModel"):
            saving.load_classifier(saved)
        return
    again = saving.load_classifier(saved, dropout=0.3)
    np.testing.assert_allclose(logits(again, batch), logits(model, batch), atol=1e-6)
    assert again.get_layer(heads.DROPOUT).rate == 0.3


def test_a_folder_that_names_no_family_is_refused(saved, tmp_path):
    for text, named in (('{"family": "lstm"}', "'lstm'"), ("{}", "family")):
        (tmp_path / "architecture.json").write_text(text)
        with refuses(UserError, tmp_path, named):
            saving.graph(tmp_path)
