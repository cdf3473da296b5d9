"""Word count with mrjob's local runner, which uses every core. OUTPUT_FOLDER FILE..."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from mrjob.job import MRJob  # type: ignore[import-not-found]


class WordCount(MRJob):  # type: ignore[misc]
    def mapper(self, _: None, line: str) -> Iterator[tuple[str, int]]:
        for word in line.split():
            yield word, 1

    def combiner(self, word: str, counts: Iterator[int]) -> Iterator[tuple[str, int]]:
        yield word, sum(counts)

    def reducer(self, word: str, counts: Iterator[int]) -> Iterator[tuple[str, int]]:
        yield word, sum(counts)


def main(output: str, files: list[str]) -> None:
    job = WordCount(["-r", "local", "--output-dir", f"{output}/out", "--no-cat-output", "-q", *files])
    with job.make_runner() as runner:
        runner.run()


if __name__ == "__main__":
    # mrjob starts this same file for each task, with arguments of its own
    if sys.argv[1].startswith("--"):
        WordCount.run()
    else:
        main(sys.argv[1], sys.argv[2:])
