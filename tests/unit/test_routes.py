from __future__ import annotations

import pytest

from mapreduce.coordinator.downloads import byte_range
from mapreduce.coordinator.refusals import HTTP_STATUS, Refused
from mapreduce.coordinator.routes import RouteTable
from mapreduce.coordinator.table import ROUTES

TABLE = RouteTable(ROUTES)


@pytest.mark.parametrize(
    ("method", "path", "found", "parameters"),
    [
        ("POST", "/v1/next", "/v1/next", {}),
        ("GET", "/v1/jobs", "/v1/jobs", {}),
        ("GET", "/v1/jobs/7", "/v1/jobs/{job}", {"job": "7"}),
        ("GET", "/v1/jobs/7/parts/a%20b", "/v1/jobs/{job}/parts/{name}", {"job": "7", "name": "a b"}),
        ("GET", "/v1/jobs/7/parts/a%2Fb", "/v1/jobs/{job}/parts/{name}", {"job": "7", "name": "a/b"}),
    ],
)
def test_a_path_finds_its_call(method: str, path: str, found: str, parameters: dict[str, str]) -> None:
    match = TABLE.find(method, path)
    assert (match.route.path, match.path_parameters) == (found, parameters)


@pytest.mark.parametrize(
    "path", ["", "//", "v1/jobs", "/V1/jobs", "/v1/jobs/", "/v1/jobs/7/parts/a/b", "/v1/jobs/7/attempts"]
)
def test_another_path_finds_none(path: str) -> None:
    with pytest.raises(Refused) as caught:
        TABLE.find("GET", path)
    assert caught.value.code == "not-found"


def test_methods_are_told_apart() -> None:
    assert TABLE.find("GET", "/v1/code/x").route is not TABLE.find("PUT", "/v1/code/x").route
    with pytest.raises(Refused, match=r"DELETE is not for this path\. It takes GET, PUT\."):
        TABLE.find("DELETE", "/v1/code/x")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("bytes=0-0", (0, 1)),
        ("bytes=5-", (5, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-30", (0, 10)),
        ("bytes=5-99", (5, 10)),
        ("bytes=-", None),
        ("bytes=7-5", None),
        ("bytes=0-1,3-4", None),
        ("items=0-1", None),
        ("bytes=٣-٤", None),
    ],
)
def test_a_range_is_one_range_of_bytes_or_ignored(header: str | None, expected: tuple[int, int] | None) -> None:
    assert byte_range(header, 10) == expected


@pytest.mark.parametrize(
    ("header", "size"), [("bytes=10-", 10), ("bytes=99-100", 10), ("bytes=-0", 10), ("bytes=0-", 0)]
)
def test_a_range_without_a_byte_is_refused(header: str, size: int) -> None:
    with pytest.raises(Refused) as caught:
        byte_range(header, size)
    assert caught.value.http_status == 416


def test_every_refusal_is_a_client_or_server_error() -> None:
    assert all(400 <= status < 600 for status in HTTP_STATUS.values())
