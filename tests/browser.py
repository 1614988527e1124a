"""Chromium without a window, driven through two pipes by its own protocol; nothing but it is needed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

__all__ = ["Browser", "find_chromium"]

_SECONDS = 60
_TELLS_PROBLEMS = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")


def find_chromium() -> str | None:
    """Where the program is, if anywhere."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return next(filter(None, map(shutil.which, names)), None)


class Browser:
    """One page of a browser, with what went wrong on it and what it asked for."""

    def __init__(self, program: str, folder: Path) -> None:
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
        options += ["--remote-debugging-pipe", f"--user-data-dir={folder}"]
        # The browser reads from descriptor 3 and writes to 4.
        start = "import fcntl, os, sys; "
        start += (
            f"ends = [fcntl.fcntl(each, fcntl.F_DUPFD, 10) for each in ({to_browser}, {from_browser})]; "
        )
        start += "os.dup2(ends[0], 3); os.dup2(ends[1], 4); os.execv(sys.argv[1], sys.argv[1:])"
        with open(folder.with_suffix(".log"), "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", start, program, *options],
                pass_fds=(to_browser, from_browser),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        os.close(to_browser)
        os.close(from_browser)
        self._buffer, self._number = b"", 0
        self._session: str | None = None
        self.problems: list[str] = []
        self.requests: list[str] = []

    def open_tab(self) -> None:
        """Opens the page that all else is about."""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Runtime", "Log", "Page", "Network"):
            self.send(f"{domain}.enable")
        size = {"width": 1000, "height": 700, "deviceScaleFactor": 1, "mobile": False}
        self.send("Emulation.setDeviceMetricsOverride", **size)

    def close(self) -> None:
        """Ends the program."""
        self._process.kill()
        self._process.wait()
        os.close(self._write)
        os.close(self._read)

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Calls a method of the protocol; what happens meanwhile is noted."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            self._note(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def evaluate(self, expression: str) -> Any:
        """The value of an expression of JavaScript on the page."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def open(self, url: str, *, until: str) -> None:
        """Goes to a page and waits until an expression is true there."""
        self.send("Page.navigate", url=url)
        end = time.monotonic() + _SECONDS
        while not self.evaluate(f"document.readyState === 'complete' && !!({until})"):
            assert time.monotonic() < end, f"{until} is not true after {_SECONDS} s; {self.problems}"
            time.sleep(0.05)

    def press(self, key: str) -> None:
        """Presses a key and lets it go."""
        text = {"text": key} if len(key) == 1 else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=key)

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """Sends a mousePressed, mouseMoved, mouseReleased or mouseWheel, in pixels of the page."""
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drags by the left button."""
        button: dict[str, Any] = {"button": "left", "buttons": 1, "clickCount": 1}
        self.mouse("mousePressed", *start, **button)
        self.mouse("mouseMoved", *end, **button)
        self.mouse("mouseReleased", *end, **button)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            block = os.read(self._read, 1 << 20)
            assert block, "the browser has ended"
            self._buffer += block
        message, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(message)

    def _note(self, event: dict[str, Any]) -> None:
        method, values = event.get("method"), event.get("params", {})
        entry = values.get("entry", values)  # warnings are about the tests' own reading of pixels
        is_error = method == "Runtime.exceptionThrown" or "error" in (entry.get("level"), entry.get("type"))
        if is_error and method in _TELLS_PROBLEMS:
            self.problems.append(json.dumps(values))
        elif method == "Network.requestWillBeSent":
            self.requests.append(values["request"]["url"])
