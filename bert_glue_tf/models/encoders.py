"""Encoder name, folder or TF-Hub handle -> preprocessing + encoder.

`resolve` and `check` answer without TensorFlow, so that a mistake in a flag is told at
once. `load` brings every kind to a pair of SavedModels first and then treats all alike.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import re
import tempfile
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from bert_glue_tf.core.errors import UserError, reason_of
from bert_glue_tf.models.bert import embedded

if TYPE_CHECKING:
    from bert_glue_tf.models.bert.native import Architecture

DEFAULT = "bert_en_uncased_L-12_H-768_A-12"
EMBEDDED = "minilm_l6"
MIN_SEQ_LENGTH = 4  # [CLS] a [SEP] b: fewer positions hold no pair at all
MAX_SEQ_LENGTH = 512  # the positions of every published BERT


@dataclasses.dataclass(frozen=True)
class NamedEncoder:
    """An encoder with a short name.

    Attributes:
        kind: "embedded" or "tfhub".
        handle: the TF-Hub handle; empty for the embedded one.
        licence: of the weights.
        summary: what it is, for the help texts.
    """

    kind: str
    handle: str
    licence: str
    summary: str


ENCODERS: Mapping[str, NamedEncoder] = MappingProxyType(
    {
        DEFAULT: NamedEncoder(
            "tfhub",
            f"https://tfhub.dev/tensorflow/{DEFAULT}/4",
            "Apache-2.0",
            "BERT-base uncased from TF-Hub; needs the network once",
        ),
        EMBEDDED: NamedEncoder(
            "embedded",
            "",
            "Apache-2.0",
            f"MiniLM-L6-H384, 6 layers, from the package {embedded.PACKAGE}; needs no network",
        ),
    }
)

# Which preprocessing model an encoder's own page names, by the encoder's name with
# lower case and underscores (Kaggle writes hyphens). The first match counts.
_PREPROCESSING = (
    (
        r"(^|/)(small_bert/)?(bert_)?en_(wwm_)?uncased_l_|/experts/bert/",
        "https://tfhub.dev/tensorflow/bert_en_uncased_preprocess/3",
    ),
    (r"(^|/)(bert_)?en_(wwm_)?cased_l_", "https://tfhub.dev/tensorflow/bert_en_cased_preprocess/3"),
    (r"(^|/)(bert_)?multi_cased_l_", "https://tfhub.dev/tensorflow/bert_multi_cased_preprocess/3"),
    (r"(^|/)(bert_)?zh_l_", "https://tfhub.dev/tensorflow/bert_zh_preprocess/3"),
)

# Bytes that one handle may unpack to: ten times BERT-large's, in which a full disk is not.
LARGEST_DOWNLOAD = 14 * 10**9

_NEARLY = (
    r"^(config|bert_config|tokenizer.*)\.json$|^vocab|^(encoder|preprocessing|variables)$|"
    r"^saved_model|\.ckpt|^pytorch_model|\.(safetensors|h5|bin)$"
)
_FOLDER_KINDS = (
    "  a pair of SavedModels: encoder/saved_model.pb and preprocessing/saved_model.pb\n"
    "  (or saved_model.pb itself, with --preprocessing=<handle or folder>)\n"
    "  Hugging Face: config.json, model.safetensors, vocab.txt\n"
    "  TensorFlow checkpoint: bert_config.json, *.ckpt.index, vocab.txt"
)


@dataclasses.dataclass(frozen=True)
class EncoderSource:
    """Where an encoder comes from.

    Attributes:
        name: as the user gave it.
        kind: "embedded", "saved_models", "huggingface", "tf_checkpoint" or "tfhub".
        encoder: TF-Hub handle, SavedModel folder, or the folder of foreign weights.
        preprocessing: handle or folder of a preprocessing SavedModel; None where the
            import writes one from the vocabulary.
        licence: of the weights, where known.
    """

    name: str
    kind: str
    encoder: str
    preprocessing: str | None = None
    licence: str = ""


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


def resolve(encoder: str, preprocessing: str = "") -> EncoderSource:
    """Says what a value of --encoder means. Needs no TensorFlow and no network.

    Args:
        encoder: a name in `ENCODERS`, a TF-Hub handle (https://...) or a folder.
        preprocessing: a handle or folder that replaces the encoder's own preprocessing.

    Raises:
        UserError: unknown name, or a folder that cannot be read or holds no encoder.
    """
    given = preprocessing or None
    for flag, location in (("encoder", encoder), ("preprocessing", preprocessing)):
        _refuse_plain_http(flag, location)
    if preprocessing and not _is_handle(preprocessing):
        with _refusing_unreadable(f"--preprocessing={preprocessing}"):
            path = Path(preprocessing).expanduser()
            if not (path / "saved_model.pb").is_file():
                raise UserError(
                    f"--preprocessing={preprocessing}: no such folder with a "
                    "saved_model.pb, and no TF-Hub handle (https://...)"
                )
        given = str(path)
    if encoder in ENCODERS:
        named = ENCODERS[encoder]
        if named.kind == "embedded":
            return EncoderSource(encoder, named.kind, str(embedded.find()), given, named.licence)
        return EncoderSource(
            encoder,
            named.kind,
            named.handle,
            given or _preprocessing_for(named.handle),
            named.licence,
        )
    if _is_handle(encoder):
        return EncoderSource(encoder, "tfhub", encoder, given or _preprocessing_for(encoder))
    with _refusing_unreadable(f"--encoder={encoder}"):
        return _resolve_folder(encoder, Path(encoder).expanduser(), given)


@contextlib.contextmanager
def _refusing_unreadable(flag: str) -> Iterator[None]:
    """Turns what a file system answers to a folder's name into a UserError that names the flag."""
    try:
        yield
    except RuntimeError:  # pathlib's own for ~name
        raise UserError(
            f"{flag}: there is no such home folder; give the folder's whole path"
        ) from None
    except ValueError as error:  # A NUL, or half of a surrogate pair.
        raise UserError(f"{flag}: can be no folder's name ({error})") from None
    except OSError as error:
        raise UserError(
            f"{flag}: cannot be read ({error.strerror}); give a folder that you may read"
        ) from None


def _resolve_folder(encoder: str, folder: Path, given: str | None) -> EncoderSource:
    if not folder.is_dir():
        raise UserError(
            f"--encoder={encoder}: no such encoder or folder; good values: "
            f"{', '.join(ENCODERS)}, a TF-Hub handle (https://...), "
            f"or a folder with one of\n{_FOLDER_KINDS}"
        )
    if (folder / "encoder" / "saved_model.pb").is_file():
        inner = folder / "preprocessing"
        if given or (inner / "saved_model.pb").is_file():
            return EncoderSource(
                encoder, "saved_models", str(folder / "encoder"), given or str(inner)
            )
    if (folder / "saved_model.pb").is_file() and given:
        return EncoderSource(encoder, "saved_models", str(folder), given)
    if all((folder / name).is_file() for name in ("config.json", "model.safetensors", "vocab.txt")):
        return EncoderSource(encoder, "huggingface", str(folder), given)
    if (
        (folder / "bert_config.json").is_file()
        and (folder / "vocab.txt").is_file()
        and any(folder.glob("*.ckpt*.index"))
    ):
        return EncoderSource(encoder, "tf_checkpoint", str(folder), given)
    names = [path.name for path in folder.iterdir()]
    # What may have been meant for an encoder; the names of other files help nobody.
    found = sorted(name for name in names if re.search(_NEARLY, name))
    listed = ", ".join(found[:8]) + (", ..." if len(found) > 8 else "")
    nothing = f"no file of one among {len(names):,}" if names else "nothing"
    raise UserError(
        f"--encoder={encoder}: holds no encoder (found: {listed or nothing}); "
        f"it needs one of\n{_FOLDER_KINDS}"
    )


def check(source: EncoderSource, seq_length: int) -> None:
    """Finds in about a second what would fail later. Needs no TensorFlow.

    Raises:
        UserError: a missing or damaged file, a vocabulary that does not fit, a sequence
            length outside the encoder's positions.
        network.UnreachableError: a TF-Hub handle neither cached nor reachable.
    """
    from bert_glue_tf.models.bert import foreign_weights

    positions = MAX_SEQ_LENGTH
    if source.kind == "embedded":
        embedded.check(Path(source.encoder))
    if source.kind in ("embedded", "huggingface"):
        positions = foreign_weights.check_huggingface(Path(source.encoder))[0].positions
    elif source.kind == "tf_checkpoint":
        positions = foreign_weights.check_tf_checkpoint(Path(source.encoder))[0].positions
    for location in filter(None, (source.encoder, source.preprocessing)):
        folder = Path(location)
        if _is_handle(location):
            _check_handle(location)
        elif (folder / "saved_model.pb").is_file() and not (
            folder / "variables" / "variables.index"
        ).is_file():
            raise UserError(
                f"{location}: not a whole SavedModel: variables/variables.index is missing"
            )
    _check_seq_length(source, seq_length, positions)


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
    from bert_glue_tf.models.bert.native import (
        Architecture,
        NotNativeError,
        by_canonical_name,
        collect,
        probe,
        take_over,
    )

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
    encoder_path, preprocessing_path = _fetch(encoder_at), _fetch(preprocessing_at)
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
    _check_seq_length(source, seq_length, positions)
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
    version = re.search(r"/(\d+)/?$", encoder_at) if _is_handle(encoder_at) else None
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
    from bert_glue_tf.models.bert.native import build_native, by_canonical_name

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
        layer = build_native(encoder.architecture, lambda name: variables[name].numpy())
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


def is_cached(source: EncoderSource) -> bool:
    """Whether `load` will need no network: every TF-Hub handle lies in TF-Hub's cache."""
    locations = filter(None, (source.encoder, source.preprocessing))
    return all(_is_cached(location) for location in locations if _is_handle(location))


def _hub_cache() -> str:
    return os.environ.get("TFHUB_CACHE_DIR") or os.path.join(tempfile.gettempdir(), "tfhub_modules")


def _is_cached(handle: str) -> bool:
    # Where tensorflow_hub looks itself: the folder is named by the handle's SHA-1.
    cached = Path(_hub_cache()) / hashlib.sha1(handle.encode("utf8")).hexdigest()
    return (cached / "saved_model.pb").is_file()


def _check_handle(handle: str) -> None:
    from bert_glue_tf.core import network

    if not _is_cached(handle) and not network.reachable(handle):
        raise network.UnreachableError(
            f"{handle} cannot be reached, and is not in TF-Hub's cache folder {_hub_cache()}",
            what="encoder",
        )


def _check_seq_length(source: EncoderSource, seq_length: int, positions: int) -> None:
    if not MIN_SEQ_LENGTH <= seq_length <= positions:
        raise UserError(
            f"--seq_length={seq_length}: must be from {MIN_SEQ_LENGTH} to "
            f"{positions}, the positions of --encoder={source.name}"
        )


def _preprocessing_for(handle: str) -> str:
    name = handle.lower().replace("-", "_")
    for pattern, preprocessing in _PREPROCESSING:
        if re.search(pattern, name):
            return preprocessing
    raise UserError(
        f"--encoder={handle}: no rule says which preprocessing model belongs to it; "
        "its page on TF-Hub does: give it with --preprocessing=<handle or folder>"
    )


def _is_handle(location: str) -> bool:
    return location.startswith(("https://", "http://"))


def _refuse_plain_http(flag: str, location: str) -> None:
    """A SavedModel is a program, and without TLS whoever sits on the way can replace it."""
    if not _is_handle(location):
        return
    try:
        host = urllib.parse.urlsplit(location).hostname
    except ValueError as error:
        raise UserError(f"--{flag}={location}: no address ({error}). Good: https://...") from None
    if location.startswith("http://") and host not in ("localhost", "127.0.0.1", "::1"):
        raise UserError(
            f"--{flag}={location}: is not encrypted, so that it could be replaced on the way. "
            "Good: https://..., or a folder that you have checked."
        )


def _refuse_foreign_cache() -> None:
    """Where TF-Hub's cache is the usual one, in the folder for temporary files of everybody.

    Its folders' names follow from the handles, so that another user could have put a SavedModel
    there first.
    """
    folder = Path(_hub_cache())
    if not os.environ.get("TFHUB_CACHE_DIR") and folder.exists():
        owner = folder.stat().st_uid
        if owner not in (os.getuid(), 0):
            raise UserError(
                f"{folder}: TF-Hub's cache folder belongs to another user (number {owner}), who "
                "could have put any model there. Set TFHUB_CACHE_DIR to a folder of your own."
            )


def _fetch(location: str) -> str:
    """The local folder of a SavedModel, downloaded by tensorflow_hub where it is a handle.

    TF-Hub unpacks plain files and folders only, and only below its cache folder
    (`file_utils.extract_tarfile_to_destination`); how much, it does not limit.

    Raises:
        UserError: it cannot be had, is larger than any encoder, or lies in a folder of another
            user's.
    """
    import tensorflow_hub as hub
    from tensorflow_hub import resolver

    from bert_glue_tf.core import network

    class Bounded(resolver.DownloadManager):
        def _log_progress(self, bytes_downloaded: int) -> None:
            super()._log_progress(bytes_downloaded)
            if self._total_bytes_downloaded > LARGEST_DOWNLOAD:
                raise UserError(
                    f"{location}: unpacks to more than {LARGEST_DOWNLOAD:,} bytes, which no "
                    "encoder has. Nothing of it was kept."
                )

    if _is_handle(location):
        _refuse_foreign_cache()
    original = resolver.DownloadManager
    resolver.DownloadManager = Bounded  # TF-Hub offers no other place to count.
    try:
        return hub.resolve(location)
    except UserError:
        raise
    except Exception as error:  # URL, TLS, tar and file errors alike
        if not _is_handle(location):
            raise UserError(f"{location}: {reason_of(error)}") from None
        raise network.UnreachableError(
            f"{location} cannot be downloaded: {reason_of(error)}", what="encoder"
        ) from None
    finally:
        resolver.DownloadManager = original


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
    if _is_handle(location):
        return f".\nDelete the folder {path} and run again, to download it anew."
    return ""
