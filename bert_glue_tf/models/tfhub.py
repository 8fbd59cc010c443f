"""TF-Hub handles: looked up in the cache, checked, and downloaded within bounds."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from bert_glue_tf.core.errors import UserError, reason_of

# Bytes that one handle may unpack to: ten times BERT-large's, in which a full disk is not.
LARGEST_DOWNLOAD = 14 * 10**9


def is_cached(*locations: str | None) -> bool:
    """Tell whether every TF-Hub handle among these lies in the cache."""
    handles = [location for location in locations if location and is_handle(location)]
    return all(handle_is_cached(handle) for handle in handles)


def cache_folder() -> str:
    return os.environ.get("TFHUB_CACHE_DIR") or os.path.join(tempfile.gettempdir(), "tfhub_modules")


def handle_is_cached(handle: str) -> bool:
    # Where tensorflow_hub looks itself: the folder is named by the handle's SHA-1.
    cached = Path(cache_folder()) / hashlib.sha1(handle.encode("utf8")).hexdigest()
    return (cached / "saved_model.pb").is_file()


def check_handle(handle: str) -> None:
    from bert_glue_tf.core import network

    if not handle_is_cached(handle) and not network.reachable(handle):
        raise network.UnreachableError(
            f"{handle} cannot be reached, and is not in TF-Hub's cache folder {cache_folder()}",
            what="encoder",
        )


def is_handle(location: str) -> bool:
    return location.startswith(("https://", "http://"))


def _refuse_foreign_cache() -> None:
    """Refuse a cache in the folder for everybody's temporary files that another user owns.

    Its folders' names follow from the handles, so that its owner could have put a SavedModel
    there first.
    """
    folder = Path(cache_folder())
    if not os.environ.get("TFHUB_CACHE_DIR") and folder.exists():
        owner = folder.stat().st_uid
        if owner not in (os.getuid(), 0):
            raise UserError(
                f"{folder}: TF-Hub's cache folder belongs to another user (number {owner}), who "
                "could have put any model there. Set TFHUB_CACHE_DIR to a folder of your own."
            )


def fetch(location: str) -> str:
    """Return the local folder of a SavedModel, which is downloaded where it is a handle.

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

    if is_handle(location):
        _refuse_foreign_cache()
    original = resolver.DownloadManager
    resolver.DownloadManager = Bounded  # TF-Hub offers no other place to count.
    try:
        return hub.resolve(location)
    except UserError:
        raise
    except Exception as error:  # URL, TLS, tar and file errors alike
        if not is_handle(location):
            raise UserError(f"{location}: {reason_of(error)}") from None
        raise network.UnreachableError(
            f"{location} cannot be downloaded: {reason_of(error)}", what="encoder"
        ) from None
    finally:
        resolver.DownloadManager = original
