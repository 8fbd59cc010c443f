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
from bert_glue_tf.models import embedded, families, imported, proofs, tfhub
from bert_glue_tf.models.backbone import Backbone
from bert_glue_tf.models.encoders import MAX_SEQ_LENGTH, EncoderSource, check_seq_length
from bert_glue_tf.models.probing import OUTPUTS, collect, probe
from bert_glue_tf.models.saved_encoders import (
    NotOfFamilyError,
    ProvedEncoder,
    SavedEncoder,
    SavedVariables,
    TakesOver,
    load_layer,
)


@dataclasses.dataclass(frozen=True)
class _Pair:
    """Where the SavedModels of an encoder and its preprocessing are: handles or folders."""

    encoder: str
    preprocessing: str
    encoder_path: str
    preprocessing_path: str


@dataclasses.dataclass(frozen=True)
class _TextModel:
    """A loaded preprocessing SavedModel, and the pieces of its vocabulary (0: not known)."""

    model: Any
    pieces: int


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
    if (begun := families.importing(source.kind, Path(source.encoder))) and begun.begins:
        return _begun(begun, source)
    pair = _pair(source)
    record = imported.read_record(Path(pair.encoder_path).parent) or {}
    for level, told in ((logging.INFO, "notes"), (logging.WARNING, "warnings")):
        for sentence in record.get(told, ()):
            logging.log(level, "%s: %s", source.name, sentence)
    text = _text_model(pair)
    file = proofs.path(pair.encoder_path, record)
    proof = proofs.find(file)
    if proof is not None and family in (None, proof.family):
        _check_sizes(source, pair, text.pieces, (proof.rows, proof.positions), seq_length)
        found = families.get(proof.family).take_again(
            ProvedEncoder(
                encoder=proof.encoder,
                variables=SavedVariables(pair.encoder_path),
                preprocessing=text.model,
                preprocessing_path=pair.preprocessing_path,
                provenance={**_provenance(source, pair, record), **proof.added},
            )
        )
    else:
        found = _proved(source, pair, record, text, seq_length, family, file)
    parameters = sum(v.shape.num_elements() for v in found.layer.variables)
    return found.with_provenance(parameters=parameters)


def _begun(family: type[Backbone], source: EncoderSource) -> Backbone:
    """Return a network that nobody has trained."""
    unknown = dict.fromkeys(
        ("preprocessing", "version", "sha256", "vocabulary_sha256", "licence"), ""
    )
    about = {"name": source.name, "kind": source.kind, "encoder": source.encoder, **unknown}
    return family.begin(source.encoder, about)


def _proved(
    source: EncoderSource,
    pair: _Pair,
    record: Mapping[str, Any],
    text: _TextModel,
    seq_length: int,
    family: str | None,
    file: Path | None,
) -> Backbone:
    """Return an encoder that was loaded, asked and taken over now; a proof of it is kept.

    Raises:
        UserError: as `load`.
    """
    layer = _layer(pair)
    rows, positions = _sizes(layer)
    _check_sizes(source, pair, text.pieces, (rows, positions), seq_length)
    batch = probe(rows or text.pieces or 100)
    saved = SavedEncoder(
        layer=layer,
        path=pair.encoder_path,
        preprocessing=text.model,
        preprocessing_path=pair.preprocessing_path,
        provenance=_provenance(source, pair, record),
        positions=positions,
        batch=batch,
        outputs=_own_outputs(layer, batch, pair.encoder),
        record=record,
        remedy=_remedy(pair.encoder, pair.encoder_path),
    )
    found = _of_a_family(saved, source, family)
    if found.layer is layer:
        return found
    before = saved.provenance
    del layer, saved
    collect(found.layer.variables)  # The SavedModel's copy of them.
    if encoder := found.describe()["encoder"]:
        added = {key: value for key, value in found.provenance.items() if key not in before}
        proof = proofs.Proof(found.family, encoder, added, rows, positions)
        proofs.keep(file, found, pair.encoder_path, proof)
    return found


def _text_model(pair: _Pair) -> _TextModel:
    """Return the preprocessing's SavedModel, loaded, and the size of its vocabulary."""
    remedy = _remedy(pair.preprocessing, pair.preprocessing_path)
    model = preprocessing.load(pair.preprocessing_path, pair.preprocessing, remedy)
    return _TextModel(model, preprocessing.special_tokens(model.tokenize).get("vocab_size", 0))


def _check_sizes(
    source: EncoderSource, pair: _Pair, pieces: int, sizes: tuple[int, int], seq_length: int
) -> None:
    """Compare an encoder's rows of word embeddings and its positions with what it is to take.

    Raises:
        UserError: the vocabulary or the sequence length does not fit.
    """
    rows, positions = sizes
    if rows and pieces not in (0, rows):
        raise UserError(
            f"{pair.preprocessing}: its vocabulary of {pieces} pieces "
            f"does not fit {pair.encoder} with {rows} rows of word embeddings"
        )
    check_seq_length(source, seq_length, positions)


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
        if saved.kind and one.imports and saved.kind not in one.imports:
            continue  # Another family has imported it.
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
