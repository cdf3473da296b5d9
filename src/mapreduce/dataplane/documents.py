"""Inputs behind http(s) URLs: how large one is, whether ranges of it can be read, and all of it, into a file.

For planning, and for the modes that run in one process; a worker's agent reads ranges (`If-Range` with the validator
that the plan keeps). Redirects are followed, but what a Secret holds is sent to the first server only.
"""

from __future__ import annotations

import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.message import Message
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from mapreduce.errors import InvalidInput

SCHEMES: Final = ("http://", "https://")
TIMEOUT_S: Final = 30.0
#: How long a server that does not answer, or says that it cannot now, is asked again.
PATIENCE_S: Final = 3.0

_CHUNK_BYTES: Final = 1 << 20
_TOTAL: Final = re.compile(r"bytes (?:[0-9]+-[0-9]+|\*)/([0-9]{1,19})")
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


class Document(msgspec.Struct, frozen=True):
    """What a server says about a document."""

    bytes: int
    has_ranges: bool
    validator: str
    """Its strong ETag, or else its Last-Modified; empty: it has neither, and only its size tells a change."""


def is_url(uri: str) -> bool:
    """Whether `uri` is fetched over http(s)."""
    return uri.lower().startswith(SCHEMES)


def read_headers(folder: Path) -> dict[str, str]:
    """The headers in a folder of files, as a Secret is mounted: name by file, value by content. Raises InvalidInput."""
    headers = {}
    try:
        for path in sorted(folder.iterdir()):
            if path.name.startswith(".") or not path.is_file():
                continue
            value = path.read_text(encoding="utf-8").strip()
            if _HEADER_NAME.fullmatch(path.name) is None or not value.isprintable() or not value.isascii():
                raise InvalidInput(
                    str(folder), f"key {path.name!r} is no header.", "Each key of the Secret is a header's name."
                )
            headers[path.name] = value
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(str(folder), f"its headers cannot be read ({error}).", "Look at the Secret.") from None
    return headers


def look_at(url: str, headers: Mapping[str, str], *, patience_s: float = PATIENCE_S) -> Document:
    """Ask for the first byte, which tells the size and whether ranges are served. Raises InvalidInput."""
    end_s = time.monotonic() + patience_s
    pause_s = 0.25
    while True:
        try:
            with _answer(url, {**headers, "Range": "bytes=0-0"}) as answer:
                return _document(url, answer)
        except _EmptyError as error:
            return Document(0, has_ranges=True, validator=error.validator)
        except _TryLaterError as error:
            if time.monotonic() + pause_s > end_s:
                raise InvalidInput(url, error.problem, "Try again later, or check the address.") from None
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, 5.0)


def download(url: str, target: Path, *, headers: Mapping[str, str], expected_bytes: int) -> None:
    """Write the whole document to `target`. Raises InvalidInput, also when it has not `expected_bytes`."""
    try:
        with _answer(url, headers) as answer, target.open("wb") as file:
            while chunk := answer.read(_CHUNK_BYTES):
                file.write(chunk)
    except _TryLaterError as error:
        raise InvalidInput(url, error.problem, "Try again later.") from None
    except (http.client.HTTPException, OSError) as error:
        raise InvalidInput(url, f"broke off: {str(error) or type(error).__name__}.", "Try again later.") from None
    if (size := target.stat().st_size) != expected_bytes:
        raise InvalidInput(url, f"had {expected_bytes} bytes and has {size} now.", "Run the job again.")


def read_range(url: str, start: int, end: int, *, expected: Document, headers: Mapping[str, str]) -> Iterator[bytes]:
    """The bytes from `start` up to `end` of a document that is still as `expected`, in pieces.

    Raises InvalidInput for a refusal and for a document that has changed, ConnectionError for what may pass.
    """
    asked = {**headers, "Range": f"bytes={start}-{end - 1}"}
    if expected.validator:
        asked["If-Range"] = expected.validator
    try:
        with _answer(url, asked) as answer:
            skip = _check_range(url, answer, start, expected)
            left = end - start
            while left:
                chunk = _some(answer, min(_CHUNK_BYTES, skip or left))
                if skip:
                    skip -= len(chunk)
                    continue
                left -= len(chunk)
                yield chunk
    except (_TryLaterError, _EmptyError) as error:
        raise ConnectionError(getattr(error, "problem", "the document is empty.")) from None
    except (http.client.HTTPException, OSError) as error:
        raise ConnectionError(f"the server broke off: {str(error) or type(error).__name__}.") from None


def shown(url: str) -> str:
    """The URL without what may be secret in it: a user's name and password, a query."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}" + ("?..." if parts.query else "")


def _some(answer: http.client.HTTPResponse, limit: int) -> bytes:
    """The next bytes of an answer that has not ended."""
    chunk = answer.read(limit)
    if not chunk:
        raise _TryLaterError("the server broke off.")
    return chunk


def _check_range(url: str, answer: http.client.HTTPResponse, start: int, expected: Document) -> int:
    """Bytes of the answer to leave out. Raises InvalidInput when this is not the document that was planned."""
    headers = answer.headers
    found = _validator(headers)
    size = headers.get("Content-Length", "")
    if answer.status == 206:
        total = _TOTAL.fullmatch(headers.get("Content-Range", ""))
        size = total[1] if total is not None else ""
        if not headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            raise InvalidInput(url, "the server sends another range than it was asked for.", "Copy it to a volume.")
    if (found and expected.validator and found != expected.validator) or size not in {"", str(expected.bytes)}:
        raise InvalidInput(url, "has changed since the job was planned.", "Run the job again.")
    return 0 if answer.status == 206 else start


class _EmptyError(Exception):
    """The document has no first byte."""

    def __init__(self, validator: str) -> None:
        super().__init__(validator)
        self.validator = validator


class _TryLaterError(Exception):
    """The server did not answer, or said that it cannot now."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http(s), without the user's headers when another server is meant."""

    def redirect_request(
        self, req: urllib.request.Request, fp: object, code: int, msg: str, headers: object, newurl: str
    ) -> urllib.request.Request | None:
        if not is_url(newurl):
            raise urllib.error.URLError(f"it leads to {newurl}")
        kept = dict(req.header_items()) if _origin(newurl) == _origin(req.full_url) else _own_headers(req)
        return urllib.request.Request(newurl, headers=kept)  # noqa: S310 - the scheme was looked at


def _own_headers(request: urllib.request.Request) -> dict[str, str]:
    own = {"range", "if-range", "accept-encoding"}
    return {name: value for name, value in request.header_items() if name.lower() in own}


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme.lower(), parts.netloc.lower()


@contextmanager
def _answer(url: str, headers: Mapping[str, str]) -> Iterator[http.client.HTTPResponse]:
    """The answer to a GET. Raises InvalidInput for a refusal, _TryLaterError for what may pass."""
    opener = urllib.request.build_opener(_Redirects)
    try:
        request = urllib.request.Request(url, headers={**headers, "Accept-Encoding": "identity"})  # noqa: S310
        with opener.open(request, timeout=TIMEOUT_S) as answer:
            yield answer
    except urllib.error.HTTPError as error:
        with error:
            problem = f"the server answers {error.code} {error.reason}."
        if error.code == 416 and error.headers.get("Content-Range", "").strip() == "bytes */0":
            raise _EmptyError(_validator(error.headers)) from None
        if error.code in _AGAIN:
            raise _TryLaterError(problem) from None
        fix = "Look at its secretRef." if error.code in {401, 403} else "Check the address."
        raise InvalidInput(url, problem, fix) from None
    except urllib.error.URLError as error:
        raise _TryLaterError(f"the server does not answer: {error.reason}.") from None
    except (http.client.HTTPException, OSError) as error:
        raise _TryLaterError(f"the server does not answer: {str(error) or type(error).__name__}.") from None
    except ValueError as error:
        raise InvalidInput(url, f"is no address: {error}.", "Write like https://host/path.") from None


def _validator(headers: Message) -> str:
    """A strong ETag, or else Last-Modified, as `If-Range` takes them."""
    etag = headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else headers.get("Last-Modified", "")


def _document(url: str, answer: http.client.HTTPResponse) -> Document:
    headers = answer.headers
    if headers.get("Content-Encoding", "identity").lower() not in {"", "identity"}:
        raise InvalidInput(url, "is sent packed (Content-Encoding) though it was asked for as it is.", "Copy it.")
    validator = _validator(headers)
    if answer.status == 206:
        total = _TOTAL.fullmatch(headers.get("Content-Range", ""))
        if total is None:
            raise InvalidInput(url, "the server does not tell its size (206 without a total).", "Copy it to a volume.")
        return Document(int(total[1]), has_ranges=True, validator=validator)
    length = headers.get("Content-Length", "")
    if answer.status != 200 or not length.isdecimal():
        raise InvalidInput(url, f"the server does not tell its size (status {answer.status}).", "Copy it to a volume.")
    return Document(int(length), has_ranges=False, validator=validator)
