"""Tasks that do nothing on Dask distributed with two worker processes. OUTPUT_FOLDER COUNT

Writes the seconds from the first submission to the last result into OUTPUT_FOLDER/tasks_s: start-up is not held against
it.
"""

from __future__ import annotations

import sys
import time

from distributed import Client  # type: ignore[import-not-found]


def nothing(_: int) -> None:
    return None


def main(output: str, count: int) -> None:
    with Client(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as client:
        start = time.perf_counter()
        client.gather(client.map(nothing, range(count), pure=False))
        took_s = time.perf_counter() - start
    with open(f"{output}/tasks_s", "w", encoding="ascii") as out:
        out.write(repr(took_s))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
