"""Names of everything that `mr run` keeps in an output folder. Names only: no file is opened here."""

from __future__ import annotations

import re
import shlex
import string
from pathlib import Path
from typing import Final

import msgspec

STATE_NAME: Final = "_mapreduce"
SUCCESS_NAME: Final = "_SUCCESS"
OWNER_NAME: Final = "owner.json"
INPUTS_NAME: Final = "inputs.json"


def typed_folder(folder: Path | str) -> str:
    """How a command line names the folder: quoted for a shell, and told from an option and from a job's number."""
    name = str(folder)
    return shlex.quote(f"./{name}" if name.isdecimal() or name.startswith("-") else name)


class OutputPaths(msgspec.Struct, frozen=True):
    """The folder that the user named, and what lies in it."""

    folder: Path

    @property
    def success(self) -> Path:
        """Written last; its presence means that the result is whole."""
        return self.folder / SUCCESS_NAME

    @property
    def state(self) -> Path:
        """State folder of the run's own coordinator."""
        return self.folder / STATE_NAME

    @property
    def owner(self) -> Path:
        """Whose result this is, and what it was made from."""
        return self.state / OWNER_NAME

    @property
    def inputs(self) -> Path:
        """The list of input files as it was when the run began, to say which of them changed."""
        return self.state / INPUTS_NAME

    @property
    def attempts(self) -> Path:
        """Output files of attempts, before they are published."""
        return self.state / "attempts"

    @property
    def scratch(self) -> Path:
        """What workers keep for themselves while they run."""
        return self.state / "scratch"

    @property
    def transient(self) -> tuple[Path, ...]:
        """Folders that belong to the worker processes and say nothing about the job; any run may remove them."""
        return (self.scratch, self.workers)

    @property
    def jobs(self) -> Path:
        """What the coordinator keeps of its jobs, a folder each."""
        return self.state / "jobs"

    @property
    def workers(self) -> Path:
        """What the worker processes themselves (not the user's code) print."""
        return self.state / "workers"


def part_pattern(name_template: str) -> re.Pattern[str]:
    """Pattern of the names that `name_template` can make."""
    pieces: list[str] = []
    for literal, field, _format, _conversion in string.Formatter().parse(name_template):
        pieces.append(re.escape(literal))
        if field is not None:
            pieces.append(r"[0-9a-fA-FxobXOB ]+")
    return re.compile("".join(pieces))
