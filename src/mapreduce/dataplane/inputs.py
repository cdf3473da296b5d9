"""Listing an input: from a file, folder or glob to files in a defined order, or a refusal that says what is wrong.

Order: by path, as bytes. Folders are walked to the bottom, links are followed. Names that start with a dot or
underscore are skipped (`_SUCCESS`, `.DS_Store`), unless such a file is named itself. What becomes of the files is
`splits`.
"""

from __future__ import annotations

import difflib
import errno
import glob
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from mapreduce.dataplane.splits import COMPRESSED_SUFFIXES, InputFile
from mapreduce.errors import InvalidInput
from mapreduce.model import Input

_OTHER_COMPRESSION: Final = (".bz2", ".xz", ".lzma", ".lz4", ".zip", ".7z", ".Z", ".br", ".snappy", ".tar", ".tgz")
_SKIPPED: Final = (".", "_")
_MAX_PATH_CHARS: Final = 4_096
_NO_HEADERS: Final[Mapping[str, str]] = {}
_KINDS: Final = {
    stat.S_IFIFO: "a FIFO (named pipe)",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


def list_input(
    source: Input, *, headers: Mapping[str, str] = _NO_HEADERS, patience_s: float | None = None
) -> list[InputFile]:
    """All files of one input. Raises `InvalidInput` for what is missing, unreadable or no plain file.

    `headers` are sent for one behind a URL, whose server may take `patience_s` to answer; None: not long.
    """
    if source.uri[:8].lower().startswith(("http://", "https://")):
        return [_document(source, headers, patience_s)]
    top = _local_path(source.uri)
    try:
        files = _sorted_files(top, source.uri)
    except RecursionError:
        raise InvalidInput(source.uri, "has folders nested too deeply.", "Name the folders below it.") from None
    for file in files:
        _check_name(file.path, source)
    return files


def _document(source: Input, headers: Mapping[str, str], patience_s: float | None) -> InputFile:
    from mapreduce.dataplane import documents  # slow to import, and few inputs are behind URLs

    name = urlsplit(source.uri).path
    _check_name(source.uri, source)
    if (
        name.endswith((*COMPRESSED_SUFFIXES, *_OTHER_COMPRESSION))
        and name != source.uri.partition("://")[2][-len(name) :]
    ):
        raise InvalidInput(source.uri, "is packed, and what follows its name hides that.", "Name it without a query.")
    patience_s = documents.PATIENCE_S if patience_s is None else patience_s
    found = documents.look_at(source.uri, headers, patience_s=patience_s)
    return InputFile(
        path=source.uri,
        bytes=found.bytes,
        mtime_ns=0,
        is_compressed=source.uri.endswith(COMPRESSED_SUFFIXES),
        is_whole=not found.has_ranges,
        validator=found.validator,
    )


def _sorted_files(top: str, uri: str) -> list[InputFile]:
    is_plain = os.path.lexists(top) or not glob.has_magic(top)
    found = _files_at(top, uri, ()) if is_plain else _glob(top, uri)
    files = sorted({file.path: file for file in found}.values(), key=lambda file: os.fsencode(file.path))
    if not files:
        problem = "holds no files" if Path(top).is_dir() else "matches no files"
        raise InvalidInput(uri, f"{problem}.", "Names that start with a dot or underscore are skipped.")
    return files


def _local_path(uri: str) -> str:
    if "\0" in uri:
        raise InvalidInput(repr(uri), "has a NUL character in its name.", "Name a file, a folder or a glob.")
    scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]*(?=://)", uri)
    if scheme is None:
        return uri
    if scheme[0].lower() != "file":
        raise InvalidInput(
            uri, f"{scheme[0]}:// cannot be read.", "Copy or mount it, then name the file, folder or glob."
        )
    return unquote(urlsplit(uri).path)


def _glob(pattern: str, uri: str) -> Iterator[InputFile]:
    for match in sorted(glob.glob(pattern, recursive=True)):  # noqa: PTH207 (Path.glob has no absolute patterns)
        if not Path(match).name.startswith(_SKIPPED):
            yield from _files_at(match.rstrip("/"), uri, ())


def _files_at(path: str, uri: str, above: tuple[tuple[int, int], ...]) -> Iterator[InputFile]:
    """The file at `path`, or all files below the folder there; `above` identifies the folders on the way."""
    try:
        facts = os.stat(path)  # noqa: PTH116 (a Path for each of 100 000 files is the slow part)
        if not stat.S_ISDIR(facts.st_mode):
            yield _file(path, uri, facts)
            return
        identity = (facts.st_dev, facts.st_ino)
        if identity in above:
            raise InvalidInput(path, "is a link to a folder above itself.", "Remove the link.")
        with os.scandir(path) as entries:
            names = sorted(entry.name for entry in entries if not entry.name.startswith(_SKIPPED))
    except OSError as error:
        raise _refusal(path, error) from None
    for name in names:
        yield from _files_at(os.path.join(path, name), uri, (*above, identity))  # noqa: PTH118 (as above)


def _file(path: str, uri: str, facts: os.stat_result) -> InputFile:
    if not stat.S_ISREG(facts.st_mode):
        kind = _KINDS.get(stat.S_IFMT(facts.st_mode), "no regular file")
        raise InvalidInput(path, f"is {kind}, which cannot be read twice.", "Copy its content to a file.")
    if not os.access(path, os.R_OK):
        raise InvalidInput(path, "may not be read by this user.", "Change its permissions (chmod +r).")
    return InputFile(path, facts.st_size, facts.st_mtime_ns, path.endswith(COMPRESSED_SUFFIXES))


def _refusal(path: str, error: OSError) -> InvalidInput:
    place = Path(path)
    if error.errno in {errno.ENOENT, errno.ENOTDIR}:
        if place.is_symlink():
            return InvalidInput(
                path, f"is a link to {place.readlink()}, which does not exist.", "Repair or remove the link."
            )
        return InvalidInput(path, "does not exist.", _nearest(place))
    if error.errno == errno.ELOOP:
        return InvalidInput(path, "is a link that leads back to itself.", "Repair or remove the link.")
    if error.errno in {errno.EACCES, errno.EPERM}:
        return InvalidInput(path, "may not be read by this user.", "Change its permissions.")
    return InvalidInput(path, f"cannot be read: {error.strerror}.", "See to the disk or the name, then run again.")


def _nearest(missing: Path) -> str:
    try:
        near = difflib.get_close_matches(missing.name, os.listdir(missing.parent), n=1)  # noqa: PTH208 (names only)
    except OSError:
        return f"There is no folder {missing.parent} either."
    return f"Did you mean {missing.with_name(near[0])}?" if near else "Check the name."


def _check_name(path: str, source: Input) -> None:
    try:
        path.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(path).decode("utf-8", "backslashreplace")
        raise InvalidInput(shown, "has a name that is not valid UTF-8.", "Rename it.") from None
    if len(path) > _MAX_PATH_CHARS:
        raise InvalidInput(f"{path[:60]}...", f"has a path of more than {_MAX_PATH_CHARS} characters.", "Move it up.")
    if source.format != "files" and path.endswith(_OTHER_COMPRESSION):
        raise InvalidInput(
            path, "is packed in a way that is not read.", "Unpack it, or pack it with gzip (.gz) or zstd (.zst)."
        )
