"""Files that are replaced as a whole, and locks that end with their process."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys

import pytest

from bert_glue_tf.core import files, locks


def test_a_file_is_replaced_as_a_whole(tmp_path, monkeypatch):
    path = tmp_path / "folder" / "file.txt"
    files.write_atomically(path, "é")
    assert path.read_bytes() == "é".encode()
    assert path.stat().st_mode & 0o777 == 0o644

    def fail(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        files.write_atomically(path, b"new")
    assert os.listdir(path.parent) == ["file.txt"]
    assert path.read_bytes() == "é".encode()


def test_half_written_files_are_told_from_others(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(os, "replace", lambda source, path: made.append(os.path.basename(source)))
    files.write_atomically(tmp_path / "a.json", "x")
    assert files.is_half_written(made[0], "a.json")
    for other in ("a.json", ".a.json", ".a.json.notes", ".b.json.abcd_123"):
        assert not files.is_half_written(other, "a.json")


def test_checksum_and_reason(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    assert files.sha256(path) == hashlib.sha256(b"abc").hexdigest()
    assert files.reason(OSError(errno.ENOSPC, "full")) == "full"
    assert files.reason(ValueError("embedded null byte")) == "embedded null byte"


HOLD = (
    "import pathlib, sys\n"
    "from bert_glue_tf.core import locks\n"
    "try:\n"
    "    locks.hold(pathlib.Path(sys.argv[1]))\n"
    "except BlockingIOError:\n"
    "    sys.exit(3)\n"
)


def other_process(path, **options):
    return subprocess.run([sys.executable, "-c", HOLD, str(path)], **options).returncode


def test_a_lock_is_held_against_other_processes_until_it_is_handed_over(tmp_path):
    path = tmp_path / ".lock"
    locks.hold(path)
    locks.hold(path)  # The same process may ask again.
    assert other_process(path) == 3
    descriptor = locks.hand_over(path)
    assert other_process(path) == 3  # Whoever has the descriptor holds it.
    locks.adopt(descriptor)
    assert not os.get_inheritable(descriptor)
    os.close(locks.hand_over(path))
    assert other_process(path) == 0


def test_a_file_system_without_locks_is_warned_of(tmp_path, monkeypatch, caplog):
    def no_locks(*_):
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(locks.fcntl, "flock", no_locks)
    path = tmp_path / ".lock"
    locks.hold(path)
    assert f"{tmp_path}: cannot be locked" in caplog.text
    os.close(locks.hand_over(path))
