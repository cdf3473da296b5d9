"""The commands of the documentation, as a reader would run them: found, run in order, compared with what is shown.

A block of shell commands has a comment on the line before it: `<!-- test: local -->` (run in a folder of its own),
`<!-- test: cluster -->` (run against a cluster), `<!-- test: local, cluster -->` (a preparation that both need) or
`<!-- test: no: REASON -->`; `, exit N` names another exit code than 0. `<!-- file: NAME -->` writes the block after it
to a file, `<!-- output -->` says that the block after it shows the output of the commands above.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.support.tree import ROOT

SHELL: Final = frozenset({"sh", "bash", "shell", "console"})
READERS_HOME: Final = "/home/you"
"""What pages write for the folder in which they are read."""
_MARKER: Final = re.compile(r"<!-- (?P<words>.*) -->$")
_TEST: Final = re.compile(
    r"test: (?:no: (?P<reason>\S.*)|(?P<kinds>local|cluster|local, cluster)(?:, exit (?P<code>\d+))?)$"
)
_VARYING: Final = re.compile(r"\b(?=[0-9a-z]*\d)[0-9a-z]{5,10}\b|\d[\d.,]*")
_WITHIN_S: Final = 240.0


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block of a page."""

    line: int
    language: str
    text: str
    marker: str
    """The words of the comment on the line before it; empty for none."""

    @property
    def is_shell(self) -> bool:
        """Whether these are commands."""
        return self.language in SHELL

    @property
    def is_marked(self) -> bool:
        """Whether the page says how it is tested."""
        return _TEST.match(self.marker) is not None

    @property
    def kinds(self) -> frozenset[str]:
        """Where its commands are run: `local`, `cluster`."""
        found = _TEST.match(self.marker) if self.is_shell else None
        return frozenset((found["kinds"] or "").split(", ")) - {""} if found else frozenset()

    @property
    def exit_code(self) -> int:
        """The exit code that its commands should end with."""
        found = _TEST.match(self.marker)
        return int(found["code"] or 0) if found else 0


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    found: list[Block] = []
    before, fence, body, began = "", "", list[str](), 0
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if fence and line.strip() == "```":
            marker = _MARKER.match(before)
            found.append(
                Block(began, fence.removeprefix("```"), "\n".join(body) + "\n", marker["words"] if marker else "")
            )
            before, fence, body = "", "", []
        elif fence:
            body.append(line)
        elif line.startswith("```"):
            fence, began = line.strip() or "```", number
            fence = fence if fence != "```" else "```text"
        elif line.strip():
            before = line.strip()
    return found


def has_commands(page: Path, kind: str) -> bool:
    """Whether a page has commands of that kind that are not only preparations."""
    return any(block.kinds == {kind} for block in blocks(page))


@dataclass(slots=True)
class Reader:
    """Somebody who follows one page, block by block, in one folder."""

    folder: Path
    programs: tuple[Path, ...] = ()
    """Folders with programs, before those of the system."""
    environment: dict[str, str] = field(default_factory=dict)
    _said: str = ""
    _groups: list[int] = field(default_factory=list)

    def follow(self, page: Path, kind: str) -> None:
        """Run everything of one kind; fails at the first command that does not do what the page says."""
        shutil.copytree(ROOT / "examples", self.folder / "examples")
        (self.folder / "charts").symlink_to(ROOT / "charts")
        (self.folder / ".cwd").write_text(f"{self.folder}\n")
        try:
            for block in blocks(page):
                self._take(page, block, kind)
        finally:
            self._end()

    def _take(self, page: Path, block: Block, kind: str) -> None:
        place = f"{page.relative_to(ROOT)}:{block.line}"
        if block.marker.startswith("file: "):
            path = self._here() / block.marker.removeprefix("file: ")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif kind in block.kinds:
            code = self._run(block.text)
            assert code == block.exit_code, (
                f"{place}: exit code {code}, not {block.exit_code}\n{block.text}\n{self._said}"
            )
        elif block.is_shell:
            self._said = ""
        elif block.marker == "output" and self._said:
            missing = missing_lines(block.text, self._said.replace(str(self.folder), READERS_HOME))
            assert not missing, f"{place}: not said, in this order:\n{missing}\nbut:\n{self._said}"

    def _here(self) -> Path:
        return Path((self.folder / ".cwd").read_text(encoding="utf-8").strip())

    def _run(self, commands: str) -> int:
        log = self.folder / ".output"
        script = f"{commands}\npwd > {self.folder}/.cwd\n"
        path = os.pathsep.join([*map(str, self.programs), str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = {"PATH": path, "HOME": str(self.folder), "LANG": "C.UTF-8", "COLUMNS": "120", **self.environment}
        with log.open("wb") as out:
            process = subprocess.Popen(
                ["bash", "-e", "-o", "pipefail", "-c", script],
                cwd=self._here(),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._groups.append(process.pid)
            try:
                code = process.wait(_WITHIN_S)
            except subprocess.TimeoutExpired:
                code = -1
        self._said = log.read_text(encoding="utf-8", errors="replace")
        return code

    def _end(self) -> None:
        """What a page leaves running in the background ends with it."""
        for group in self._groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)


def missing_lines(shown: str, said: str) -> str:
    """Lines that a page shows and that were not said, in order; numbers and generated names may differ."""
    said_lines = iter([_plain(line) for line in said.splitlines()])
    return "\n".join(
        line for line in shown.splitlines() if _plain(line) not in {"", "..."} and _plain(line) not in said_lines
    )


def _plain(line: str) -> str:
    return " ".join(_VARYING.sub("#", line).split())
