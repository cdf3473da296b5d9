"""Find the lines that match a regular expression. There is no reducer: what the mapper yields is the result.

    mr run examples/grep.py examples/data/books -o out/grep --arg 'pattern=\\b[Ss]ea\\b'

Patterns are those of Python's `re` module.
"""

import re
from pathlib import PurePath


def mapper(line, ctx):
    if re.search(ctx.args["pattern"], line):
        yield PurePath(ctx.input_file).name, line
