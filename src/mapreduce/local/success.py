"""Reading `_SUCCESS`: what a finished output folder says of itself. The coordinator writes it, last of all."""

from __future__ import annotations

from pathlib import Path

import msgspec

from mapreduce.errors import UsageError
from mapreduce.local.paths import SUCCESS_NAME, typed_folder
from mapreduce.typed import from_json


class PartFacts(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One output file."""

    bytes: int = 0
    records: int = 0
    key_type: str = ""
    """The one type of all its keys, "mixed", or "" when unknown or without records."""
    sorted: bool = False
    xxh3: str = ""
    """Digest of its bytes, in hex; "" when unknown."""


class OutputFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The whole output."""

    bytes: int = 0
    records: int = 0
    format: str = "text"


class Success(msgspec.Struct, frozen=True, kw_only=True):
    """Those fields of `_SUCCESS` that reading the output needs; all others are ignored."""

    name: str = ""
    output: OutputFacts = OutputFacts()
    parts: dict[str, PartFacts] = {}
    """By name, in order of partition."""
    warnings: dict[str, int] = {}
    counters: dict[str, int] = {}


def read_success(path: Path) -> Success | None:
    """The content of `_SUCCESS`, or None when there is none that can be read."""
    try:
        return from_json(path.read_bytes(), Success)
    except (OSError, ValueError):  # msgspec.DecodeError, and UnicodeDecodeError for bytes that are no text
        return None


def no_result(folder: Path) -> UsageError:
    """What to raise where a result was asked for and there is none."""
    problem = f"{folder} holds no finished result"
    if not folder.is_dir():
        return UsageError(f"{problem}: there is no such folder; name the one that was given as -o")
    return UsageError(
        f"{problem} (no {SUCCESS_NAME} that can be read); `mr why {typed_folder(folder)}` says how far it is"
    )
