"""A real browser for tests of the page: Debian's chromium, driven by playwright-core through a small script for node.

What is missing makes the tests skip with the reason. playwright-core is installed once into a cache folder outside the
checkout; nothing else of npm is used.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SUPPORT = Path(__file__).parent / "browser"
PROGRAMS = ("chromium", "node", "npm")


class NoBrowser(Exception):
    """What a browser needs is not on this machine; the message says what."""


class Browser:
    """One headless browser with one page open at a time."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def _do(self, name: str, **parameters: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"name": name, **parameters}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the browser's driver has ended"
        answer = json.loads(line)
        assert "error" not in answer, f"{name} {parameters}: {answer['error']}"
        return answer["value"]

    def open(self, url: str, **options: object) -> None:
        """Open an address in a fresh profile; `scheme` is light or dark, `width`, `height`, `scale` the screen."""
        self._do("open", url=url, **options)

    def evaluate(self, code: str) -> Any:
        """What an expression gives in the page."""
        return self._do("evaluate", code=code)

    def wait_for(self, code: str, *, seconds: float = 60.0) -> None:
        """Wait until an expression is true in the page."""
        self._do("wait", code=code, seconds=seconds)

    def text(self, selector: str) -> str:
        """The visible text of an element."""
        return str(self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText"))

    def press(self, *keys: str) -> None:
        self._do("press", keys=keys)

    def click(self, selector: str) -> None:
        self._do("click", selector=selector)

    def fill(self, selector: str, text: str) -> None:
        self._do("fill", selector=selector, text=text)

    def reload(self) -> None:
        self._do("reload")

    def picture(self, path: Path, *, is_whole: bool = False, selector: str = "") -> None:
        """Save what is seen as PNG."""
        self._do("picture", path=str(path), whole=is_whole, selector=selector)

    def network(self) -> dict[str, list[str]]:
        """`asked`: requests so far; `strangers`: those to other hosts; `said`: errors on the console."""
        found: dict[str, list[str]] = self._do("network")
        return found


@contextmanager
def browsing() -> Iterator[Browser]:
    """A browser for a block. Raises NoBrowser."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        raise NoBrowser(f"not installed: {', '.join(missing)}")
    environment = {
        **os.environ,
        "MR_BROWSER_MODULES": str(_modules()),
        "MR_BROWSER": str(shutil.which("chromium")),
    }
    process = subprocess.Popen(
        ["node", str(SUPPORT / "drive.mjs")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        yield Browser(process)
    finally:
        process.communicate(timeout=60)


def _modules() -> Path:
    """The folder that holds playwright-core, which is installed there if it is not yet."""
    given = os.environ.get("MR_BROWSER_MODULES")
    if given:
        return Path(given)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mapreduce-operator" / "browser"
    cache.mkdir(parents=True, exist_ok=True)
    wanted = (SUPPORT / "package.json").read_bytes()
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        package = cache / "package.json"
        is_there = (cache / "node_modules" / "playwright-core" / "package.json").is_file()
        if not is_there or not package.is_file() or package.read_bytes() != wanted:
            package.write_bytes(wanted)
            options = ("--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--silent")
            done = subprocess.run(
                ["npm", "install", *options, "--prefix", str(cache)],
                capture_output=True,
                text=True,
                check=False,
                timeout=240,
            )
            if done.returncode:
                package.unlink()
                raise NoBrowser(
                    f"npm could not install playwright-core: {done.stderr.strip()[-300:] or done.returncode}"
                )
    return cache / "node_modules"
