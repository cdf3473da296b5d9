"""Runs a `mr run` with so many viewers of its page, and notes the processor time of its coordinator alone.

python benchmarks/watched.py VIEWERS NOTE mr run ... -o OUT ...

A viewer does what a browser does (it fetches all columns, then follows the frames) but keeps nothing, so that what is
measured is the coordinator. NOTE gets JSON: processor seconds of the coordinator and what the viewers were sent.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

SAMPLE_S = 0.05


class Viewer(threading.Thread):
    """One page that somebody looks at."""

    def __init__(self, address: str, token: str) -> None:
        super().__init__(daemon=True)
        self._place, self._token = urlsplit(address).netloc, token
        self.frames = self.bytes = 0

    def run(self) -> None:
        try:
            self._fetch_columns()
            stream = self._get("/v1/jobs/0/frames")
            while line := stream.readline():
                self.bytes += len(line)
                self.frames += line.startswith(b"data:")
        except (OSError, http.client.HTTPException):
            pass  # the run has ended

    def _fetch_columns(self) -> None:
        start: int | None = 0
        while start is not None:
            page = json.loads(self._get(f"/v1/jobs/1/timeline?from={start}").read())
            start = page.get("next")

    def _get(self, path: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(self._place, timeout=600)
        connection.request("GET", path, headers={"X-MapReduce-Token": self._token})
        return connection.getresponse()


def main() -> int:
    count, note, command = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    output = Path(command[command.index("-o") + 1])
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    viewers: list[Viewer] = []
    cpu_s = [0.0]
    sampling = threading.Thread(target=_sample, args=(process.pid, cpu_s), daemon=True)
    sampling.start()
    for line in process.stderr:
        sys.stderr.write(line)
        if "page: " in line and not viewers and count:
            token = json.loads((output / "_mapreduce" / "token").read_bytes())["read"]
            time.sleep(0.5)  # the job is submitted just after
            viewers = [Viewer(line.split("page: ")[1].split("/#")[0], token) for _ in range(count)]
            for viewer in viewers:
                viewer.start()
    code = process.wait()
    for viewer in viewers:
        viewer.join(5)
    facts = {"coordinator_cpu_s": cpu_s[0], "frames": sum(viewer.frames for viewer in viewers)}
    note.write_text(json.dumps(facts | {"sent_mib": round(sum(viewer.bytes for viewer in viewers) / (1 << 20), 2)}))
    return code


def _sample(pid: int, cpu_s: list[float]) -> None:
    """The processor time of one process without its children, as long as it lives."""
    while True:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return
        if fields[0] == "Z":
            return
        cpu_s[0] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        time.sleep(SAMPLE_S)


if __name__ == "__main__":
    sys.exit(main())
