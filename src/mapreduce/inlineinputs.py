"""Inputs whose text stands in the specification, as files: written below a folder, and named in the specification.

A file is named by its content and has no time, so that writing it again changes nothing.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec

from mapreduce.model import JobSpec
from mapreduce.wal.files import make_folder, sync_folder


def with_files(spec: JobSpec, folder: Path) -> JobSpec:
    """Write each inline input below `folder`; the specification that names the files instead."""
    inputs = tuple(
        source
        if source.inline is None
        else msgspec.structs.replace(source, inline=None, uri=str(_written(source.inline, folder)))
        for source in spec.inputs
    )
    return msgspec.structs.replace(spec, inputs=inputs)


def content_name(text: str) -> str:
    """The name of the file that holds this text."""
    return f"inline-{hashlib.sha256(_content(text)).hexdigest()[:16]}.txt"


def size_bytes(text: str) -> int:
    """Its size."""
    return len(_content(text))


def keep_copy(source: Path, folder: Path) -> Path:
    """Copy the files in `source` that have a listed name into `folder`, which is made anew; returns it.

    For files whose times or whole existence belong to somebody else, as those of a ConfigMap do.
    """
    make_folder(folder)
    for path in sorted(source.iterdir()):
        if path.is_file() and not path.name.startswith((".", "_")):
            _write(folder / path.name, path.read_bytes())
    return folder


def _written(text: str, folder: Path) -> Path:
    path = folder / content_name(text)
    make_folder(folder)
    _write(path, _content(text))
    return path


def _content(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.utime(file.fileno(), ns=(0, 0))
        os.fsync(file.fileno())
    temporary.rename(path)
    sync_folder(path.parent)  # a plan that names it is kept, so it must be too
