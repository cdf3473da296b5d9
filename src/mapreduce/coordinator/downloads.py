"""Parts, replicas and inputs to their readers: a regular file, whole or one range of it, its bytes not through Python.

Which file belongs to which name is the service's. aiohttp's own file response is not used: it would send `part.gz`, if
somebody put one there, in the place of `part`, and answers errors without a body.
"""

from __future__ import annotations

import asyncio
import os
import re
import stat
from pathlib import Path
from typing import BinaryIO, Final

from aiohttp import hdrs, web

from mapreduce.coordinator.refusals import Refused
from mapreduce.coordinator.replies import AS_IT_IS

#: One sendfile at a time, each within the time that a reader may stall.
_PIECE_BYTES: Final = 4 << 20
_READ_BYTES: Final = 1 << 18
_RANGE: Final = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})", re.ASCII)


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """First byte and end (exclusive) that a `Range` header asks for; None for all.

    Headers that are not one range of bytes are ignored, as RFC 9110 says. Raises Refused when no byte is in the range.
    """
    match = _RANGE.fullmatch(header) if header else None
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":
        start, end = max(0, size - int(match[2])), size
    else:
        start = int(match[1])
        end = min(size, int(match[2]) + 1) if match[2] else size
        if match[2] and int(match[2]) < start:
            return None
    if start >= end:
        raise Refused("range-not-satisfiable", f"The file has {size} bytes; none of them is in that range.")
    return start, end


async def send_file(
    request: web.BaseRequest, path: Path, stall_s: float, *, is_link_followed: bool = False
) -> web.StreamResponse:
    """Stream the file. Raises Refused before the first byte; TimeoutError or ConnectionError when it breaks off."""
    loop = asyncio.get_running_loop()
    opening = loop.run_in_executor(None, _open, path, is_link_followed)
    try:
        file = await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close_unused)
        raise
    try:
        size = os.fstat(file.fileno()).st_size
        part = byte_range(request.headers.get(hdrs.RANGE), size)
        start, end = part or (0, size)
        headers = {
            **AS_IT_IS,
            hdrs.CONTENT_TYPE: "application/octet-stream",
            hdrs.CONTENT_LENGTH: str(end - start),
            hdrs.ACCEPT_RANGES: "bytes",
        }
        if part:
            headers[hdrs.CONTENT_RANGE] = f"bytes {start}-{end - 1}/{size}"
        response = web.StreamResponse(status=206 if part else 200, headers=headers)
        await response.prepare(request)
        for piece in range(start, end, _PIECE_BYTES):
            async with asyncio.timeout(stall_s):
                await _send_piece(request, response, file, piece, min(_PIECE_BYTES, end - piece))
        return response
    finally:
        await asyncio.shield(loop.run_in_executor(None, file.close))  # whoever leaves meanwhile, it is closed


async def _send_piece(
    request: web.BaseRequest, response: web.StreamResponse, file: BinaryIO, start: int, count: int
) -> None:
    transport = request.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError("the reader has gone")
    loop = asyncio.get_running_loop()
    try:
        sent = await loop.sendfile(transport, file, start, count)
    except NotImplementedError:  # uvloop
        sent = await _copy_piece(response, file, start, count)
    if sent != count:
        raise ConnectionResetError("the file has become shorter while it was read")


async def _copy_piece(response: web.StreamResponse, file: BinaryIO, start: int, count: int) -> int:
    sent = 0
    while sent < count:
        chunk = await asyncio.to_thread(os.pread, file.fileno(), min(_READ_BYTES, count - sent), start + sent)
        if not chunk:
            break
        await response.write(chunk)
        sent += len(chunk)
    return sent


def _close_unused(opening: asyncio.Future[BinaryIO]) -> None:
    """Close a file whose reader left while it was being opened."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


def _open(path: Path, is_link_followed: bool) -> BinaryIO:
    """The file, if it is a regular one and no link that is not to be followed; raises Refused otherwise."""
    links = 0 if is_link_followed else os.O_NOFOLLOW
    try:
        descriptor = os.open(path, os.O_RDONLY | links | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        raise Refused("not-found", f"{path.name} was here, but its file is gone.") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Refused("not-found", f"{path.name} was here, but something that is no file has taken its place.")
    return os.fdopen(descriptor, "rb", buffering=0)
