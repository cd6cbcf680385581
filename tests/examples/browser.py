"""A headless Chromium, driven over a pipe by its DevTools protocol: no port is opened, and no library is needed.

Source of methods and events: chromedevtools.github.io/devtools-protocol. That messages go over file descriptors 3 and 4
and end with a zero byte is said in Chromium, content/browser/devtools/devtools_pipe_handler.cc.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from docs.pictures import BROWSERS

_PATIENCE_SECONDS = 30


def found() -> str | None:
    """Where Chromium is; none if it is not on the PATH."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


class Chromium:
    """One process. Each `visit` has cookies and a cache of its own."""

    def __init__(self, reads: int, writes: int) -> None:
        self._reads, self._writes = reads, writes
        self._rest = b""
        self._sent = 0
        self.events: deque[dict[str, Any]] = deque(maxlen=10_000)

    def call(self, method: str, session: str | None = None, **params: Any) -> Any:
        """Raises: AssertionError with what the browser says; TimeoutError."""
        self._sent += 1
        message = {"id": self._sent, "method": method, "params": params}
        os.write(self._writes, json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._sent:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self.events.append(answer)

    def wait(self, method: str, session: str) -> dict[str, Any]:
        """The next event of that kind which nobody has waited for. Raises: TimeoutError."""
        while True:
            for number, event in enumerate(self.events):
                if event.get("method") == method and event.get("sessionId") == session:
                    del self.events[number]
                    return event["params"]  # type: ignore[no-any-return]
            self.events.append(self._next())

    def _next(self) -> dict[str, Any]:
        until = time.monotonic() + _PATIENCE_SECONDS
        while b"\0" not in self._rest:
            if not select.select([self._reads], [], [], max(0, until - time.monotonic()))[0]:
                raise TimeoutError("Chromium says nothing")
            read = os.read(self._reads, 1 << 20)
            assert read, "Chromium has ended"
            self._rest += read
        message, _, self._rest = self._rest.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer

    @contextmanager
    def visit(self, origin: str, cookies: Mapping[str, str], language: str, width: int = 1100) -> Iterator[Tab]:
        """A window of a browser that has these cookies, and whose user reads that language."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = Tab(self, session, context)
        for domain in ("Page", "Runtime", "Log", "Network"):
            tab.call(f"{domain}.enable")
        tab.call("Network.setExtraHTTPHeaders", headers={"Accept-Language": language})
        tab.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        for name, value in cookies.items():
            tab.call("Network.setCookie", url=origin, name=name, value=value)
        try:
            yield tab
        finally:
            self.call("Target.disposeBrowserContext", browserContextId=context)


class Tab:
    """A page in it."""

    def __init__(self, browser: Chromium, session: str, context: str) -> None:
        self._browser = browser
        self._session = session
        self._context = context

    def call(self, method: str, **params: Any) -> Any:
        return self._browser.call(method, self._session, **params)

    def go(self, url: str) -> None:
        with self.loading():
            assert "errorText" not in self.call("Page.navigate", url=url)

    @contextmanager
    def loading(self) -> Iterator[None]:
        """What is done within leads to a page; afterwards, it is there."""
        while self._is_waiting("Page.loadEventFired"):
            self._browser.wait("Page.loadEventFired", self._session)
        yield
        self._browser.wait("Page.loadEventFired", self._session)

    def _is_waiting(self, method: str) -> bool:
        events = self._browser.events
        return any(each.get("method") == method and each.get("sessionId") == self._session for each in events)

    def run(self, script: str) -> Any:
        """What the script comes to, as JSON; of a promise, what that does. Raises: AssertionError if it throws."""
        said = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True)
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    def until(self, script: str) -> None:
        """Until it is true, looked at whenever the page changes."""
        self.run(
            f"""new Promise((done, late) => {{
                const holds = () => {script};
                if (holds()) return done();
                new MutationObserver((_, observer) => holds() && (observer.disconnect(), done())).observe(
                    document, {{subtree: true, childList: true, attributes: true, characterData: true}});
                setTimeout(() => late(new Error("not within 20 s: " + document.body.innerText)), 20000);
            }})"""
        )

    def click(self, selector: str) -> None:
        """With the mouse, in the middle of the only element of that kind."""
        at = self.run(
            f"""(() => {{
                const found = document.querySelectorAll({json.dumps(selector)});
                if (found.length !== 1) throw new Error(found.length + " of " + {json.dumps(selector)});
                found[0].scrollIntoView({{block: "center"}});
                const box = found[0].getBoundingClientRect();
                return [box.x + box.width / 2, box.y + box.height / 2];
            }})()"""
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=at[0], y=at[1], button="left", clickCount=1)

    def choose_files(self, selector: str, files: Sequence[Path]) -> None:
        found = self.call("Runtime.evaluate", expression=f"document.querySelector({json.dumps(selector)})")
        self.call("DOM.setFileInputFiles", files=[str(each) for each in files], objectId=found["result"]["objectId"])

    @property
    def texts(self) -> list[str]:
        """Names in the table, as they are seen."""
        listed: list[str] = self.run("[...document.querySelectorAll('tbody th')].map((each) => each.innerText)")
        return listed

    def complaints(self) -> list[str]:
        """Of the page's console and of the Content Security Policy."""
        self.run("0")  # what was said before has arrived then
        said = [
            each["params"]
            for each in self._browser.events
            if each.get("sessionId") == self._session
            and (each.get("method") in {"Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"})
        ]
        return [json.dumps(each) for each in said]

    @property
    def other_tabs(self) -> int:
        """How many were opened from here."""
        targets = self._browser.call("Target.getTargets")["targetInfos"]
        own = [each for each in targets if each.get("browserContextId") == self._context and each["type"] == "page"]
        return len(own) - 1

    def photograph(self, path: Path) -> None:
        """The whole page, as PNG."""
        picture = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(picture["data"]))


@contextmanager
def chromium(path: str) -> Iterator[Chromium]:
    """Runs until the block is left. It reaches nothing but loopback."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        arguments = [
            path,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
            "--hide-scrollbars",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
            "about:blank",
        ]
        (its_in, our_out), (our_in, its_out) = _high(os.pipe()), _high(os.pipe())
        silent = os.open(os.devnull, os.O_RDWR)
        passed = [
            (os.POSIX_SPAWN_DUP2, silent, 1),
            (os.POSIX_SPAWN_DUP2, silent, 2),
            (os.POSIX_SPAWN_DUP2, its_in, 3),
            (os.POSIX_SPAWN_DUP2, its_out, 4),
        ]
        process = os.posix_spawn(path, arguments, os.environ, file_actions=passed, setpgroup=0)
        for each in (its_in, its_out, silent):
            os.close(each)
        browser = Chromium(our_in, our_out)
        try:
            yield browser
        finally:
            # Its children are in its group, and its profile is to be deleted.
            os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)
            os.close(our_in)
            os.close(our_out)


def _high(pipe: tuple[int, int]) -> tuple[int, int]:
    """The same pipe, out of the way of the descriptors that Chromium wants, and not inherited."""
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in pipe)
    for end in pipe:
        os.close(end)
    return high[0], high[1]
