"""Who links to each page? The reverse web-link graph, from HTML files.

    mr run examples/link_graph.py examples/data/pages -o out/links

The same from lines of `source<TAB>target`, by the other mapper of this file:

    mr run examples/link_graph.py examples/data/links.tsv -o out/links2 --mapper from_pairs --format lines
"""

from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from pathlib import PurePath
from urllib.parse import urldefrag, urljoin

from mapreduce import job

graph = job("link-graph", format="files")


class Links(HTMLParser):
    """Collects the targets of all links of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.page, self.targets = page, []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Called by the parser."""
        target = dict(attributes).get("href")
        if tag == "a" and target:
            self.targets.append(urldefrag(urljoin(self.page, target)).url)


@graph.mapper
def from_html(path: str, html: str) -> Iterator[tuple[str, str]]:
    links = Links(PurePath(path).name)
    links.feed(html)
    for target in links.targets:
        yield target, links.page


def from_pairs(line: str) -> Iterator[tuple[str, str]]:
    source, _, target = line.partition("\t")
    yield target, source


@graph.reducer
def sources(target: str, pages: Iterable[str]) -> Iterator[tuple[str, str]]:
    yield target, " ".join(sorted(set(pages)))
