"""Where a coordinator is and which token opens it: given as a URL, or found through its state folder.

Looking only: nothing is sent from here. Writing the endpoint file and the tokens is the coordinator's business. A
folder is looked at again after every connection that failed, because a restarted coordinator listens somewhere else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal, Protocol
from urllib.parse import urlsplit

import msgspec

from mapreduce.errors import Unauthorized, Unreachable, UsageError
from mapreduce.typed import from_json

Role = Literal["admin", "worker", "read"]

ENDPOINT_FILE: Final = "endpoint.json"
TOKEN_FILE: Final = "token"  # noqa: S105 - a file's name

#: Roles by falling power: a token of one is good for all those after it.
_ROLES: Final[tuple[Role, ...]] = ("admin", "worker", "read")
_OTHER_FILE: Final = "Name another file with --token-file."


class Target(msgspec.Struct, frozen=True):
    """One address, taken apart."""

    is_tls: bool
    host: str
    port: int
    prefix: str
    """Path that goes before `/v1`, without a final slash."""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.is_tls else 'http'}://{host}:{self.port}{self.prefix}"


class Endpoint(Protocol):
    """Where to call, and with which token."""

    lost_calls: int
    """How many calls of all who share this endpoint have found nobody: `forget` counts them."""

    def target(self) -> Target:
        """The address; raises `Unreachable` when none is known (yet)."""
        ...

    def token(self, role: Role) -> str:
        """A token that is good for `role`; raises `Unauthorized` when there is none."""
        ...

    def forget(self) -> None:
        """The last call failed: look again before the next one."""
        ...


class UrlEndpoint:
    """A fixed address with a fixed token."""

    def __init__(self, url: str, token: str = "") -> None:
        self._target, self._token, self.lost_calls = parse_url(url), token, 0

    def target(self) -> Target:
        """The address that was given."""
        return self._target

    def token(self, role: Role) -> str:
        """The token that was given, whatever the role."""
        if not self._token:
            raise Unauthorized(f"No token is known for {self._target} (role {role}). Give one with --token-file.")
        return self._token

    def forget(self) -> None:
        """Nothing to look for: the address is a name that the network resolves at every connection."""
        self.lost_calls += 1


class TokenFileEndpoint(UrlEndpoint):
    """A fixed address whose token lies in a file, read again after a failed call: it may have been replaced."""

    def __init__(self, url: str, token_file: Path) -> None:
        super().__init__(url)
        self._file = token_file

    def token(self, role: Role) -> str:
        """The token in the file: the file's only content, or the entry of `role` in its JSON object."""
        return read_token(self._file, role)


class FolderEndpoint:
    """The coordinator of one state folder, wherever it listens now."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.lost_calls = folder, 0
        self._known: Target | None = None

    def target(self) -> Target:
        """The address in `endpoint.json`."""
        known = self._known  # threads share this object, and one may forget it meanwhile
        if known is None:
            known = self._known = self._read()
        return known

    def token(self, role: Role) -> str:
        """The token for `role` in the folder's `token` file."""
        self.target()  # without a coordinator the token is not what is missing
        return read_token(self._folder / TOKEN_FILE, role)

    def forget(self) -> None:
        """Read the file again before the next call."""
        self._known = None
        self.lost_calls += 1

    def _read(self) -> Target:
        path = self._folder / ENDPOINT_FILE
        try:
            found = from_json(path.read_bytes(), dict[str, msgspec.Raw])
            return parse_url(from_json(found["url"], str))
        except FileNotFoundError:
            raise Unreachable(
                f"No coordinator serves {self._folder} now: it has no {ENDPOINT_FILE}. Start one on that folder."
            ) from None
        except (OSError, KeyError, msgspec.DecodeError, UsageError) as error:
            raise Unreachable(
                f"{path} does not say where the coordinator is: {error}. Start it again: it writes the file anew."
            ) from None


def parse_url(url: str) -> Target:
    """Take an http(s) URL apart; raises `UsageError` when it is none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"{url} is not a URL: {error}.") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UsageError(f"{url} is not a coordinator's URL; it looks like http://127.0.0.1:8080.")
    is_tls = parts.scheme == "https"
    return Target(is_tls, parts.hostname, port or (443 if is_tls else 80), parts.path.rstrip("/"))


def read_token(path: Path, role: Role) -> str:
    """The token for `role` in `path`: a JSON object by role, or one bare token. Raises `Unauthorized`."""
    try:
        content = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Unauthorized(f"The token file {path} cannot be read: {error}. {_OTHER_FILE}") from None
    if not content.startswith("{"):
        if content:
            return content
        raise Unauthorized(f"The token file {path} is empty. {_OTHER_FILE}")
    try:
        tokens = from_json(content, dict[str, str])
    except msgspec.DecodeError as error:
        raise Unauthorized(f"The token file {path} is damaged: {error}. {_OTHER_FILE}") from None
    for candidate in (role, *reversed(_ROLES[: _ROLES.index(role)])):
        if tokens.get(candidate):
            return tokens[candidate]
    raise Unauthorized(f"The token file {path} holds no token that is good for {role}. {_OTHER_FILE}")
