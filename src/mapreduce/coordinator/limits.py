"""What one caller may take from the coordinator: bytes, time and connections, and how bodies are read within them.

The numbers are settings, passed down; enforcing the number of connections is `connections`.
"""

from __future__ import annotations

import msgspec
from aiohttp import hdrs, web

from mapreduce.coordinator.refusals import Refused, bad_request, too_large


class HttpSettings(msgspec.Struct, frozen=True):
    """Limits of the HTTP edge."""

    body_deadline_s: float = 30.0
    """From a request's headers to the last byte of its body."""
    upload_deadline_s: float = 300.0
    """The same for code bundles."""
    reply_deadline_s: float = 30.0
    """From a request's last byte to its answer, beyond what the call asked to wait."""
    stall_s: float = 60.0
    """How long a reader of events or of a part may take nothing."""
    keepalive_s: float = 75.0
    """Idle time of a connection, and the longest that a request's headers may take."""
    lingering_s: float = 1.0
    """How long the rest of a refused body is read and thrown away, so that the refusal arrives."""
    shutdown_s: float = 5.0
    """How long requests may take to end when the server does."""
    connection_count: int = 16_384
    """Connections in all; fewer when the process may not have as many files open."""
    peer_connection_count: int = 1_024
    """Connections from one address. Workers on one machine share an address."""
    viewer_count: int = 256
    """Streams of events at once."""
    event_buffer_bytes: int = 1 << 20
    """Events that wait for one slow viewer; beyond it the viewer gets the full state instead."""
    ping_s: float = 15.0
    """Silence after which a stream of events shows that it lives."""
    session_s: float = 90 * 86_400.0
    """Lifetime of a worker's session; a worker whose session ends registers again."""


def refuse_encoded(request: web.BaseRequest) -> None:
    """Raise Refused for a compressed body: what it would become is not bounded by what was sent."""
    encoding = request.headers.get(hdrs.CONTENT_ENCODING)
    if encoding is not None and encoding.strip().lower() != "identity":
        raise Refused("unsupported-encoding", "Bodies are read as they are. Send this one without Content-Encoding.")


async def read_body(request: web.BaseRequest, limit_bytes: int) -> bytes:
    """The whole body; raises Refused beyond `limit_bytes`, at once if its length was announced."""
    declared = request.content_length
    if declared is not None and declared > limit_bytes:
        raise too_large("The body", limit_bytes)
    if declared != 0 and hdrs.EXPECT in request.headers:
        await _ask_for_body(request)
    content = request.content
    try:
        first = await content.readany()
        if content.at_eof() and len(first) <= limit_bytes:
            return first
        whole = bytearray(first)
        while len(whole) <= limit_bytes:
            chunk = await content.readany()
            if not chunk and content.at_eof():
                return bytes(whole)
            whole += chunk
    except web.RequestPayloadError as error:
        raise bad_request(f"The body broke off or is framed wrongly: {str(error)[:200]}") from None
    raise too_large("The body", limit_bytes)


async def _ask_for_body(request: web.BaseRequest) -> None:
    """Answer `Expect: 100-continue`, now that the caller is known and the length is allowed."""
    if request.headers[hdrs.EXPECT].lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the interim answer is no part of the final one
