"""Sort lines of `key<TAB>rest` by their keys.

    mr run examples/sort.py examples/data/links.tsv -o out/sorted

Each part of the output is sorted; with several reducers, `mr get --merge` gives one sorted stream.
"""


def mapper(line):
    key, _, rest = line.partition("\t")
    yield key, rest


reducer = "identity"
