"""What a process that runs user code may see of the environment of the process that starts it. Pure.

The same for the child that checks a job's code and for executors: what can be imported here can be imported there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: Nothing of ours: no token, no address, no import path (modules of a job's own travel with it, by --py-files).
_PASSED: Final = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "PYTHONHASHSEED")
_PASSED_PREFIX: Final = "LC_"
#: Ours, and what tells of the cluster: all else in a container's environment is its image's and the pod template's.
_KEPT_FROM_CONTAINERS: Final = ("MR_", "KUBERNETES_")


def user_environment(surroundings: Mapping[str, str], *, temporary: str | None) -> dict[str, str]:
    """The environment for user code; `temporary` is the folder for its temporary files, None for the system's own."""
    passed = {name: it for name, it in surroundings.items() if name in _PASSED or name.startswith(_PASSED_PREFIX)}
    return passed if temporary is None else passed | {"TMPDIR": temporary}


def container_environment(surroundings: Mapping[str, str]) -> dict[str, str]:
    """The environment for user code in a container that holds nothing else: its own, without what is ours."""
    return {name: it for name, it in surroundings.items() if not name.startswith(_KEPT_FROM_CONTAINERS)}
