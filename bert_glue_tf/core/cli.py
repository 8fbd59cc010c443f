"""The frame of every command: flags, --help, and a user's mistake told in one message."""

from __future__ import annotations

import contextlib
import difflib
import errno
import gc
import io
import os
import pathlib
import re
import shutil
import signal
import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import NoReturn

from absl import flags

from bert_glue_tf.core import help as help_text
from bert_glue_tf.core import layout, logs
from bert_glue_tf.core.errors import UserError

USER_ERROR = 2  # Exit status of a user's mistake; a defect of ours keeps Python's 1.
INTERRUPTED = 130  # As shells count SIGINT.
PIPE_CLOSED = 141  # As shells count SIGPIPE.
# Python looks for reference cycles after every 700 new objects. TensorFlow's import makes millions
# that stay: looking there takes a fifth of it (2.5 s of processor time instead of 2.1 s).
_COLLECTION = (100_000, 50, 50)
# ENOSPC, and EDQUOT where each user has a share of the disk.
_DISK_FULL = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))


def run(
    main: Callable[[], None], doc: str | None, goes_on: str | Callable[[], str] = ""
) -> NoReturn:
    """Parse the flags, run `main` and exit.

    Exit status: 0 when done, 2 on a user's mistake (one message, no traceback), 130 when
    interrupted, 141 when who reads the output has read enough.

    Args:
      main: of the command.
      doc: what it does, for --help.
      goes_on: where the same command, given again, goes on; empty where nothing is to be said.
        A function is asked when the command has ended; from it, empty is "starts again".
    """
    gc.set_threshold(*_COLLECTION)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # The name of a folder need not be UTF-8, and a terminal's encoding may be less.
        sys.stdout.reconfigure(errors="backslashreplace")
    if help_text.is_asked_for():
        try:
            print(help_text.text(doc, main), flush=True)
        except BrokenPipeError:  # `--help | head` has read enough.
            _discard_output()
        sys.exit(0)
    # As job schedulers send it; it ends a command as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _parse_flags()
        logs.show()
        main()
        sys.stdout.flush()  # Here, where a reader that has gone away is still told of.
    except flags.Error as error:
        _fail(f"{plain(error)}\nSee --help for the flags.")
    except UserError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        again = f" The same command {_again(goes_on)}." if goes_on else ""
        layout.say(f"\nInterrupted.{again}", sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        _end_unread(goes_on)
    except Exception as error:
        # TensorFlow reports a full disk under several exception types.
        if not any(text in str(error) for text in _DISK_FULL):
            raise
        again = f"; it {_again(goes_on)}" if goes_on else ""
        _fail(
            f"the disk is full. Make room and give the same command again{again}.\n"
            f"({textwrap.shorten(str(error), 160)})"
        )
    sys.exit(0)


def _parse_flags() -> None:
    """Read the command line.

    Raises:
      flags.Error: of absl, for a flag that is unknown or has a value that is none.
      UserError: something is no flag, or a file of flags is not UTF-8.
    """
    with _refusing_binary_flagfiles():
        rest = flags.FLAGS(sys.argv)
    if len(rest) > 1:
        raise UserError(f"{rest[1]!r}: no flag. Flags look like --task=cola; see --help.")


def _end_unread(goes_on: str | Callable[[], str]) -> NoReturn:
    """End the command whose output nobody reads any more; for `goes_on` see `run`."""
    _discard_output()
    if goes_on:  # The others have nothing left undone that is worth a word.
        with contextlib.suppress(OSError):  # `2>&1 | head`: nobody reads this either.
            layout.say(
                "\nThe reader of the output has ended, and so does this command. "
                f"Given again, it {_again(goes_on)}.",
                sys.stderr,
            )
    sys.exit(PIPE_CLOSED)


def path(flag: str, value: str) -> pathlib.Path:
    """Return the file or folder that a flag names, `~` replaced.

    Raises:
      UserError: it begins with the home folder of nobody, is an address of a store, or no path
        can be so.
    """
    if "://" in value:  # As a path, gs://bucket/runs would be a folder gs:/bucket/runs here.
        raise UserError(
            f"--{flag}={value}: an address, and no path of this machine. Good: a path on its disk "
            "or on one that it mounts; runs are carried to and from a store by --storage, where "
            "the command has that flag."
        )
    try:
        found = pathlib.Path(value).expanduser()
        os.path.lexists(os.fsencode(found))
    except (RuntimeError, ValueError):  # ValueError: a NUL, or what no file's name can hold.
        raise UserError(
            f"--{flag}={value!r}: no path, or there is no such home folder. Give the whole path."
        ) from None
    if "\0" in value:
        raise UserError(f"--{flag}={value!r}: no path: it holds the character 0.")
    return found


def _again(goes_on: str | Callable[[], str]) -> str:
    """Say what the same command does when it is given again."""
    where = goes_on if isinstance(goes_on, str) else goes_on()
    return f"goes on {where}" if where else "starts again"


@contextlib.contextmanager
def _refusing_binary_flagfiles() -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        named = " ".join(argument for argument in sys.argv[1:] if "flagfile" in argument)
        raise UserError(
            f"{named or '--flagfile'}: not UTF-8 text (the byte 0x{error.object[error.start]:02x} "
            f"at {error.start}). Good: a file with one flag a line; see configs/."
        ) from None


# Python's reasons for refusing a value, and what would be good.
_KINDS = {
    "invalid literal for int()": "a whole number",
    "could not convert string to float": "a number",
    "('Non-boolean argument": "true or false",
}


def plain(error: flags.Error) -> str:
    """Return absl's message in the words of this project."""
    text = str(error)
    if isinstance(error, flags.UnrecognizedFlagError):
        near = _nearest(error.flagname)
        return f"Unknown command line flag {error.flagname!r}" + (
            f". Did you mean --{near}?" if near else ""
        )
    if isinstance(error, flags.CantOpenFlagFileError):
        # ERROR:: Unable to open flagfile: [Errno 2] No such file or directory: 'a.flags'
        found = re.search(r"\[Errno \d+\] (.*?): '(.*)'$", text)
        if found:
            return (
                f"--flagfile={found[2]}: cannot be read ({found[1]}). Good: a file; see configs/."
            )
    for reason, kind in _KINDS.items():
        found = re.match(rf"flag --(\w+)=(.*?): {re.escape(reason)}", text, re.DOTALL)
        if found:
            return f"--{found[1]}={found[2]}: must be {kind}."
    return text


def _nearest(name: str) -> str:
    """Return the flag whose name is most like one that there is not; empty where none is."""
    known = help_text.names()
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return near[0] if near else next((one for one in known if one.startswith(name)), "")


def _discard_output() -> None:
    """Send standard output to nowhere: Python flushes it once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str) -> NoReturn:
    layout.say(f"error: {message}", sys.stderr)
    sys.exit(USER_ERROR)


def program() -> list[str]:
    """Return how the command was called: as a module, or as a script (bert-glue-train)."""
    called = pathlib.Path(sys.argv[0])
    if called.suffix == ".py":  # Of `python -m`; a console script has none.
        return ["python", "-m", f"bert_glue_tf.{called.stem}"]
    found = shutil.which(called.name)
    is_on_path = found is not None and os.path.realpath(found) == os.path.realpath(called)
    return [called.name if is_on_path else sys.argv[0]]
