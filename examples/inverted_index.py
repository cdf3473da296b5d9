"""Which files does each word occur in? The index of a search engine, in small.

    mr run examples/inverted_index.py examples/data/books -o out/index

Words are runs of letters, in lower case.
"""

import re
from pathlib import PurePath

WORD = re.compile(r"[^\W\d_]+")


def mapper(line, ctx):
    name = PurePath(ctx.input_file).name
    for word in set(WORD.findall(line.lower())):
        yield word, name


def combiner(word, names):
    for name in sorted(set(names)):
        yield word, name


def reducer(word, names):
    yield word, " ".join(sorted(set(names)))
