"""Files that commands write: whole or not at all, or standard output."""

from __future__ import annotations

import sys
from pathlib import Path

from mapreduce.errors import UsageError


def write_whole(name: str, content: bytes) -> None:
    """Write a file that appears only when it is whole; `-` is standard output. Raises UsageError."""
    if name == "-":
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    path = Path(name)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        raise UsageError(f"{name} cannot be written: {error.strerror or error}") from None
    finally:
        temporary.unlink(missing_ok=True)
