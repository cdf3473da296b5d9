"""Importing aiohttp without the certificates that it reads for clients, in a process that has none.

On import aiohttp makes two TLS contexts and reads all of the system's certificate authorities for each: a fifth of the
import, and 45 ms of a run's start. Only for a process that is all ours (the command line): in a user's own program the
contexts must be as aiohttp makes them.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def without_certificates() -> Iterator[None]:
    """TLS contexts made in this thread while the block runs trust nobody; those of other threads are as always."""
    import ssl

    here = threading.get_ident()

    def set_default_verify_paths(self: ssl.SSLContext) -> None:
        if threading.get_ident() != here:
            super(ssl.SSLContext, self).set_default_verify_paths()

    ssl.SSLContext.set_default_verify_paths = set_default_verify_paths  # type: ignore[method-assign]
    try:
        yield
    finally:
        del ssl.SSLContext.set_default_verify_paths
