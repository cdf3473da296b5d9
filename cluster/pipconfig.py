"""How this machine reaches its package index, for pip inside an image build: read from pip's own settings.

The result is mounted while pip runs and is in no layer. Only settings about reaching an index are taken: folders, logs
and the like of this machine mean nothing in there.
"""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

CERTIFICATES_INSIDE: Final = "/etc/ssl/certs/ca-certificates.crt"
"""Where the certificates are mounted: the place of Debian's own, so that every program uses them."""
_TAKEN: Final = ("index-url", "extra-index-url", "trusted-host", "proxy", "default-timeout", "timeout", "retries")
_SECTIONS: Final = ("global", "install")


def settings(files: Iterable[Path], environment: Mapping[str, str]) -> dict[str, str]:
    """Settings by pip's names; a later file goes before an earlier one, the environment before all."""
    found: dict[str, str] = {}
    for path in files:
        parser = configparser.RawConfigParser()
        parser.read(path, encoding="utf-8")
        for section in _SECTIONS:
            if parser.has_section(section):
                found |= {name.replace("_", "-"): value for name, value in parser.items(section)}
    prefix = "PIP_"
    told = {name: value for name, value in environment.items() if name.startswith(prefix)}
    found |= {name[len(prefix) :].lower().replace("_", "-"): value for name, value in told.items()}
    return {name: value for name, value in found.items() if value.strip() and name in {*_TAKEN, "cert"}}


def certificates(found: Mapping[str, str], environment: Mapping[str, str]) -> Path | None:
    """The file of certificates that this machine uses in place of those that pip brings."""
    names = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE")
    said = (found.get("cert", ""), *(environment.get(name, "") for name in names))
    return next((Path(name) for name in said if name and Path(name).is_file()), None)


def config_file(found: Mapping[str, str], *, has_certificates: bool) -> str:
    """The text of a pip.conf for the build; values of several lines stay lists."""
    taken = {name: value for name, value in found.items() if name in _TAKEN}
    if has_certificates:
        taken["cert"] = CERTIFICATES_INSIDE
    lines = (f"{name} = {value.strip()}".replace("\n", "\n    ") for name, value in sorted(taken.items()))
    return "\n".join(("[global]", *lines)) + "\n"


def files_of_this_machine() -> list[Path]:
    """Where pip looks for its settings, in its order."""
    told = os.environ.get("PIP_CONFIG_FILE", "")
    if told == os.devnull:
        return []
    system = [Path(folder) / "pip/pip.conf" for folder in os.environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":")]
    user = Path(os.environ.get("XDG_CONFIG_HOME", "") or Path.home() / ".config") / "pip/pip.conf"
    places = [*system, Path("/etc/pip.conf"), Path.home() / ".pip/pip.conf", user, Path(sys.prefix) / "pip.conf"]
    return [*places, Path(told)] if told else places
