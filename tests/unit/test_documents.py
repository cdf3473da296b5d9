"""Inputs behind URLs: what a server says of them, how it may refuse, and what a plan makes of it."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mapreduce.coordinator.plans import Plan, make_plan
from mapreduce.dataplane.documents import Document, download, look_at, read_headers
from mapreduce.dataplane.inputs import list_input
from mapreduce.errors import InvalidInput
from mapreduce.model import Code, Input, JobSpec, NamedObject, Output

CONTENT = b"".join(b"%07d\n" % number for number in range(1_000))
DATE = "Wed, 21 Oct 2015 07:28:00 GMT"

Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


@dataclass
class Site:
    """A web server of one page."""

    url: str = ""
    answer: Answer = lambda request: plain(request)
    asked: list[dict[str, str]] = field(default_factory=list)


def plain(request: http.server.BaseHTTPRequestHandler, content: bytes = CONTENT, **headers: str) -> None:
    """All of it, whatever was asked for."""
    _send(request, 200, content, {"Content-Length": str(len(content)), **headers})


def ranges(request: http.server.BaseHTTPRequestHandler, **headers: str) -> None:
    """The first byte, as it was asked for."""
    assert request.headers["Range"] == "bytes=0-0"
    told = {"Content-Length": "1", "Content-Range": f"bytes 0-0/{len(CONTENT)}"}
    _send(request, 206, CONTENT[:1], {**told, **headers})


def _send(request: http.server.BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str]) -> None:
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()
    with contextlib.suppress(ConnectionError):
        request.wfile.write(body)


@contextlib.contextmanager
def serving_site() -> Iterator[Site]:
    site = Site()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append(dict(self.headers.items()))
            site.answer(self)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_address[1]}/page.txt"
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def site() -> Iterator[Site]:
    with serving_site() as made:
        yield made


def test_a_server_that_sends_ranges_tells_the_size_and_what_it_would_be_changed_from(site: Site) -> None:
    site.answer = lambda request: ranges(request, ETag='"v1"', Last_Modified=DATE)
    assert look_at(site.url, {}) == Document(len(CONTENT), has_ranges=True, validator='"v1"')


@pytest.mark.parametrize("headers", [{"Last_Modified": DATE}, {"Last_Modified": DATE, "ETag": 'W/"v1"'}])
def test_without_a_strong_tag_the_date_tells_a_change(site: Site, headers: dict[str, str]) -> None:
    site.answer = lambda request: ranges(request, **headers)
    assert look_at(site.url, {}).validator == DATE


def test_a_server_without_ranges_is_read_whole(site: Site) -> None:
    assert look_at(site.url, {}) == Document(len(CONTENT), has_ranges=False, validator="")


def test_an_empty_document_is_none_to_worry_about(site: Site) -> None:
    site.answer = lambda request: _send(request, 416, b"", {"Content-Range": "bytes */0", "Content-Length": "0"})
    assert look_at(site.url, {}).bytes == 0


@pytest.mark.parametrize(
    ("status", "told"), [(404, "404 Not Found. Check"), (401, "401.*secretRef"), (403, "403.*secretRef"), (410, "410")]
)
def test_a_refusal_is_told_with_url_and_status(site: Site, status: int, told: str) -> None:
    site.answer = lambda request: _send(request, status, b"no", {"Content-Length": "2"})
    with pytest.raises(InvalidInput, match=told) as caught:
        look_at(site.url, {})
    assert caught.value.uri == site.url
    assert len(site.asked) == 1


def test_a_server_that_cannot_now_is_asked_again(site: Site) -> None:
    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        if len(site.asked) < 3:
            _send(request, 503, b"", {"Content-Length": "0"})
        else:
            plain(request)

    site.answer = answer
    assert look_at(site.url, {}, patience_s=30).bytes == len(CONTENT)


def test_a_server_that_stays_away_is_told_in_the_end() -> None:
    with serving_site() as gone:
        pass
    with pytest.raises(InvalidInput, match="does not answer"):
        look_at(gone.url, {}, patience_s=0)


def test_a_document_without_a_size_is_refused(site: Site) -> None:
    site.answer = lambda request: _send(request, 200, CONTENT, {})
    with pytest.raises(InvalidInput, match=r"does not tell its size \(status 200\)"):
        look_at(site.url, {})


def test_a_document_that_is_sent_packed_is_refused(site: Site) -> None:
    site.answer = lambda request: plain(request, Content_Encoding="gzip")
    with pytest.raises(InvalidInput, match="packed"):
        look_at(site.url, {})


def test_a_secret_goes_to_the_first_server_only(site: Site) -> None:
    with serving_site() as other:
        site.answer = lambda request: _send(request, 302, b"", {"Location": other.url, "Content-Length": "0"})
        assert look_at(site.url, {"Authorization": "Bearer x"}).bytes == len(CONTENT)
        assert site.asked[0]["Authorization"] == "Bearer x"
        assert "Authorization" not in other.asked[0]
        assert other.asked[0]["Range"] == "bytes=0-0"


def test_a_redirect_to_a_file_is_refused(site: Site) -> None:
    site.answer = lambda request: _send(request, 302, b"", {"Location": "file:///etc/passwd", "Content-Length": "0"})
    with pytest.raises(InvalidInput):
        look_at(site.url, {}, patience_s=0)


def test_a_document_is_fetched_whole_and_one_that_changed_is_noticed(site: Site, tmp_path: Path) -> None:
    download(site.url, tmp_path / "page", headers={}, expected_bytes=len(CONTENT))
    assert (tmp_path / "page").read_bytes() == CONTENT
    with pytest.raises(InvalidInput, match="had 9 bytes and has 8000 now"):
        download(site.url, tmp_path / "page", headers={}, expected_bytes=9)


@pytest.mark.parametrize(("has_ranges", "splits"), [(True, 8), (False, 1)])
def test_a_document_is_cut_only_if_ranges_of_it_can_be_had(site: Site, has_ranges: bool, splits: int) -> None:
    site.answer = (lambda request: ranges(request, ETag='"v1"')) if has_ranges else plain
    spec = JobSpec(
        code=Code(inline="-"), inputs=(Input(uri=site.url),), output=Output(uri="out"), split_size_bytes=1_000
    )
    plan = Plan.decode(make_plan(spec).encode())
    assert plan.split_count == splits
    [part] = plan.split(0).files
    assert (part.path, part.size, part.validator) == (site.url, len(CONTENT), '"v1"' if has_ranges else "")


def test_inputs_with_secrets_share_no_split_with_others(site: Site, tmp_path: Path) -> None:
    for index in ("0", "2"):
        (tmp_path / index).mkdir()
        (tmp_path / index / "Authorization").write_text(f"Bearer {index}\n")
    key = NamedObject(name="key")
    inputs = (
        Input(uri=site.url, secret_ref=key),
        Input(uri=site.url),
        Input(uri=site.url, secret_ref=NamedObject(name="other")),
    )
    spec = JobSpec(code=Code(inline="-"), inputs=inputs, output=Output(uri="out"), split_size_bytes=1 << 20)
    plan = make_plan(spec, tmp_path)
    assert [plan.split(index).input for index in range(plan.split_count)] == [0, 1, 2]
    assert [headers.get("Authorization") for headers in site.asked] == ["Bearer 0", None, "Bearer 2"]


def test_a_document_whose_packing_its_address_hides_is_refused(site: Site) -> None:
    with pytest.raises(InvalidInput, match="without a query"):
        list_input(Input(uri=f"{site.url}.gz?version=2"))
    assert list_input(Input(uri=f"{site.url}.gz"))[0].is_compressed


def test_headers_are_the_files_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "Authorization").write_text("Bearer x\n")
    (tmp_path / "..data").mkdir()
    assert read_headers(tmp_path) == {"Authorization": "Bearer x"}


@pytest.mark.parametrize(("name", "value"), [("not a header", "x"), ("X", "a\r\nInjected: b"), ("X", "\u00e9")])
def test_what_is_no_header_is_refused(tmp_path: Path, name: str, value: str) -> None:
    (tmp_path / name).write_text(value, encoding="utf-8")
    with pytest.raises(InvalidInput, match="no header"):
        read_headers(tmp_path)
