"""An encoder's source -> the backbone with its preprocessing, ready for a training.

Every kind of source is brought to a pair of SavedModels first; then all are treated alike.
TensorFlow is imported inside the functions that need it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from absl import logging

from bert_glue_tf.core.errors import UserError, reason_of
from bert_glue_tf.data import preprocessing
from bert_glue_tf.models import embedded, families, imported, tfhub
from bert_glue_tf.models.backbone import Backbone
from bert_glue_tf.models.encoders import MAX_SEQ_LENGTH, EncoderSource, check_seq_length
from bert_glue_tf.models.probing import OUTPUTS, collect, probe
from bert_glue_tf.models.saved_encoders import NotOfFamilyError, SavedEncoder, TakesOver, load_layer


@dataclasses.dataclass(frozen=True)
class _Pair:
    """Where the SavedModels of an encoder and its preprocessing are: handles or folders."""

    encoder: str
    preprocessing: str
    encoder_path: str
    preprocessing_path: str


def load(source: EncoderSource, family: str | None = None, seq_length: int = 128) -> Backbone:
    """Load an encoder with its preprocessing, importing it first where needed.

    It is called outside of a distribution strategy's scope (see `Backbone.build`).

    Args:
        source: from `encoders.resolve`.
        family: that has to hold it, by its name; None takes the first that can: the BERT family
            wherever the SavedModel is a standard BERT, and the SavedModel as it is elsewhere.
        seq_length: the longest sequence that will be asked for.

    Raises:
        UserError: no text encoder, a vocabulary or sequence length that does not fit, or none
            of the family that is asked for.
        network.UnreachableError: a TF-Hub handle that cannot be downloaded.
    """
    saved = _saved(source, _pair(source), seq_length)
    found = _of_a_family(saved, source, family)
    is_copy = found.layer is not saved.layer
    del saved
    if is_copy:
        collect(found.layer.variables)  # The SavedModel's copy of them.
    parameters = sum(v.shape.num_elements() for v in found.layer.trainable_variables)
    return found.with_provenance(parameters=parameters)


def _saved(source: EncoderSource, pair: _Pair, seq_length: int) -> SavedEncoder:
    """Return the encoder's SavedModel, loaded and asked for what it answers to a probe.

    Raises:
        UserError: as `load`.
    """
    remedy = _remedy(pair.preprocessing, pair.preprocessing_path)
    text_model = preprocessing.load(pair.preprocessing_path, pair.preprocessing, remedy)
    tokens = preprocessing.special_tokens(text_model.tokenize)
    layer = _layer(pair)
    rows, positions = _sizes(layer)
    if rows and tokens.get("vocab_size", rows) != rows:
        raise UserError(
            f"{pair.preprocessing}: its vocabulary of {tokens['vocab_size']} pieces "
            f"does not fit {pair.encoder} with {rows} rows of word embeddings"
        )
    check_seq_length(source, seq_length, positions)
    batch = probe(rows or tokens.get("vocab_size", 100))
    record = imported.read_record(Path(pair.encoder_path).parent) or {}
    for level, told in ((logging.INFO, "notes"), (logging.WARNING, "warnings")):
        for sentence in record.get(told, ()):
            logging.log(level, "%s: %s", source.name, sentence)
    return SavedEncoder(
        layer=layer,
        path=pair.encoder_path,
        preprocessing=text_model,
        preprocessing_path=pair.preprocessing_path,
        provenance=_provenance(source, pair, record),
        positions=positions,
        batch=batch,
        outputs=_own_outputs(layer, batch, pair.encoder),
        record=record,
        remedy=_remedy(pair.encoder, pair.encoder_path),
    )


def _of_a_family(saved: SavedEncoder, source: EncoderSource, family: str | None) -> Backbone:
    """Return a SavedModel as the first family holds it that can, or as the one that is asked for.

    Raises:
        UserError: the family that is asked for cannot hold it, or the import's record is damaged.
    """
    if family is not None:
        try:
            return families.get(family).take_over(saved)
        except NotOfFamilyError as error:
            raise UserError(
                f"--encoder={source.name}: cannot be held as a {family} of ours: {error}"
            ) from None
    for one in families.taking_over():
        try:
            found = one.take_over(saved)
        except NotOfFamilyError as error:
            reason = "; ".join(filter(None, (saved.reason, str(error))))
            saved = dataclasses.replace(saved, reason=reason)
            continue
        if one.takes_over_from is TakesOver.ANY:
            logging.info(
                "the encoder is held as a SavedModel (family %s): %s", one.family, saved.reason
            )
        return found
    raise UserError(f"--encoder={source.name}: no family of encoders holds it: {saved.reason}")


def _pair(source: EncoderSource) -> _Pair:
    """Return where the pair of SavedModels is, after an import or a download."""
    encoder, text = source.encoder, source.preprocessing or ""
    if importer := families.importing(source.kind, Path(source.encoder)):
        name = re.sub(r"[^A-Za-z0-9_.-]+", "_", Path(source.encoder).resolve().name).strip(".")
        if source.kind == "embedded":
            name = source.name
            embedded.check(Path(source.encoder))
        pair = importer.import_weights(
            name or "encoder", source.kind, Path(source.encoder), source.licence
        )
        encoder = str(pair / "encoder")
        text = text or str(pair / "preprocessing")
    return _Pair(encoder, text, tfhub.fetch(encoder), tfhub.fetch(text))


def _layer(pair: _Pair) -> Any:
    """Return the encoder's SavedModel as a trainable layer.

    Raises:
        UserError: it cannot be loaded.
    """
    try:
        return load_layer(pair.encoder_path)
    except _out_of_memory():
        raise
    except Exception as error:  # OSError, IndexError, OpError and more, by what is damaged
        raise UserError(
            f"{pair.encoder}: cannot be loaded as a SavedModel with a call: {reason_of(error)}"
            + _remedy(pair.encoder, pair.encoder_path)
        ) from None


def _sizes(layer: Any) -> tuple[int, int]:
    """Return the rows of the word embeddings (0: not known) and the number of positions."""
    rows, positions = 0, 0
    for family in families.taking_over():
        told = family.saved_sizes(layer.variables)
        rows, positions = rows or told[0], positions or told[1]
    return rows, positions or MAX_SEQ_LENGTH


def _provenance(source: EncoderSource, pair: _Pair, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return `Backbone.provenance`, as far as it is the same in every family."""
    version = re.search(r"/(\d+)/?$", pair.encoder) if tfhub.is_handle(pair.encoder) else None
    return {
        "name": source.name,
        "kind": source.kind,
        "encoder": source.encoder,
        "preprocessing": pair.preprocessing,
        "version": version.group(1) if version else "",
        "sha256": record.get("sha256", {}).get("model.safetensors")
        or imported.folder_sha256(Path(pair.encoder_path) / "variables"),
        "vocabulary_sha256": imported.folder_sha256(Path(pair.preprocessing_path) / "assets"),
        "licence": source.licence or record.get("licence", ""),
    }


def _own_outputs(layer: Any, batch: Mapping[str, Any], location: str) -> dict[str, Any]:
    """Return what a SavedModel itself answers to a probe batch, as arrays."""
    import numpy as np

    refusal = (
        f"{location}: is no BERT encoder: called with a dict of {', '.join(batch)} it does "
        f"not answer with {' and '.join(OUTPUTS)}"
    )
    try:
        answer = layer(batch)
    except _out_of_memory():
        raise
    except Exception as error:  # a foreign model may fail in any way when called
        raise UserError(f"{refusal} ({reason_of(error)})") from None
    if not isinstance(answer, Mapping) or not set(OUTPUTS) <= set(answer):
        found = ", ".join(map(str, answer)) if isinstance(answer, Mapping) else "one tensor"
        raise UserError(f"{refusal}, but with {found}")
    return {key: np.asarray(answer[key]) for key in OUTPUTS}


def _out_of_memory() -> tuple[type[BaseException], ...]:
    """Return the errors of a machine that is short of memory, which blame no file."""
    import tensorflow as tf

    return MemoryError, tf.errors.ResourceExhaustedError


def _remedy(location: str, path: str) -> str:
    """Return what to do about a damaged SavedModel in a cache; empty for a user's own."""
    pairs = imported.pairs_root()
    if Path(path).is_relative_to(pairs):
        folder = pairs / Path(path).relative_to(pairs).parts[0]
        return f".\nDelete the folder {folder} and run again, to import it anew."
    if tfhub.is_handle(location):
        return f".\nDelete the folder {path} and run again, to download it anew."
    return ""
