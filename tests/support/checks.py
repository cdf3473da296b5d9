"""A job's code tried by `mr check` in this process: the command, its exit code, and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

from mapreduce_cli.commands.check import command

TEXT = "".join(f"{word} and the {word} of line {index}\n" for index in range(40) for word in ("sea", "boat", "net"))


@dataclass(frozen=True)
class Checked:
    exit_code: int
    said: str


@dataclass(frozen=True)
class Checks:
    """Writes code into a folder and checks it on a text."""

    folder: Path

    def __call__(self, code: str, *options: str, text: str | None = TEXT) -> Checked:
        file = self.folder / "job.py"
        file.write_text(code)
        arguments = [str(file)]
        if text is not None:
            (self.folder / "text.txt").write_text(text)
            arguments.append(str(self.folder / "text.txt"))
        done = CliRunner().invoke(command, [*arguments, *options], standalone_mode=False)
        if done.exception is not None:
            raise done.exception
        return Checked(done.return_value, done.output)
