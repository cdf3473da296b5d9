"""Pieces that kopf wants from us: credentials, and a place for the last-handled object, which is nowhere.

What a job was started with is known by the digests in its status, so kopf's copy of every object in an annotation,
which overflows at 256 KiB, is neither needed nor made.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import kopf
from kubernetes.aio.client import Configuration

#: Tokens of service accounts are exchanged by the kubelet long before they end.
_TOKEN_LASTS: Final = timedelta(minutes=10)


class NoDiffBase(kopf.DiffBaseStorage):
    """Keeps no copy of objects."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        """Nothing of an object is compared by kopf."""
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        """There is no earlier one."""
        return None

    def store(self, **_: Any) -> None:
        """Nothing is kept."""


def expiration() -> datetime:
    """When credentials that are read now should be read again."""
    return datetime.now(UTC) + _TOKEN_LASTS


async def login_info(configuration: Configuration, until: datetime | None) -> kopf.ConnectionInfo:
    """Our client's credentials as kopf takes them."""
    header = await configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
    scheme, _, token = (header or "").rpartition(" ")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        ca_data=None if configuration.ssl_ca_cert else configuration.ca_cert_data,
        insecure=not configuration.verify_ssl,
        username=configuration.username or None,
        password=configuration.password or None,
        scheme=scheme or None,
        token=token or None,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        expiration=until,
    )
