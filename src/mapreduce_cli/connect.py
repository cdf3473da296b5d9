"""Finding the coordinator that a command talks to: by state folder, by URL and token file, or by what runs here.

In this order: `--dir`; `--coordinator` with `--token-file` or `MR_TOKEN_FILE`, or with the token of a coordinator of
this user that listens there; the one coordinator of this user that runs. A token never comes from the command line.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from mapreduce.coordinator.runtimefile import read_notes
from mapreduce.errors import Unreachable, UsageError
from mapreduce.protocol.client import CoordinatorClient, FolderEndpoint, TokenFileEndpoint
from mapreduce.protocol.connection import DEADLINE_S
from mapreduce.protocol.endpoint import Endpoint

_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Address:
    """What the command line says about the coordinator."""

    folder: Path | None = None
    url: str | None = None
    token_file: Path | None = None

    @property
    def options(self) -> str:
        """The same as options, with a space before each, for commands that messages tell people to type."""
        given = (("--dir", self.folder), ("--coordinator", self.url), ("--token-file", self.token_file))
        return "".join(f" {option} {shlex.quote(str(value))}" for option, value in given if value is not None)


@dataclass(frozen=True, slots=True)
class Found:
    """The coordinator to talk to: `folder` when its state folder is on this machine, else `url` and `token_file`."""

    folder: Path | None = None
    url: str = ""
    token_file: Path | None = None

    @property
    def endpoint(self) -> Endpoint:
        """Address and token for calls."""
        if self.folder is not None:
            return FolderEndpoint(self.folder)
        assert self.token_file is not None, "find() gives a folder or a token file"
        return TokenFileEndpoint(self.url, self.token_file)

    def client(self, *, deadline_s: float = DEADLINE_S) -> CoordinatorClient:
        """A client for it; nothing is sent yet."""
        return CoordinatorClient(self.endpoint, deadline_s=deadline_s)


def coordinator_options(command: _Command) -> _Command:
    """Options `--dir`, `--coordinator`, `--token-file`; the command receives them as one `Address` named `address`."""

    def collect(**values: Any) -> Any:
        address = Address(values.pop("dir_"), values.pop("coordinator"), values.pop("token_file"))
        return command(address=address, **values)

    collect.__name__, collect.__doc__ = command.__name__, command.__doc__
    decorated: Any = collect
    decorated.__click_params__ = list(getattr(command, "__click_params__", []))
    path = click.Path(path_type=Path)
    for option in (
        click.option("--token-file", type=path, envvar="MR_TOKEN_FILE", help="File with the token.  [$MR_TOKEN_FILE]"),
        click.option("--coordinator", metavar="URL", help="The coordinator's URL."),
        click.option(
            "--dir", "dir_", type=path, metavar="FOLDER", help="State folder of a coordinator of this machine."
        ),
    ):
        decorated = option(decorated)
    return cast("_Command", decorated)


def find(address: Address) -> Found:
    """The coordinator that `address` means. Raises UsageError when that is open, Unreachable when none is known."""
    if address.folder is not None:
        if not address.folder.is_dir():
            raise UsageError(
                f"--dir {address.folder}: there is no such folder; start `mr coordinator --dir` there first"
            )
        return Found(folder=address.folder.resolve())
    notes = read_notes()
    if address.url is None:
        if not notes:
            raise Unreachable(
                "no coordinator of yours runs here; start one with `mr coordinator --dir state/`, "
                "or give --dir or --coordinator"
            )
        if len(notes) > 1:
            listed = ", ".join(f"{note.url} ({note.folder})" for note in notes)
            raise UsageError(f"{len(notes)} coordinators of yours run here; choose one with --coordinator: {listed}")
        return Found(folder=Path(notes[0].folder))
    if address.token_file is not None:
        return Found(url=address.url, token_file=address.token_file)
    for note in notes:
        if _is_same(note.url, address.url):
            return Found(folder=Path(note.folder))
    raise UsageError(f"no token is known for {address.url}; name its file with --token-file or MR_TOKEN_FILE")


def find_job(client: CoordinatorClient, name: str) -> int:
    """The id of the job that a person names by id or by name (the latest of that name). Raises UsageError."""
    if name.isdecimal():
        return int(name)
    jobs = [job.job for job in client.statuses().jobs if job.name == name]
    if not jobs:
        raise UsageError(f"the coordinator at {client.address()} has no job named {name!r}; `mr ls` lists them")
    return jobs[-1]


def _is_same(one: str, other: str) -> bool:
    return one.rstrip("/").replace("//localhost:", "//127.0.0.1:") == other.rstrip("/").replace(
        "//localhost:", "//127.0.0.1:"
    )
