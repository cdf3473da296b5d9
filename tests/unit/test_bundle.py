"""Code bundles: the same code gives the same bytes, what is opened is what was packed, and attacks are refused."""

from __future__ import annotations

import hashlib
import io
import stat
import sys
import textwrap
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mapreduce import bundle
from mapreduce.bundle import Bundle, libraries_of, load_job, make_bundle, open_bundle, source_in
from mapreduce.errors import InvalidUserCode
from mapreduce.loading import CodeSource, ImportFailed, load_code
from mapreduce.model import Code
from tests.support.jobs import MINIMAL, write_job


@pytest.fixture(autouse=True)
def _leave_the_imports_as_they_were() -> Iterator[None]:
    modules, finders = dict(sys.modules), list(sys.meta_path)
    yield
    for name in set(sys.modules) - set(modules):
        del sys.modules[name]
    sys.meta_path[:] = finders


def _job_with_library(folder: Path) -> tuple[Path, list[Path]]:
    job = write_job(
        folder,
        """
        from dataclasses import dataclass
        from helper import twice
        from pack.inner import Point

        @dataclass
        class Order:
            n: int

        def mapper(line):
            yield twice(line), Order(1)
        """,
    )
    write_job(folder, "def twice(text): return text * 2\n", "helper.py")
    (folder / "pack").mkdir()
    write_job(folder / "pack", "", "__init__.py")
    write_job(folder / "pack", "import msgspec\nclass Point(msgspec.Struct):\n    x: int\n", "inner.py")
    (folder / "pack" / "words.txt").write_text("data travels too")
    (folder / "pack" / "__pycache__").mkdir()
    (folder / "pack" / "__pycache__" / "inner.pyc").write_bytes(b"junk")
    return job, [folder / "helper.py", folder / "pack"]


def test_a_bundle_opens_into_what_was_packed_and_loads(tmp_path: Path) -> None:
    job, py_files = _job_with_library(tmp_path)
    made = make_bundle(Code(volume_path=str(job)), py_files=py_files)
    assert made.sha256 == hashlib.sha256(made.data).hexdigest()
    source = open_bundle(made.data, tmp_path / "code", sha256=made.sha256)
    assert source.file == tmp_path / "code" / made.sha256 / "job" / "job.py"
    assert (tmp_path / "code" / made.sha256 / "lib" / "pack" / "words.txt").read_text() == "data travels too"
    assert not list((tmp_path / "code").rglob("*.pyc"))
    loaded = load_job(source, MINIMAL, name="x")
    ((key, value),) = loaded.mapper("ab")
    assert (key, value.n) == ("abab", 1)
    assert set(loaded.types) == {"_mapreduce_job:Order", "pack.inner:Point"}
    assert type(value) is loaded.types["_mapreduce_job:Order"]


def test_the_same_code_gives_the_same_bytes_wherever_it_lies(tmp_path: Path) -> None:
    made = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        job, py_files = _job_with_library(tmp_path / name)
        made.append(make_bundle(Code(volume_path=job.name), base=job.parent, py_files=reversed(py_files)))
    assert made[0] == made[1]
    job, py_files = tmp_path / "two" / "job.py", [tmp_path / "two" / name for name in ("helper.py", "pack")]
    job.write_text(job.read_text() + "# changed\n")
    assert make_bundle(Code(volume_path=str(job)), py_files=py_files) != made[0]


def test_the_bytes_of_a_bundle_are_fixed_for_ever() -> None:
    made = make_bundle(Code(inline="def mapper(line): yield line, 1\n"))
    assert made.sha256 == "71650fb289c44194e69a87d9e0b9720cdd087418033244dac3ff5971a8b6bdbf"


def test_inline_code_and_installed_modules_travel_too(tmp_path: Path) -> None:
    inline = make_bundle(Code(inline="def mapper(line): yield line, 1\n"))
    source = open_bundle(inline.data, tmp_path, sha256=inline.sha256)
    assert list(load_job(source, MINIMAL, name="x").mapper("a")) == [("a", 1)]
    module = make_bundle(Code(module="textwrap"))
    source = open_bundle(module.data, tmp_path, sha256=module.sha256)
    assert load_code(source).module is textwrap


def test_opening_twice_uses_what_is_there(tmp_path: Path) -> None:
    made = make_bundle(Code(inline="x = 1"))
    first = open_bundle(made.data, tmp_path, sha256=made.sha256)
    assert open_bundle(b"not even read", tmp_path, sha256=made.sha256) == first
    assert [path.name for path in tmp_path.iterdir()] == [made.sha256]


def test_dataclasses_with_postponed_annotations_resolve(tmp_path: Path) -> None:
    source = """
        from __future__ import annotations
        import dataclasses, typing

        @dataclasses.dataclass
        class Node:
            next: Node | None = None
            kind: typing.ClassVar[str] = "n"

            @dataclasses.dataclass
            class Inner:
                x: int

        hints = typing.get_type_hints(Node)
    """
    loaded = load_code(CodeSource(write_job(tmp_path, source)))
    assert set(loaded.types) == {"_mapreduce_job:Node", "_mapreduce_job:Node.Inner"}


def test_a_changed_file_is_loaded_as_it_is_now(tmp_path: Path) -> None:
    for value in (1, 2):  # same size, same second: a cached compilation would be the old one
        loaded = load_code(CodeSource(write_job(tmp_path, f"x = {value}\n")))
        assert loaded.module.x == value
    assert not (tmp_path / "__pycache__").exists()


def test_another_jobs_modules_of_the_same_name_are_not_used(tmp_path: Path) -> None:
    for value in ("one", "two"):
        folder = tmp_path / value
        folder.mkdir()
        job = write_job(folder, "from helper import value\n")
        helper = write_job(folder, f"value = {value!r}\n", "helper.py")
        assert load_code(CodeSource(job, libraries=libraries_of([helper]))).module.value == value
    with pytest.raises(ImportFailed):
        load_code(CodeSource(write_job(tmp_path, "import helper\n")))


def test_neighbours_of_a_file_are_not_importable_and_the_fix_is_named(tmp_path: Path) -> None:
    write_job(tmp_path, "", "helper.py")
    with pytest.raises(ImportFailed, match=r"Take it along with --py-files .*helper\.py\."):
        load_code(CodeSource(write_job(tmp_path, "import helper\n")))
    with pytest.raises(ImportFailed, match=r"Install nowhere_to_be_found where the workers run"):
        load_code(CodeSource(write_job(tmp_path, "import nowhere_to_be_found\n")))
    with pytest.raises(ImportFailed, match="Did you mean collections"):
        load_code(CodeSource(write_job(tmp_path, "import colections\n")))


def test_a_traceback_begins_in_the_users_file(tmp_path: Path) -> None:
    with pytest.raises(ImportFailed) as caught:
        load_code(CodeSource(write_job(tmp_path, "import json\njson.loads('{')\n")))
    lines = caught.value.traceback.splitlines()
    assert lines[1].strip() == f'File "{tmp_path}/job.py", line 2, in <module>'
    assert "JSONDecodeError" in str(caught.value)
    with pytest.raises(ImportFailed) as caught:
        load_code(CodeSource(write_job(tmp_path, "def mapper(:\n")))
    assert caught.value.traceback.startswith(f'  File "{tmp_path}/job.py", line 1\n    def mapper(:\n')


def test_a_file_that_ends_the_process_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportFailed, match="ends the process when it is imported"):
        load_code(CodeSource(write_job(tmp_path, "import sys\nsys.exit(3)\n")))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gone.py", "there is no such file or folder"),
        ("json.py", "it would hide the module json"),
        ("mapreduce", "it would hide the module mapreduce"),
        ("data.csv", "only .py files and package folders"),
        ("not-a-name.py", "cannot be imported by that name"),
    ],
)
def test_what_cannot_be_taken_along_is_refused(tmp_path: Path, name: str, said: str) -> None:
    path = tmp_path / name
    if name == "mapreduce":
        path.mkdir()
    elif name != "gone.py":
        path.touch()
    with pytest.raises(InvalidUserCode, match=said):
        libraries_of([path])
    with pytest.raises(InvalidUserCode, match=said):
        make_bundle(Code(inline="x = 1"), py_files=[path])


def test_two_modules_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    one, two = write_job(tmp_path, "", "helper.py"), write_job(tmp_path / "a", "", "helper.py")
    with pytest.raises(InvalidUserCode, match="two modules named helper"):
        make_bundle(Code(inline="x = 1"), py_files=[one, two])


def test_code_that_is_too_big_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MAX_BUNDLE_BYTES", 1_000)
    with pytest.raises(InvalidUserCode, match="too big to travel"):
        make_bundle(Code(volume_path=str(write_job(tmp_path, "#" * 2_000))))
    (tmp_path / "pack").mkdir()
    for index in range(3):
        write_job(tmp_path / "pack", "#" * 400, f"m{index}.py")
    with pytest.raises(InvalidUserCode, match="too big to travel"):
        make_bundle(Code(inline="x = 1"), py_files=[tmp_path / "pack"])


def test_a_missing_job_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidUserCode, match="cannot be read"):
        make_bundle(Code(volume_path=str(tmp_path / "gone.py")))
    with pytest.raises(InvalidUserCode, match="is no regular file"):
        make_bundle(Code(volume_path=str(tmp_path)))


def test_a_link_to_a_folder_inside_a_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "link").symlink_to("/etc")
    with pytest.raises(InvalidUserCode, match="links to a folder"):
        make_bundle(Code(inline="x = 1"), py_files=[tmp_path / "pack"])


# ---------------------------------------------------------------------------------------------------------------
# attacks


def _zip_of(entries: list[tuple[zipfile.ZipInfo, bytes]], compression: int = zipfile.ZIP_STORED) -> Bundle:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for entry, content in entries:
            archive.writestr(entry, content, compress_type=compression)
    return Bundle(out.getvalue(), hashlib.sha256(out.getvalue()).hexdigest())


def _entry(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system, entry.external_attr = 3, mode << 16
    return entry


INDEX = (_entry("bundle.json"), b'{"format": 1, "file": "job/job.py"}')
JOB = (_entry("job/job.py"), b"x = 1\n")


def _refused(attack: Bundle, tmp_path: Path) -> str:
    folder = tmp_path / "deep" / "code"
    with pytest.raises(InvalidUserCode) as caught:
        open_bundle(attack.data, folder, sha256=attack.sha256)
    assert not list(folder.iterdir())
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]
    return str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "../evil.py",
        "/etc/evil.py",
        "job/../../evil.py",
        "job\\..\\evil.py",
        "C:/evil.py",
        "job//x.py",
        "./x.py",
        "job/",
        "a\0b",
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    entry = _entry("placeholder")
    entry.filename = name
    assert "no plain file inside it" in _refused(_zip_of([INDEX, JOB, (entry, b"evil")]), tmp_path)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFDIR, stat.S_IFBLK])
def test_links_and_devices_are_refused(tmp_path: Path, kind: int) -> None:
    attack = _zip_of([INDEX, JOB, (_entry("lib/link", kind | 0o777), b"/etc/passwd")])
    assert "no plain file inside it" in _refused(attack, tmp_path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_given_twice_is_refused(tmp_path: Path) -> None:
    for name in ("job/job.py", "JOB/job.py"):
        assert "holds a file twice" in _refused(_zip_of([INDEX, JOB, (_entry(name), b"other")]), tmp_path)


def test_a_zip_that_unpacks_to_more_than_any_bundle_is_refused(tmp_path: Path) -> None:
    bomb = _zip_of([INDEX, JOB, (_entry("lib/x"), b"\0" * (20 << 20))], zipfile.ZIP_DEFLATED)
    assert len(bomb.data) < 100_000
    assert "bigger than any" in _refused(bomb, tmp_path)


def test_a_zip_that_lies_about_its_sizes_is_refused(tmp_path: Path) -> None:
    honest = _zip_of([INDEX, JOB, (_entry("lib/x"), b"\0" * 100_000)], zipfile.ZIP_DEFLATED)
    data = honest.data.replace((100_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    assert data != honest.data
    assert "is damaged" in _refused(Bundle(data, hashlib.sha256(data).hexdigest()), tmp_path)


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MAX_BUNDLE_FILES", 3)
    attack = _zip_of([INDEX, JOB, *((_entry(f"lib/{index}"), b"") for index in range(9))])
    assert "bigger than any" in _refused(attack, tmp_path)


@pytest.mark.parametrize("data", [b"", b"PK\x05\x06", b"not a zip", b"PK\x03\x04" + b"\xff" * 60])
def test_what_is_no_zip_is_refused(tmp_path: Path, data: bytes) -> None:
    assert "is damaged" in _refused(Bundle(data, hashlib.sha256(data).hexdigest()), tmp_path)


def test_every_cut_and_every_flipped_byte_is_refused_or_harmless(tmp_path: Path) -> None:
    made = make_bundle(Code(inline="x = 1\n"))
    for position in range(0, len(made.data), 3):
        for data in (
            made.data[:position],
            made.data[:position] + bytes([made.data[position] ^ 0xFF]) + made.data[position + 1 :],
        ):
            with pytest.raises(InvalidUserCode, match="it was altered on its way"):
                open_bundle(data, tmp_path, sha256=made.sha256)
            try:
                open_bundle(data, tmp_path, sha256=hashlib.sha256(data).hexdigest())
            except InvalidUserCode:
                continue


@pytest.mark.parametrize("digest", ["../up", "A" * 64, "", "0" * 63])
def test_a_digest_that_is_none_is_refused(tmp_path: Path, digest: str) -> None:
    (tmp_path / "code").mkdir()
    with pytest.raises(InvalidUserCode):
        open_bundle(b"", tmp_path / "code", sha256=digest)


@pytest.mark.parametrize(
    "index",
    [b"", b"[]", b'{"format": 2}', b'{"format": 1, "file": "../../etc/passwd"}', b'{"format": 1, "file": "gone.py"}'],
)
def test_an_index_that_says_nonsense_is_refused(tmp_path: Path, index: bytes) -> None:
    assert _refused(_zip_of([(_entry("bundle.json"), index), JOB]), tmp_path)
    with pytest.raises(InvalidUserCode, match=r"no valid bundle\.json"):
        source_in(tmp_path)
