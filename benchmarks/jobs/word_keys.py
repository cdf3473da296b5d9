"""Word count by bare keys: with the reducer `count` a mapper need not make pairs."""

from mapreduce import job

count = job("word-keys", reducer="count")


@count.mapper
def words(line: str) -> list[str]:
    return line.split()
