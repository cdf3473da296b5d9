"""A job's code as one content-addressed zip: made from files, opened safely into a folder, loaded from there.

Layout: `bundle.json` (format, and either the job's file or a module's name), `job/<file>`, `lib/...` for what
--py-files names. The same code always gives the same bytes: sorted names, no times, no compression (whose result
depends on the zlib at hand). Importing is `loading`.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import stat
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec

from mapreduce.errors import InvalidUserCode
from mapreduce.loading import CodeSource, load_code
from mapreduce.model import MIB, Code, JobSpec
from mapreduce.typed import from_json
from mapreduce.userjob import UserJob, resolve_job

MAX_BUNDLE_BYTES: Final = 16 * MIB
MAX_BUNDLE_FILES: Final = 5_000
_FORMAT: Final = 1
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_SKIPPED_SUFFIXES: Final = (".pyc", ".pyo")
_OWN_PACKAGES: Final = frozenset(
    {
        "mapreduce",
        "mapreduce_cli",
        "mapreduce_worker",
        "aiohttp",
        "backports",
        "click",
        "msgspec",
        "rich",
        "xxhash",
        "yaml",
    }
)


class _Index(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`bundle.json`."""

    format: int
    file: str = ""
    module: str = ""


class Bundle(msgspec.Struct, frozen=True):
    """A zip of code and the sha256 (hex) that it goes by."""

    data: bytes
    sha256: str


def make_bundle(code: Code, *, base: Path | None = None, py_files: Iterable[Path] = ()) -> Bundle:
    """Pack a job's code. `base` resolves a relative `volume_path`. Raises `InvalidUserCode` for what cannot travel."""
    entries: dict[str, bytes] = {}
    if code.inline is not None:
        entries["job/job.py"] = code.inline.encode()
        index = _Index(format=_FORMAT, file="job/job.py")
    elif code.volume_path is not None:
        file = (base or Path()) / code.volume_path
        entries[f"job/{file.name}"] = _read(file)
        index = _Index(format=_FORMAT, file=f"job/{file.name}")
    else:
        index = _Index(format=_FORMAT, module=code.module or "")
    tops = list(py_files)
    libraries_of(tops)
    for top in tops:
        for path in _files_below(top):
            entries[str(PurePosixPath("lib", top.name, *path.relative_to(top).parts))] = _read(path)
            _check_size(entries)
    _check_size(entries)
    entries["bundle.json"] = msgspec.json.encode(index)
    data = _zip(entries)
    return Bundle(data, hashlib.sha256(data).hexdigest())


def libraries_of(py_files: Iterable[Path]) -> dict[str, Path]:
    """The modules that --py-files names: top-level name to the folder that holds it. Raises `InvalidUserCode`."""
    libraries: dict[str, Path] = {}
    for path in py_files:
        name = path.name if path.is_dir() else path.stem
        if not path.exists():
            raise InvalidUserCode(f"--py-files {path}: there is no such file or folder.")
        if not path.is_dir() and path.suffix != ".py":
            raise InvalidUserCode(f"--py-files {path}: only .py files and package folders can be taken along.")
        if not name.isidentifier():
            raise InvalidUserCode(f"--py-files {path}: {name!r} cannot be imported by that name. Rename it.")
        if name in sys.stdlib_module_names or name in _OWN_PACKAGES:
            raise InvalidUserCode(f"--py-files {path}: it would hide the module {name} that others need. Rename it.")
        if name in libraries:
            raise InvalidUserCode(f"--py-files {path}: there are two modules named {name}. Rename one.")
        libraries[name] = path.absolute().parent
    return libraries


def open_bundle(data: bytes, folder: Path, *, sha256: str) -> CodeSource:
    """Unpack a bundle into `folder/<sha256>`, or use what is there already.

    The folder appears whole or not at all, also when two processes open the same bundle. Raises `InvalidUserCode` for a
    wrong digest and for a zip that is damaged or tries to write elsewhere.
    """
    target = folder / sha256
    if target.is_dir():
        return source_in(target)
    if not re.fullmatch(r"[0-9a-f]{64}", sha256) or hashlib.sha256(data).hexdigest() != sha256:
        raise InvalidUserCode(
            f"the code bundle is not the one asked for ({sha256}): it was altered on its way. Submit again."
        )
    folder.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".code-", dir=folder))
    try:
        for name, content in _unzip(data):
            path = scratch / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        source_in(scratch)
        scratch.chmod(0o755)  # mkdtemp makes it private, but an executor may run as another user
        try:
            scratch.rename(target)
        except OSError:
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return source_in(target)


def source_in(folder: Path) -> CodeSource:
    """What an opened bundle holds."""
    try:
        index = from_json((folder / "bundle.json").read_bytes(), _Index)
    except (OSError, msgspec.DecodeError) as error:
        raise InvalidUserCode(
            f"the code bundle in {folder} has no valid bundle.json ({error}). Submit the job again."
        ) from None
    if index.format != _FORMAT:
        raise InvalidUserCode(
            f"the code bundle has format {index.format}; this release reads {_FORMAT}. Use one release everywhere."
        )
    libraries = {
        path.stem if path.is_file() else path.name: folder / "lib" for path in sorted((folder / "lib").glob("*"))
    }
    if index.module:
        return CodeSource(module=index.module, libraries=libraries)
    file = folder / index.file
    if not _is_safe_name(index.file) or not file.is_file():
        raise InvalidUserCode(
            f"the code bundle names {index.file!r} as the job's file, which it does not hold. Submit again."
        )
    return CodeSource(file=file, libraries=libraries)


def load_job(source: CodeSource, spec: JobSpec, *, name: str) -> UserJob:
    """Import a job's code and bind the functions that `spec` asks for. Raises `InvalidUserCode`."""
    loaded = load_code(source)
    return resolve_job(loaded.module, spec, name=name, types=loaded.types)


# ------------------------------------------------------------------------------------------------------------- packing


def _files_below(top: Path) -> Iterator[Path]:
    """A module's files in a defined order; a file stands for itself."""
    if not top.is_dir():
        yield top
        return
    for folder, folders, names in os.walk(top, onerror=_raise_unreadable):
        folders[:] = sorted(name for name in folders if name != "__pycache__" and not name.startswith("."))
        for name in folders:
            if Path(folder, name).is_symlink():
                raise InvalidUserCode(f"--py-files {top}: {Path(folder, name)} links to a folder. Copy it in.")
        for name in sorted(names):
            if not name.endswith(_SKIPPED_SUFFIXES) and not name.startswith("."):
                yield Path(folder, name)


def _raise_unreadable(error: OSError) -> None:
    raise InvalidUserCode(f"{error.filename} cannot be read: {error.strerror}.") from error


def _read(file: Path) -> bytes:
    try:
        kind = file.stat()
        if not stat.S_ISREG(kind.st_mode):
            raise InvalidUserCode(f"{file} is no regular file. Name the job's Python file.")
        if kind.st_size > MAX_BUNDLE_BYTES:
            _raise_too_big(str(file), kind.st_size)
        return file.read_bytes()
    except OSError as error:
        raise InvalidUserCode(f"{file} cannot be read: {error.strerror}.") from error


def _check_size(entries: dict[str, bytes]) -> None:
    total = sum(map(len, entries.values()))
    if total > MAX_BUNDLE_BYTES:
        _raise_too_big(f"{len(entries)} files", total)
    if len(entries) > MAX_BUNDLE_FILES:
        raise InvalidUserCode(
            f"the job's code has more than {MAX_BUNDLE_FILES} files. Install it where the workers run instead."
        )


def _raise_too_big(what: str, size: int) -> None:
    raise InvalidUserCode(
        f"the job's code is too big to travel: {what}, {size / MIB:.1f} MiB; the limit is {MAX_BUNDLE_BYTES // MIB} "
        f"MiB. "
        f"Install it where the workers run, and read data as an input."
    )


def _zip(entries: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(entries):
            try:
                name.encode()
            except UnicodeEncodeError:
                raise InvalidUserCode(f"the file name {name!r} is not valid UTF-8. Rename it.") from None
            entry = zipfile.ZipInfo(name, date_time=_EPOCH)
            entry.create_system = 3  # Unix, on whatever system it is made
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, entries[name])
    return out.getvalue()


# ----------------------------------------------------------------------------------------------------------- unpacking


def _unzip(data: bytes) -> list[tuple[str, bytes]]:
    """All files of a bundle, every name and size checked before anything is written."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if (
                len(entries) > MAX_BUNDLE_FILES + 1
                or sum(entry.file_size for entry in entries) > MAX_BUNDLE_BYTES + MIB
            ):
                raise InvalidUserCode("the code bundle is bigger than any that this program makes. It is refused.")
            names = [entry.orig_filename for entry in entries]
            if len({name.lower() for name in names}) != len(names):
                raise InvalidUserCode("the code bundle holds a file twice. It is refused.")
            for entry in entries:
                kind = stat.S_IFMT(entry.external_attr >> 16)
                if not _is_safe_name(entry.orig_filename) or kind not in {0, stat.S_IFREG} or entry.flag_bits & 1:
                    raise InvalidUserCode(
                        f"the code bundle holds {entry.orig_filename!r}, which is no plain file inside it. It is "
                        f"refused."
                    )
            return [(entry.filename, _bounded(archive, entry)) for entry in entries]
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, ValueError) as error:
        raise InvalidUserCode(f"the code bundle is damaged ({error}). Submit the job again.") from None


def _bounded(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """An entry's content; a zip that holds more than it says is damaged, not obeyed."""
    with archive.open(entry) as file:
        content = file.read(entry.file_size + 1)
    if len(content) != entry.file_size:
        raise zipfile.BadZipFile(f"{entry.filename} is not as long as stated")
    return content


def _is_safe_name(name: str) -> bool:
    parts = name.split("/")
    return bool(name) and not any(
        part in {"", ".", ".."} or "\0" in part or "\\" in part or ":" in part for part in parts
    )
