"""A headless Chromium that tests look at pages with, spoken to over its DevTools pipe."""

from __future__ import annotations

import base64
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from typing import Any, Self

_START = pathlib.Path(__file__).parents[1] / "programs" / "with_pipe.py"
NAMES = ("chromium", "chromium-browser", "google-chrome")
_SECONDS = "300"  # After which a Chromium that hangs is ended.


def find() -> str | None:
    """Return the path of an installed Chromium; None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page in a Chromium of its own. Use it in a `with` statement."""

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        commands, self._write = os.pipe()
        self._read, answers = os.pipe()
        self._process = subprocess.Popen(
            [
                *(sys.executable, str(_START), str(commands), str(answers)),
                *(
                    "timeout",
                    _SECONDS,
                    str(find()),
                    "--headless=new",
                    "--no-sandbox",
                    "--disable-gpu",
                ),
                *("--hide-scrollbars", "--remote-debugging-pipe"),
                *(f"--user-data-dir={self._folder.name}", "about:blank"),
            ],
            pass_fds=(commands, answers),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        self._received = b""
        self._number = 0
        self._session = ""
        targets = self._do("Target.getTargets")["targetInfos"]
        page = next(one["targetId"] for one in targets if one["type"] == "page")
        attached = self._do("Target.attachToTarget", targetId=page, flatten=True)
        self._session = attached["sessionId"]
        self._do("Page.enable")
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.terminate()
        self._process.wait()
        os.close(self._write)
        os.close(self._read)
        self._folder.cleanup()

    def open(
        self, page: pathlib.Path | str, width: int, *, is_dark: bool = False, media: str = "screen"
    ) -> None:
        """Show a page in a window of so many CSS pixels, with its folds open or closed as it is.

        Args:
            page: a file, or an address.
            width: of the window.
            is_dark: whether the reader prefers a dark scheme.
            media: "screen" or "print".
        """
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        self._do("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self._do(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        address = page if isinstance(page, str) else page.resolve().as_uri()
        self._do("Page.navigate", url=address)
        self.evaluate(
            "document.readyState == 'complete' || new Promise(done => onload = () => done(true))"
        )

    def before_each_page(self, script: str) -> None:
        """Run JavaScript in every page that is opened from now on, before the page's own."""
        self._do("Page.addScriptToEvaluateOnNewDocument", source=script)

    def evaluate(self, script: str) -> Any:
        """Return the value of a JavaScript expression, in JSON types."""
        answer = self._do(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def type(self, text: str) -> None:
        """Type a text where the cursor is."""
        self._do("Input.insertText", text=text)

    def press(self, key: str) -> None:
        """Press and release a key, as `KeyboardEvent.key` names it."""
        codes = {"Tab": 9}
        for event in ("rawKeyDown", "keyUp"):
            self._do(
                "Input.dispatchKeyEvent",
                type=event,
                key=key,
                code=key,
                windowsVirtualKeyCode=codes[key],
            )

    def screenshot(self, path: pathlib.Path, *, height: int | None = None) -> None:
        """Write the page, or its upper part, as PNG."""
        size = self._do("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": height or size["height"]}
        answer = self._do(
            "Page.captureScreenshot", clip={**clip, "scale": 1}, captureBeyondViewport=True
        )
        path.write_bytes(base64.b64decode(answer["data"]))

    def print(self, path: pathlib.Path) -> None:
        """Write the page as PDF, on the paper that its style asks for."""
        answer = self._do("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        path.write_bytes(base64.b64decode(answer["data"]))

    def _do(self, method: str, **values: Any) -> dict[str, Any]:
        """Send a command and return its result; events that come in between are passed over."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": values}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self._received:
                part = os.read(self._read, 1 << 20)
                assert part, "Chromium ended"
                self._received += part
            line, self._received = self._received.split(b"\0", 1)
            answer = json.loads(line)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return dict(answer["result"])
