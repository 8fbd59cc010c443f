"""An encoder's source -> the encoder with its preprocessing, ready for a training.

Every kind of source is brought to a pair of SavedModels first; then all are treated alike.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bert_glue_tf.core.errors import UserError, reason_of
from bert_glue_tf.models import tfhub
from bert_glue_tf.models.bert import embedded
from bert_glue_tf.models.encoders import MAX_SEQ_LENGTH, EncoderSource, check_seq_length

if TYPE_CHECKING:
    from bert_glue_tf.models.bert.architecture import Architecture


@dataclasses.dataclass
class Encoder:
    """A loaded encoder with its preprocessing.

    Attributes:
        layer: a `tf_keras` layer: dict of int32 [batch, seq] (input_word_ids, input_mask,
            input_type_ids) -> dict with pooled_output [batch, hidden] and
            sequence_output [batch, seq, hidden], float32. Native: a tf-models-official
            `BertEncoderV2`; opaque: a trainable `hub.KerasLayer`.
        preprocessing: the loaded preprocessing SavedModel.
        preprocessing_path: the folder it was loaded from.
        is_native: whether `layer` is the native encoder.
        why_opaque: the reason in one sentence; empty if native.
        provenance: name, kind, encoder, preprocessing, version, sha256 (of the weights'
            file, else of the SavedModel's variables), parameters, licence, activation and
            probe_difference (native only), vocabulary_sha256 (of the preprocessing's
            assets). JSON types.
        architecture: of the native encoder; None if opaque.
        encoder_path: the folder that the encoder's SavedModel was loaded from.
    """

    layer: Any
    preprocessing: Any
    preprocessing_path: str
    is_native: bool
    why_opaque: str
    provenance: dict[str, Any]
    architecture: Architecture | None = None
    encoder_path: str = ""


def load(source: EncoderSource, native: bool | None = None, seq_length: int = 128) -> Encoder:
    """Loads an encoder with its preprocessing, importing it first where needed.

    Args:
        source: from `resolve`.
        native: None takes the native encoder wherever the SavedModel is a standard BERT
            and the opaque one elsewhere; True refuses where it is not; False takes the
            opaque one.
        seq_length: the longest sequence that will be asked for.

    Raises:
        UserError: no BERT, a vocabulary or sequence length that does not fit, or no
            native encoder possible though asked for.
        network.UnreachableError: a TF-Hub handle that cannot be downloaded.
    """
    import numpy as np

    from bert_glue_tf.data import preprocessing
    from bert_glue_tf.models.bert import importing
    from bert_glue_tf.models.bert.architecture import (
        Architecture,
        NotNativeError,
        by_canonical_name,
    )
    from bert_glue_tf.models.bert.network import collect, probe, take_over

    encoder_at, preprocessing_at = source.encoder, source.preprocessing or ""
    if source.kind in ("embedded", "huggingface", "tf_checkpoint"):
        name = re.sub(r"[^A-Za-z0-9_.-]+", "_", Path(source.encoder).resolve().name).strip(".")
        if source.kind == "embedded":
            name = source.name
            embedded.check(Path(source.encoder))
        pair = importing.import_pair(
            name or "encoder", source.kind, Path(source.encoder), source.licence
        )
        encoder_at = str(pair / "encoder")
        preprocessing_at = preprocessing_at or str(pair / "preprocessing")
    encoder_path, preprocessing_path = tfhub.fetch(encoder_at), tfhub.fetch(preprocessing_at)
    text_model = preprocessing.load(
        preprocessing_path, preprocessing_at, _remedy(preprocessing_at, preprocessing_path)
    )
    tokens = preprocessing.special_tokens(text_model.tokenize)
    try:
        layer = _trainable(encoder_path)
    except _out_of_memory():
        raise
    except Exception as error:  # OSError, IndexError, OpError and more, by what is damaged
        raise UserError(
            f"{encoder_at}: cannot be loaded as a SavedModel with a call: {reason_of(error)}"
            + _remedy(encoder_at, encoder_path)
        ) from None
    shapes = {name: tuple(v.shape) for name, v in by_canonical_name(layer.variables).items()}
    rows = shapes.get("word_embeddings/embeddings", (0,))[0]
    if rows and tokens.get("vocab_size", rows) != rows:
        raise UserError(
            f"{preprocessing_at}: its vocabulary of {tokens['vocab_size']} pieces "
            f"does not fit {encoder_at} with {rows} rows of word embeddings"
        )
    positions = shapes.get("position_embedding/embeddings", (MAX_SEQ_LENGTH,))[0]
    check_seq_length(source, seq_length, positions)
    batch = probe(rows or tokens.get("vocab_size", 100))
    outputs = _own_outputs(layer, batch, encoder_at)
    record = importing.read_record(Path(encoder_path).parent) or {}
    try:
        known = Architecture(**record["architecture"]) if record else None
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{Path(encoder_path).parent / importing.IMPORT_RECORD}: not whole: "
            f"{reason_of(error)}" + _remedy(encoder_at, encoder_path)
        ) from None
    version = re.search(r"/(\d+)/?$", encoder_at) if tfhub.is_handle(encoder_at) else None
    provenance = {
        "name": source.name,
        "kind": source.kind,
        "encoder": source.encoder,
        "preprocessing": preprocessing_at,
        "version": version.group(1) if version else "",
        "sha256": record.get("sha256", {}).get("model.safetensors")
        or importing.folder_sha256(Path(encoder_path) / "variables"),
        "vocabulary_sha256": importing.folder_sha256(Path(preprocessing_path) / "assets"),
        "licence": source.licence or record.get("licence", ""),
    }
    reason, architecture = "the opaque encoder was asked for", None
    if native is not False:
        try:
            layer, architecture, gap = take_over(layer, outputs, batch, known)
            reason = ""
            provenance |= {"activation": architecture.activation, "probe_difference": gap}
        except NotNativeError as error:
            reason = str(error)
            if native:
                raise UserError(
                    f"--encoder={source.name}: cannot be held as a native encoder: {reason}"
                ) from None
        collect(layer.variables)  # The SavedModel's copy of them.
    provenance["parameters"] = int(sum(np.prod(v.shape) for v in layer.trainable_variables))
    return Encoder(
        layer,
        text_model,
        preprocessing_path,
        not reason,
        reason,
        provenance,
        architecture,
        encoder_path,
    )


def rebuild(encoder: Encoder, dropout: float | None = None) -> Encoder:
    """The same encoder in variables that are created anew.

    Args:
      encoder: from `load`.
      dropout: rate inside the encoder, on attention weights and outputs; None keeps the
        encoder's own.

    Raises:
      UserError: `dropout` is given, and the encoder is opaque.

    Under the scope of a distribution strategy they become variables of that strategy.
    `load` itself is called outside of the scope: what is loaded under it can be called by a
    replica, within `strategy.run`, but not between them, and so not be probed.
    """
    from bert_glue_tf.models.bert.architecture import by_canonical_name
    from bert_glue_tf.models.bert.network import build_encoder

    if dropout is not None:
        if encoder.architecture is None:
            raise UserError(
                f"--encoder_dropout={dropout}: the encoder is opaque ({encoder.why_opaque}), so "
                "its dropout cannot be set. Leave the flag out, or use a standard BERT."
            )
        encoder = dataclasses.replace(
            encoder,
            architecture=dataclasses.replace(
                encoder.architecture, output_dropout=dropout, attention_dropout=dropout
            ),
        )
    if encoder.architecture is None:
        layer = _trainable(encoder.encoder_path)
    else:
        variables = by_canonical_name(encoder.layer.variables)
        layer = build_encoder(encoder.architecture, lambda name: variables[name].numpy())
    return dataclasses.replace(encoder, layer=layer)


def _trainable(path: str) -> Any:
    """The SavedModel as a layer that can be trained.

    Loaded here, since a `hub.KerasLayer` that is given a path asks Keras for its options and
    imports all of Keras 3 for it, which is not used: a second of each command.
    """
    import tensorflow_hub as hub

    loaded = hub.load(path)
    if not callable(loaded):
        raise ValueError("it has no function to be called")
    return hub.KerasLayer(loaded, trainable=True, name="encoder")


def _own_outputs(layer: Any, batch: Mapping[str, Any], location: str) -> dict[str, Any]:
    """What a SavedModel itself answers to a probe batch, as arrays."""
    import numpy as np

    wanted = ("pooled_output", "sequence_output")
    refusal = (
        f"{location}: is no BERT encoder: called with a dict of {', '.join(batch)} it does "
        f"not answer with {' and '.join(wanted)}"
    )
    try:
        answer = layer(batch)
    except _out_of_memory():
        raise
    except Exception as error:  # a foreign model may fail in any way when called
        raise UserError(f"{refusal} ({reason_of(error)})") from None
    if not isinstance(answer, Mapping) or not set(wanted) <= set(answer):
        found = ", ".join(map(str, answer)) if isinstance(answer, Mapping) else "one tensor"
        raise UserError(f"{refusal}, but with {found}")
    return {key: np.asarray(answer[key]) for key in wanted}


def _out_of_memory() -> tuple[type[BaseException], ...]:
    """What says that memory is short, and so nothing of the file that was being read."""
    import tensorflow as tf

    return MemoryError, tf.errors.ResourceExhaustedError


def _remedy(location: str, path: str) -> str:
    """What to do about a damaged SavedModel that lies in a cache; empty for a user's own."""
    from bert_glue_tf.models.bert import importing

    imported = importing.cache_root() / "encoders"
    if Path(path).is_relative_to(imported):
        folder = imported / Path(path).relative_to(imported).parts[0]
        return f".\nDelete the folder {folder} and run again, to import it anew."
    if tfhub.is_handle(location):
        return f".\nDelete the folder {path} and run again, to download it anew."
    return ""
