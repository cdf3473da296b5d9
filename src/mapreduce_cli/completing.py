"""What kubectl asks a plugin for completion: `kubectl_complete-mr WORD...` prints candidates, then a directive.

kubectl looks for that program beside `kubectl-mr` (since 1.26). Names of jobs come from whoever answers quickly.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

#: Of cobra: nothing is put behind the word; files are not offered (4), or are (0).
_NO_FILES: Final = ":4"
_FILES: Final = ":0"


def candidates(words: Sequence[str]) -> tuple[list[str], bool]:
    """Candidates for the last of the words after `kubectl mr`, and whether a file's name may stand there."""
    from click.shell_completion import ShellComplete

    from mapreduce_cli.main import PLUGIN, cli

    *before, incomplete = words or [""]
    completion = ShellComplete(cli, {"obj": PLUGIN}, "kubectl mr", "_MR_COMPLETE")
    found = completion.get_completions(list(before), incomplete)
    plain = [item.value for item in found if item.type == "plain"]
    return plain, any(item.type in {"file", "dir"} for item in found)


def kubectl_complete() -> None:
    """Entry point of `kubectl_complete-mr`."""
    try:
        found, may_be_file = candidates(sys.argv[1:])
    except Exception:  # a shell that completes must never show a traceback
        found, may_be_file = [], True
    for value in found:
        print(value)
    print(_FILES if may_be_file else _NO_FILES)
