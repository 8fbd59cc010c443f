"""The encoders that a user can name, and what a value of --encoder means.

Everything here is answered without TensorFlow, so that a mistake in a flag is told at once;
`loading.load` loads what is found here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import shlex
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.modality import TEXTS, Modality
from bert_glue_tf.models import embedded, families, tfhub

BEGUN = "small"  # The kind of networks that begin untrained, by their names.
DEFAULT = "bert_en_uncased_L-12_H-768_A-12"
EMBEDDED = "minilm_l6"
MIN_SEQ_LENGTH = 4  # [CLS] a [SEP] b: fewer positions hold no pair at all
MAX_SEQ_LENGTH = 512  # the positions of every published BERT


@dataclasses.dataclass(frozen=True)
class NamedEncoder:
    """An encoder with a short name.

    Attributes:
        kind: "embedded", "tfhub" or `BEGUN`.
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
        "lenet5": NamedEncoder(BEGUN, "", "", "LeNet-5, for pictures; trained from scratch"),
        "har_net": NamedEncoder(BEGUN, "", "", "a CNN for windows of sensors; from scratch"),
        "okg_net": NamedEncoder(BEGUN, "", "", "a CNN for MFCCs of words; from scratch"),
        "sqnxt23": NamedEncoder(BEGUN, "", "", "SqueezeNext for pictures; from scratch"),
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
_NEARLY = (
    r"^(config|bert_config|text_cnn|tokenizer.*)\.json$|^vocab|^(encoder|preprocessing|variables)$|"
    r"^saved_model|\.ckpt|^pytorch_model|\.(safetensors|h5|bin|npz)$"
)
_FOLDER_KINDS = (
    "  a pair of SavedModels: encoder/saved_model.pb and preprocessing/saved_model.pb\n"
    "  (or saved_model.pb itself, with --preprocessing=<handle or folder>)\n"
    "  Hugging Face: config.json, model.safetensors, vocab.txt or tokenizer.json\n"
    "  TensorFlow checkpoint: bert_config.json, *ckpt*.index, vocab.txt\n"
    "  CNN over word vectors: text_cnn.json, vocab.txt, vectors.npz (make_encoder writes it)"
)
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_PICKLED = "pytorch_model*.bin"


@dataclasses.dataclass(frozen=True)
class EncoderSource:
    """Where an encoder comes from.

    Attributes:
        name: as the user gave it.
        kind: "embedded", "saved_models", "huggingface", "tf_checkpoint", "text_cnn", "tfhub" or
            `BEGUN`.
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


def resolve(encoder: str, preprocessing: str = "", flag: str = "encoder") -> EncoderSource:
    """Return where an encoder comes from, by a value of --encoder.

    Neither TensorFlow nor the network is needed.

    Args:
        encoder: a name in `ENCODERS`, a TF-Hub handle (https://...) or a folder.
        preprocessing: a handle or folder that replaces the encoder's own preprocessing.
        flag: that named the encoder, for messages.

    Raises:
        UserError: unknown name, or a folder that cannot be read or holds no encoder.
    """
    given = preprocessing or None
    for name, location in ((flag, encoder), ("preprocessing", preprocessing)):
        _refuse_plain_http(name, location)
    if preprocessing and not tfhub.is_handle(preprocessing):
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
        if named.kind == BEGUN:
            return EncoderSource(encoder, named.kind, encoder)
        return EncoderSource(
            encoder,
            named.kind,
            named.handle,
            given or _preprocessing_for(named.handle),
            named.licence,
        )
    if tfhub.is_handle(encoder):
        return EncoderSource(encoder, "tfhub", encoder, given or _preprocessing_for(encoder))
    with _refusing_unreadable(f"--{flag}={encoder}"):
        return _resolve_folder(encoder, Path(encoder).expanduser(), given, flag)


@contextlib.contextmanager
def _refusing_unreadable(flag: str) -> Iterator[None]:
    """Turn what a file system answers to a folder's name into a UserError that names the flag."""
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


def _resolve_folder(encoder: str, folder: Path, given: str | None, flag: str) -> EncoderSource:
    if not folder.is_dir():
        raise UserError(
            f"--{flag}={encoder}: no such encoder or folder; good values: "
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
    weights = any((folder / name).is_file() for name in _WEIGHTS)
    if (folder / "config.json").is_file() and weights:
        return EncoderSource(encoder, "huggingface", str(folder), given)
    if (folder / "bert_config.json").is_file() and any(folder.glob("*ckpt*.index")):
        return EncoderSource(encoder, "tf_checkpoint", str(folder), given)
    if (folder / "text_cnn.json").is_file():
        return EncoderSource(encoder, "text_cnn", str(folder), given)
    if any(folder.glob(_PICKLED)) and not weights:
        if (folder / "config.json").is_file():  # Nobody is to convert what is refused afterwards.
            if importer := families.importing("huggingface", folder):
                importer.check_config("huggingface", folder)
        raise UserError(f"--{flag}={encoder}: {_pickled(folder)}")
    names = [path.name for path in folder.iterdir()]
    # What may have been meant for an encoder; the names of other files help nobody.
    found = sorted(name for name in names if re.search(_NEARLY, name))
    listed = ", ".join(found[:8]) + (", ..." if len(found) > 8 else "")
    nothing = f"no file of one among {len(names):,}" if names else "nothing"
    raise UserError(
        f"--{flag}={encoder}: holds no encoder (found: {listed or nothing}); "
        f"it needs one of\n{_FOLDER_KINDS}"
    )


def _pickled(folder: Path) -> str:
    """Return what to do with a folder whose weights are pickled, with the command that does it."""
    place = json.dumps(str(folder.resolve()))
    names = ", ".join(sorted(path.name for path in folder.glob(_PICKLED)))
    code = (
        "import pathlib, torch; from safetensors.torch import save_file; "
        f"folder = pathlib.Path({place}); "
        "save_file({name: value.clone().contiguous() "
        f'for file in folder.glob("{_PICKLED}") '
        'for name, value in torch.load(file, map_location="cpu", weights_only=True).items()}, '
        'folder / "model.safetensors")'
    )
    return (
        f"holds {names} only, which is pickled: a pickle is a program, and none is run here. "
        "This converts it once, where PyTorch and safetensors are installed:\n"
        f"  python -c {shlex.quote(code)}"
    )


def check(source: EncoderSource, seq_length: int) -> None:
    """Find within about a second what would fail later, without TensorFlow.

    Raises:
        UserError: a missing or damaged file, a vocabulary that does not fit, a sequence
            length outside the encoder's positions.
        network.UnreachableError: a TF-Hub handle neither cached nor reachable.
    """
    positions = MAX_SEQ_LENGTH
    if source.kind == "embedded":
        embedded.check(Path(source.encoder))
    if importer := families.importing(source.kind, Path(source.encoder)):
        positions = importer.check_weights(source.kind, Path(source.encoder))
    for location in filter(None, (source.encoder, source.preprocessing)):
        folder = Path(location)
        if tfhub.is_handle(location):
            tfhub.check_handle(location)
        elif (folder / "saved_model.pb").is_file() and not (
            folder / "variables" / "variables.index"
        ).is_file():
            raise UserError(
                f"{location}: not a whole SavedModel: variables/variables.index is missing"
            )
    if source.kind != BEGUN:
        check_seq_length(source, seq_length, positions)


def check_examples(source: EncoderSource, modality: Modality) -> None:
    """Refuse a task whose examples an encoder does not read, without TensorFlow.

    Raises:
        UserError: naming the encoder, and those that read them.
    """
    family = families.importing(source.kind, Path(source.encoder))
    reads = TEXTS.name if family is None else family.modality
    if reads != modality.name:
        is_text = modality.name == TEXTS.name
        good = [name for name, one in ENCODERS.items() if (one.kind != BEGUN) == is_text]
        raise UserError(
            f"--encoder={source.name}: reads {reads}, and the examples of the task are "
            f"{modality.noun}. Good: {', '.join(good)}."
        )
    if family is not None:
        family.check_examples(source.encoder, modality)


def check_seq_length(source: EncoderSource, seq_length: int, positions: int) -> None:
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


def _refuse_plain_http(flag: str, location: str) -> None:
    """Refuse an address without encryption.

    A SavedModel is a program, and whoever sits on the way could replace it.
    """
    if not tfhub.is_handle(location):
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
