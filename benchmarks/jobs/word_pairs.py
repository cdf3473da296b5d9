"""Word count as people write it: a generator of pairs for each line, summed by name."""

from collections.abc import Iterator

from mapreduce import job

count = job("word-pairs", reducer="sum")


@count.mapper
def words(line: str) -> Iterator[tuple[str, int]]:
    for word in line.split():
        yield word, 1
