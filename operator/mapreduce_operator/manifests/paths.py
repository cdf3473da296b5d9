"""URIs of a specification as claims, ConfigMaps and paths in pods. Pure.

The contract with the pods: `pvc://CLAIM/REST` lies at `/mr/claims/CLAIM/REST`, `configmap://NAME/REST` at
`/mr/configmaps/NAME/REST`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from mapreduce.errors import InvalidJobSpec

JOB: Final = "/mr/job"
PREPARED: Final = "/mr/prepared"
TOKENS: Final = "/mr/tokens"
STATE: Final = "/mr/state"
RUNS: Final = "/mr/runs"
RUNS_WORK: Final = "/mr/runs-work"
OUTPUT_WORK: Final = "/mr/output-work"
CLAIMS: Final = "/mr/claims"
CONFIG_MAPS: Final = "/mr/configmaps"
SECRETS: Final = "/mr/secrets"
DISK: Final = "/mr/disk"
SOCKETS: Final = "/mr/sockets"
TEMP: Final = "/tmp"  # noqa: S108 - a volume of each container's own

CLAIM_SCHEME: Final = "pvc://"
CONFIG_MAP_SCHEME: Final = "configmap://"
_OBJECT_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_MAX_NAME_CHARS: Final = 253


@dataclass(frozen=True, slots=True)
class Place:
    """A path in a claim or a ConfigMap."""

    name: str
    """Of the claim or the ConfigMap."""
    rest: str
    """The path in it, without leading and final slashes; empty for all of it."""


def claim_path(uri: str, field: str) -> Place:
    """The claim and the path of a `pvc://` URI. Raises `InvalidJobSpec` for anything else, and for tricks."""
    return _place(uri, CLAIM_SCHEME, field, f"Write it like {CLAIM_SCHEME}CLAIM/PATH.")


def config_map_path(uri: str, field: str) -> Place:
    """The ConfigMap and the path of a `configmap://` URI. Raises `InvalidJobSpec`."""
    return _place(uri, CONFIG_MAP_SCHEME, field, f"Write it like {CONFIG_MAP_SCHEME}NAME/KEY.")


def check_input(uri: str, field: str) -> None:
    """Refuse an input's URI that means nothing in a cluster. Raises `InvalidJobSpec`."""
    if uri.startswith(CONFIG_MAP_SCHEME):
        config_map_path(uri, field)
    elif uri.startswith(CLAIM_SCHEME):
        claim_path(uri, field)
    elif not uri.startswith(("http://", "https://")):
        raise InvalidJobSpec(
            field,
            f"{uri[:80]!r} is a path of nowhere in a cluster.",
            "Write pvc://CLAIM/PATH, configmap://NAME/KEY or an http(s) address.",
        )


def _place(uri: str, scheme: str, field: str, fix: str) -> Place:
    if not uri.startswith(scheme):
        raise InvalidJobSpec(field, f"{uri[:80]!r} does not begin with {scheme}.", fix)
    name, _, rest = uri.removeprefix(scheme).partition("/")
    if not _OBJECT_NAME.fullmatch(name) or len(name) > _MAX_NAME_CHARS:
        raise InvalidJobSpec(field, f"{name[:80]!r} is no name of an object.", fix)
    rest = rest.removesuffix("/")
    steps = rest.split("/") if rest else []
    if any(step in {"", ".", ".."} for step in steps) or any(ord(char) < 32 for char in rest) or "$(" in rest:
        raise InvalidJobSpec(
            field, f"{rest[:80]!r} is no plain path.", "Leave out empty steps, dots alone, control characters and $(."
        )
    return Place(name, rest)
