"""Tiny BERT encoders for the tests, in every form in which a user may bring one.

The weights are drawn by NumPy, wide enough that the activation function shows in the
outputs, and `forward` computes the encoder in NumPy alone: the tests' own reference.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil
import string
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import erf

from bert_glue_tf.models.bert.architecture import Architecture
from bert_glue_tf.models.bert.backbone import BertBackbone
from bert_glue_tf.models.bert.network import build_encoder, build_network
from bert_glue_tf.models.saved_model.backbone import SavedModelBackbone
from bert_glue_tf.models.transformer_names import canonical_name

WORDS = (
    "the a an and or not no is are was were be been it he she they we you i of in on at to "
    "for from with by as that this these those who what which how when will would can could "
    "did do does has have had book film movie story man woman boy girl cat dog good bad very "
    "well great mary john read saw said sold gave went came if but so than more all some any "
    "her him his them"
).split()
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
VOCABULARY = (
    *SPECIAL_TOKENS,
    *string.punctuation,
    *string.digits,
    *string.ascii_lowercase,
    *(f"##{c}" for c in string.digits + string.ascii_lowercase),
    *(word for word in WORDS if len(word) > 1),
    *("##ed", "##ing", "##er", "##ly"),
)


def architecture(
    layers: int = 2,
    hidden: int = 16,
    heads: int = 2,
    activation: str = "gelu",
    positions: int = 512,
    **more: Any,
) -> Architecture:
    """The shapes of a tiny BERT over `VOCABULARY`."""
    return Architecture(
        vocab_size=len(VOCABULARY),
        hidden_size=hidden,
        layers=layers,
        heads=heads,
        inner_dim=2 * hidden,
        positions=positions,
        activation=activation,
        **{"type_vocab_size": 2} | more,
    )


def weights(shapes: Architecture, seed: int = 0) -> dict[str, np.ndarray]:
    """Random float32 weights, canonical name -> array."""
    random = np.random.default_rng(seed)
    drawn = {}
    for name, shape in shapes.shapes().items():
        scale = 1.5 / np.sqrt(shapes.hidden_size) if name.endswith("kernel") else 0.3
        value = random.normal(0.0, scale, shape)
        drawn[name] = (value + name.endswith("gamma")).astype(np.float32)
    return drawn


def forward(
    shapes: Architecture, drawn: dict[str, np.ndarray], batch: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """BERT in NumPy, float64, without dropout (Devlin et al. 2018, arXiv:1810.04805)."""
    w = {name: value.astype(np.float64) for name, value in drawn.items()}

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        deviation = np.sqrt((centred**2).mean(-1, keepdims=True) + shapes.layer_norm_epsilon)
        return centred / deviation * w[f"{name}/gamma"] + w[f"{name}/beta"]

    activations = {
        "tanh": np.tanh,
        "gelu": lambda x: x * 0.5 * (1 + erf(x / np.sqrt(2))),
        "gelu_tanh": lambda x: x * 0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
        "relu": lambda x: np.maximum(x, 0),
    }
    activation = activations[shapes.activation]
    length = batch["input_word_ids"].shape[1]
    x = w["word_embeddings/embeddings"][batch["input_word_ids"]]
    x = x + w["position_embedding/embeddings"][:length]
    if shapes.type_vocab_size:
        last = shapes.type_vocab_size - 1  # Where there is one type, all tokens are of it.
        x = x + w["type_embeddings/embeddings"][np.minimum(batch["input_type_ids"], last)]
    x = norm(x, "embeddings/layer_norm")
    if shapes.embedding_size:
        x = x @ w["embedding_projection/kernel"] + w["embedding_projection/bias"]
    hidden_keys = np.where(batch["input_mask"], 0.0, -1e9)[:, None, None, :]
    for i in range(shapes.layers):
        at = f"transformer/layer_{i}"
        query, key, value = (
            np.einsum("bsh,hnd->bnsd", x, w[f"{at}/self_attention/{part}/kernel"])
            + w[f"{at}/self_attention/{part}/bias"][:, None]
            for part in ("query", "key", "value")
        )
        scores = query @ key.swapaxes(-1, -2) / np.sqrt(query.shape[-1]) + hidden_keys
        attention = np.exp(scores - scores.max(-1, keepdims=True))
        attention /= attention.sum(-1, keepdims=True)
        out = np.einsum(
            "bnsd,ndh->bsh", attention @ value, w[f"{at}/self_attention/attention_output/kernel"]
        )
        x = norm(
            x + out + w[f"{at}/self_attention/attention_output/bias"],
            f"{at}/self_attention_layer_norm",
        )
        inner = activation(x @ w[f"{at}/intermediate/kernel"] + w[f"{at}/intermediate/bias"])
        x = norm(
            x + inner @ w[f"{at}/output/kernel"] + w[f"{at}/output/bias"],
            f"{at}/output_layer_norm",
        )
    pooled = x[:, 0] @ w["pooler_transform/kernel"] + w["pooler_transform/bias"]
    pooled = activations[shapes.pooler_activation](pooled)
    return {"sequence_output": x, "pooled_output": pooled}


def write_vocabulary(path: Path) -> Path:
    """Writes vocab.txt, one piece a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    return path


def write_preprocessing(folder: Path) -> Path:
    """Writes the preprocessing over `VOCABULARY`."""
    return Path(shutil.copytree(_written_preprocessing(), folder))


def write_pair(
    folder: Path,
    *,
    layers: int = 2,
    hidden: int = 16,
    heads: int = 2,
    seed: int = 0,
    activation: str = "gelu",
    positions: int = 512,
) -> Path:
    """Writes a pair of TF-Hub SavedModels.

    Returns:
        `folder`, with `encoder/` and `preprocessing/`.
    """
    written = _written(architecture(layers, hidden, heads, activation, positions), seed)
    shutil.copytree(written, folder, dirs_exist_ok=True)
    shutil.copytree(_written_preprocessing(), Path(folder) / "preprocessing")
    return write_vocabulary(Path(folder) / "vocab.txt").parent


@functools.cache
def _kept() -> tempfile.TemporaryDirectory:
    """Return a folder that lasts as long as the process: writing a pair takes seconds."""
    return tempfile.TemporaryDirectory()


@functools.cache
def _written(shapes: Architecture, seed: int) -> Path:
    """Return a folder with the encoder of these shapes in `encoder/`, which is written once."""
    from bert_glue_tf.models.bert import importing

    folder = Path(tempfile.mkdtemp(dir=_kept().name))
    encoder = build_encoder(shapes, weights(shapes, seed).__getitem__)
    importing.write_encoder(encoder, folder / "encoder")
    return folder


@functools.cache
def _written_preprocessing() -> Path:
    """Return the folder of the preprocessing over `VOCABULARY`, which is written once."""
    from bert_glue_tf.data import wordpiece

    folder = Path(tempfile.mkdtemp(dir=_kept().name))
    vocabulary = write_vocabulary(folder / "vocab.txt")
    wordpiece.write_preprocessing(vocabulary, folder / "preprocessing", lower_case=True)
    return folder / "preprocessing"


def backbone(layer, shapes: Architecture, preprocessing_path: str | Path = "") -> BertBackbone:
    """Return a backbone of a layer with these shapes; its preprocessing is not loaded."""
    return BertBackbone(
        layer=layer,
        preprocessing=None,
        preprocessing_path=str(preprocessing_path),
        provenance={"name": "tiny"},
        architecture=shapes,
    )


def saved_model_backbone(
    layer=None, preprocessing_path: str | Path = "", path: str | Path = "", reason: str = "a test"
) -> SavedModelBackbone:
    """Return a backbone that only its SavedModel knows how to compute."""
    return SavedModelBackbone(
        layer=layer,
        preprocessing=None,
        preprocessing_path=str(preprocessing_path),
        provenance={"name": "tiny"},
        path=str(path),
        reason=reason,
        longest=512,
    )


def google_names(drawn: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The names and shapes of Google's TensorFlow 1 checkpoints."""
    parts = {
        "word_embeddings/embeddings": "embeddings/word_embeddings",
        "type_embeddings/embeddings": "embeddings/token_type_embeddings",
        "position_embedding/embeddings": "embeddings/position_embeddings",
        "embeddings/layer_norm/": "embeddings/LayerNorm/",
        "pooler_transform/": "pooler/dense/",
        "transformer/": "encoder/",
        "self_attention/attention_output/": "attention/output/dense/",
        "self_attention_layer_norm/": "attention/output/LayerNorm/",
        "self_attention/": "attention/self/",
        "/intermediate/": "/intermediate/dense/",
        "output_layer_norm/": "output/LayerNorm/",
    }
    named = {}
    for name, value in drawn.items():
        new = name
        for ours, theirs in parts.items():
            new = new.replace(ours, theirs)
        if new.split("/")[-2] == "output":
            new = new.replace("/output/", "/output/dense/")
        if "attention/output/dense/kernel" in new:
            value = value.reshape(-1, value.shape[-1])
        elif "attention/self/" in new:
            value = value.reshape((len(value), -1) if value.ndim == 3 else -1)
        named[f"bert/{new}"] = value
    return named


def config(shapes: Architecture, **changes: object) -> dict[str, object]:
    """config.json / bert_config.json of an architecture."""
    return {
        "vocab_size": shapes.vocab_size,
        "hidden_size": shapes.hidden_size,
        "num_hidden_layers": shapes.layers,
        "num_attention_heads": shapes.heads,
        "intermediate_size": shapes.inner_dim,
        "max_position_embeddings": shapes.positions,
        "type_vocab_size": shapes.type_vocab_size,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
    } | changes


def write_huggingface(
    folder: Path,
    shapes: Architecture,
    seed: int = 0,
    *,
    prefix: str = "",
    hidden_act: str = "gelu",
    dtype: type = np.float32,
) -> Path:
    """Writes config.json, model.safetensors and vocab.txt as PyTorch would."""
    from safetensors.numpy import save_file

    folder = Path(folder)
    write_vocabulary(folder / "vocab.txt")
    tensors = {}
    for name, value in google_names(weights(shapes, seed)).items():
        new = name.removeprefix("bert/").replace("layer_", "layer.").replace("/", ".")
        if new.endswith("kernel"):
            value = value.T
        elif new.endswith("embeddings"):
            new += ".weight"
        new = new.replace("kernel", "weight").replace("gamma", "weight").replace("beta", "bias")
        tensors[prefix + new] = np.ascontiguousarray(value, dtype=dtype)
    # Older files carry this buffer; it is no weight.
    tensors[prefix + "embeddings.position_ids"] = np.arange(shapes.positions)[None]
    save_file(tensors, folder / "model.safetensors")
    settings = config(shapes, model_type="bert", layer_norm_eps=1e-12, hidden_act=hidden_act)
    (folder / "config.json").write_text(json.dumps(settings))
    return folder


def write_tf1_checkpoint(folder: Path, shapes: Architecture, seed: int = 0) -> Path:
    """Writes bert_config.json, vocab.txt and a name-based checkpoint as BERT's authors did."""
    import tensorflow as tf

    folder = Path(folder)
    write_vocabulary(folder / "vocab.txt")
    (folder / "bert_config.json").write_text(json.dumps(config(shapes)))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        for name, value in google_names(weights(shapes, seed)).items():
            tf.compat.v1.get_variable(name, initializer=value)
        # What pre-training leaves beside the encoder.
        tf.compat.v1.get_variable("global_step", initializer=np.int64(7))
        tf.compat.v1.get_variable("cls/predictions/output_bias", initializer=np.zeros(4))
        tf.compat.v1.get_variable("bert/pooler/dense/kernel/adam_m", initializer=np.zeros(4))
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver().save(
            session, str(folder / "bert_model.ckpt"), write_meta_graph=False
        )
    return folder


def write_tf2_checkpoint(folder: Path, shapes: Architecture, seed: int = 0) -> Path:
    """Writes an object-based checkpoint of tf-models-official's BertEncoder."""
    import tensorflow as tf
    from official.nlp.modeling import networks

    folder = Path(folder)
    write_vocabulary(folder / "vocab.txt")
    (folder / "bert_config.json").write_text(json.dumps(config(shapes)))
    encoder = build_network(networks.BertEncoder, shapes)
    drawn = weights(shapes, seed)
    for variable in encoder.variables:
        variable.assign(drawn[canonical_name(variable.name)])
    tf.train.Checkpoint(encoder=encoder).write(str(folder / "bert_model.ckpt"))
    return folder


def tanh(shapes: Architecture) -> Architecture:
    """The same encoder with the tanh-approximated GELU."""
    return dataclasses.replace(shapes, activation="gelu_tanh")
