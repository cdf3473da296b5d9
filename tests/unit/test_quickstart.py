"""A quicker import of aiohttp for the command line, without harm to whoever makes TLS contexts beside it."""

from __future__ import annotations

import ssl
import subprocess
import sys
import threading

from mapreduce.local.quickstart import without_certificates


def authorities(context: ssl.SSLContext) -> int:
    return int(context.cert_store_stats()["x509_ca"])


def test_only_contexts_of_the_thread_that_imports_lack_certificates() -> None:
    usual = authorities(ssl.create_default_context())
    others: list[int] = []
    with without_certificates():
        assert authorities(ssl.create_default_context()) == 0
        beside = threading.Thread(target=lambda: others.append(authorities(ssl.create_default_context())))
        beside.start()
        beside.join()
    assert others == [usual]
    assert authorities(ssl.create_default_context()) == usual


def test_an_ssl_module_is_left_as_it_was() -> None:
    before = dict(vars(ssl.SSLContext))
    with without_certificates():
        assert dict(vars(ssl.SSLContext)) != before
    assert dict(vars(ssl.SSLContext)) == before


def test_aiohttp_can_be_imported_so() -> None:
    code = (
        "from mapreduce.local.quickstart import without_certificates\nwith without_certificates():\n    import aiohttp"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
