"""Notes the time at which the first record reaches the mapper, on the clock that all processes of a machine share."""

import time
from pathlib import Path

from mapreduce import Context


def mapper(line: str, ctx: Context) -> None:
    Path(ctx.args["stamp"]).write_text(repr(time.monotonic()))
