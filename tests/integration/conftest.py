"""What all tests with processes share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="package", autouse=True)
def _without_authorities() -> Iterator[None]:
    """No process of a test calls anybody who needs the system's certificates, which aiohttp reads when it is imported.

    That is a sixth of the start of a coordinator, and these tests start hundreds.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", os.devnull)
        yield
