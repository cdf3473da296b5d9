"""Every environment variable that the product reads is in docs/reference/environment.md, and nothing else is."""

from __future__ import annotations

import re
from typing import Final

from tests.support.tree import ROOT

PAGE: Final = ROOT / "docs" / "reference" / "environment.md"
NAME: Final = r"(?:MR|OTEL|XDG)_[A-Z_]+[A-Z]|NO_COLOR|KUBECONFIG"
#: Read by libraries of ours.
BY_LIBRARIES: Final = {"NO_COLOR"}


def test_what_is_read_is_documented_and_the_other_way_round() -> None:
    sources = [path for folder in ("src", "operator", "worker") for path in (ROOT / folder).rglob("*.py")]
    read = {name for path in sources for name in re.findall(rf'"({NAME})"', path.read_text(encoding="utf-8"))}
    assert len(read) > 30
    assert set(re.findall(rf"`({NAME})`", PAGE.read_text(encoding="utf-8"))) == read | BY_LIBRARIES
