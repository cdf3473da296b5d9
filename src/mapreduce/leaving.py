"""How a short process of ours ends: without a last look through everything that it imported."""

from __future__ import annotations

import gc
import sys
from typing import NoReturn


def leave(code: int) -> NoReturn:
    """`sys.exit(code)`, but what is alive by now is left to the system, cycles and all.

    An interpreter looks for garbage twice while it ends. After the imports of a command that is about a tenth of all
    its processor time, and finds nothing that matters: exit handlers run, threads are waited for, streams are flushed
    as always. Only objects in cycles are not finalized, which nobody may count on.
    """
    gc.freeze()
    sys.exit(code)
