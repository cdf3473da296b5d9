"""What a web server's log says for each hour: how many answers of each status, and which paths were slow.

    mr run examples/log_analysis.py examples/data/access.log -o out/log --arg slow_s=0.5

Reads the combined log format, with the seconds of each request at the end of the line if the server writes them.
"""

import re
from collections.abc import Iterator

from mapreduce import Context, job

LINE = re.compile(
    r'\S+ \S+ \S+ \[(?P<hour>[^:]+:\d\d)[^\]]*\] "\S+ (?P<path>[^ ?"]*)[^"]*" (?P<status>\d{3}) \S+ "[^"]*" "[^"]*"'
    r"(?: (?P<seconds>[\d.]+))?$"
)

log = job("log-analysis", reducer="sum", args={"slow_s": "1.0"})


@log.mapper
def answers(line: str, ctx: Context) -> Iterator[tuple[tuple[str, str, str], int]]:
    found = LINE.match(line)
    if found is None:
        ctx.count("lines not understood")
        return
    yield (found["hour"], "status", found["status"]), 1
    if found["seconds"] and float(found["seconds"]) >= float(ctx.args["slow_s"]):
        ctx.count("slow requests")
        yield (found["hour"], "slow", found["path"]), 1
