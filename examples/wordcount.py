"""Count the words of a text, the "hello world" of MapReduce.

    mr run examples/wordcount.py 'examples/data/books/*.txt' -o out/wordcount

Only words of five letters or more, by the other mapper of this file:

    mr run examples/wordcount.py 'examples/data/books/*.txt' -o out/long --mapper long_words --arg min_length=5

The same job as an object for a cluster is in wordcount.yaml.
"""


def mapper(line):
    for word in line.split():
        yield word, 1


def long_words(line, ctx):
    min_length = int(ctx.args.get("min_length", "5"))
    for word in line.split():
        if len(word) >= min_length:
            yield word, 1


def reducer(word, counts):
    yield word, sum(counts)


combiner = reducer  # adding up some of the counts early is fine, and less has to travel
