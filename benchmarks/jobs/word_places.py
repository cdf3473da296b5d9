"""How many lines hold each word, with a reducer of one's own and no combiner: every value is kept and merged."""

from collections.abc import Iterable, Iterator

from mapreduce import job

places = job("word-places")


@places.mapper
def words(offset: int, line: str) -> Iterator[tuple[str, int]]:
    for word in line.split():
        yield word, offset


@places.reducer
def count(word: str, offsets: Iterable[int]) -> Iterator[tuple[str, int]]:
    yield word, len(set(offsets))
