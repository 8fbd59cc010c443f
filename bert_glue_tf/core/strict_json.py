"""JSON from a file that anyone may have written: wrong in any way, it is a ValueError."""

from __future__ import annotations

import json
from typing import Any


def loads(text: str | bytes) -> Any:
    """Return the value that a text of JSON holds, as `json.loads`.

    Raises:
      ValueError: it is no JSON, it is nested so deep that Python's reader gives up (a
        RecursionError of its own), or a string in it holds half of a surrogate pair, which
        no file and no terminal can take.
    """
    try:
        value = json.loads(text)
        # Only an escape can bring in a surrogate: UTF-8 cannot hold one.
        if (b"\\u" if isinstance(text, bytes) else "\\u") in text:  # type: ignore[operator]
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested too deep") from None
    except UnicodeEncodeError:
        raise ValueError("a string in it holds half of a surrogate pair") from None
    return value
