"""The most frequent words, by one reducer that sees the counts of all.

    mr run examples/top_n.py examples/data/books -o out/top --arg n=10

The mapper runs once a split, so it can count a whole split before it yields anything.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from mapreduce import Context, job

top = job("top-words", reducers=1, args={"n": "20"})


@top.mapper(per="split")
def count(lines: Iterable[str]) -> Iterator[tuple[str, tuple[str, int]]]:
    words = Counter(word for line in lines for word in line.split())
    for word, times in words.items():
        yield "top", (word, times)


@top.reducer
def rank(key: str, counts: Iterable[tuple[str, int]], ctx: Context) -> Iterator[tuple[str, int]]:
    words: Counter[str] = Counter()
    for word, times in counts:
        words[word] += times
    ranked = sorted(words.items(), key=lambda pair: (-pair[1], pair[0]))
    yield from ranked[: int(ctx.args["n"])]
