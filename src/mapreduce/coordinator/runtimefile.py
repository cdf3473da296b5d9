"""Notes that a user's running coordinators leave, so that the same user's commands find URL, folder and token.

One small file a coordinator, in `$XDG_RUNTIME_DIR/mapreduce` or, without one, `~/.cache/mapreduce`. They hold no
secret: the token stays in the state folder, which they name. A note whose process has gone is ignored, and removed
when seen.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

import msgspec

from mapreduce.coordinator.statefiles import read_endpoint, replace_file
from mapreduce.typed import from_json


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """Where one coordinator of this user is."""

    url: str
    folder: str
    pid: int


def notes_folder() -> Path:
    """The folder of this user's notes; it need not exist."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime and Path(runtime).is_dir():
        return Path(runtime) / "mapreduce"
    cache = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(cache) if cache else Path.home() / ".cache") / "mapreduce"


def leave_note(note: Note) -> Path:
    """Write the note of a coordinator that now listens; returns its file."""
    folder = notes_folder()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"coordinator-{hashlib.sha256(note.folder.encode()).hexdigest()[:16]}.json"
    replace_file(path, msgspec.json.encode(note) + b"\n", mode=0o600)
    return path


def read_notes() -> list[Note]:
    """The notes of all coordinators of this user that still run."""
    found: list[Note] = []
    try:
        paths = sorted(notes_folder().glob("coordinator-*.json"))
    except OSError:
        return found
    for path in paths:
        try:
            note = from_json(path.read_bytes(), Note)
        except (OSError, msgspec.DecodeError):
            continue
        endpoint = read_endpoint(Path(note.folder))
        if endpoint is not None and endpoint.pid == note.pid and _is_alive(note.pid):
            found.append(note)
        else:
            with contextlib.suppress(OSError):
                path.unlink()
    return found


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
