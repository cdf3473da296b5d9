"""The page as one document: markup, style and scripts of this folder put together, and the policy that binds it.

There is no build step: the pieces are joined when the page is first asked for. Scripts and styles are allowed by their
digests, so nothing that user code printed can become one; a page in a file says the same in its head.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from importlib import resources
from typing import Final

#: In this order: each uses what comes before it.
SCRIPTS: Final = (
    "format.js",
    "columns.js",
    "lanes.js",
    "spread.js",
    "elements.js",
    "timeline.js",
    "panels.js",
    "evidence.js",
    "stream.js",
    "main.js",
)
_STYLE: Final = "page.css"
_MARKUP: Final = "page.html"


@functools.cache
def served_page() -> bytes:
    """The page as the coordinator serves it: without data."""
    return _document(policy="", data="").encode()


@functools.cache
def page_headers() -> dict[str, str]:
    """Headers of the served page."""
    return {
        "Content-Security-Policy": f"{_policy(is_connecting=True)}; frame-ancestors 'none'",
        "Referrer-Policy": "no-referrer",
        "X-Frame-Options": "DENY",
        "Cross-Origin-Opener-Policy": "same-origin",
    }


def page_with_data(data: bytes) -> bytes:
    """The page as a file of its own: `data` is JSON, and nothing is fetched."""
    # `<` cannot end the element that holds the data, nor begin another one, once it is written as an escape
    held = data.decode().replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    json.loads(held)
    policy = f'<meta http-equiv="Content-Security-Policy" content="{_policy(is_connecting=False)}">'
    return _document(policy=policy, data=held).encode()


def _document(*, policy: str, data: str) -> str:
    holder = f'<script type="application/json" id="data">{data}</script>' if data else ""
    document = _read(_MARKUP)
    for mark, piece in (
        ("<!-- policy -->", policy),
        ("<!-- style -->", f"<style>{_style()}</style>"),
        ("<!-- data -->", holder),
        ("<!-- script -->", f"<script>{_script()}</script>"),
    ):
        before, found, after = document.partition(mark)
        assert found, f"{_MARKUP} has lost its {mark}"
        document = before + piece + after
    return document


@functools.cache
def _script() -> str:
    return "\n".join(['"use strict";', *(_read(name) for name in SCRIPTS)])


@functools.cache
def _style() -> str:
    return _read(_STYLE)


def _policy(*, is_connecting: bool) -> str:
    parts = [
        "default-src 'none'",
        f"script-src '{_digest(_script())}'",
        f"style-src '{_digest(_style())}'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    return "; ".join([*parts, "connect-src 'self'"] if is_connecting else parts)


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _read(name: str) -> str:
    return (resources.files(__package__) / "static" / name).read_text(encoding="utf-8")
