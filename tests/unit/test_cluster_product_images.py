"""What the product's images are made from, and how pip inside their build reaches the machine's package index."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import pipconfig, productimages
from cluster.build import groups_of
from cluster.deciding import Way
from cluster.engines import Engine
from cluster.errors import MissingPart
from tests.support.tree import ROOT
from tools.image import added
from tools.image.requirements import requirements

LISTED = """\
REF                                  TYPE        DIGEST     SIZE     PLATFORMS   LABELS
localhost/mapreduce-operator:1234    application sha256:aa  1.0 MiB  linux/amd64 -
localhost/mapreduce-operator:dev     application sha256:{operator}  1.0 MiB  linux/amd64 -
localhost/mapreduce-worker:1234      application sha256:bb  1.0 MiB  linux/amd64 -
localhost/mapreduce-worker:dev       application sha256:bb  1.0 MiB  linux/amd64 -
"""


def _checkout(folder: Path) -> Path:
    folder.mkdir()
    for name in productimages.CONTENT:
        path = folder / name
        if "." in name or name in {"Dockerfile", "LICENSE"}:
            path.write_text(name)
        else:
            path.mkdir(parents=True)
            (path / "module.py").write_text(name)
    return folder


def _digest(checkout: Path, scratch: Path) -> str:
    productimages.copy_content(checkout, scratch)
    digest = productimages.digest_of_content(scratch)
    shutil.rmtree(scratch)
    return digest


def test_the_digest_changes_with_what_the_dockerfile_copies_and_with_nothing_else(tmp_path: Path) -> None:
    checkout, scratch = _checkout(tmp_path / "checkout"), tmp_path / "scratch"
    before = _digest(checkout, scratch)
    (checkout / "docs").mkdir()
    (checkout / "docs" / "page.md").write_text("a page")
    (checkout / "src" / "__pycache__").mkdir()
    (checkout / "src" / "__pycache__" / "module.pyc").write_bytes(b"made by Python")
    assert _digest(checkout, scratch) == before
    (checkout / "src" / "module.py").write_text("changed")
    assert _digest(checkout, scratch) != before


def test_a_moved_file_changes_the_digest(tmp_path: Path) -> None:
    checkout, scratch = _checkout(tmp_path / "checkout"), tmp_path / "scratch"
    before = _digest(checkout, scratch)
    (checkout / "src" / "module.py").rename(checkout / "src" / "other.py")
    assert _digest(checkout, scratch) != before


def test_a_folder_that_is_no_checkout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingPart, match="no Dockerfile"):
        productimages.copy_content(tmp_path, tmp_path / "context")


def test_everything_that_the_dockerfile_copies_belongs_to_the_digest() -> None:
    copies = [line.split() for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("COPY ")]
    copied = {name for words in copies if not words[1].startswith("--") for name in words[1:-1]}
    outside = {name for name in copied if not any(name == own or name.startswith(f"{own}/") for own in _content())}
    assert copied
    assert outside == set()


def test_everything_that_the_dockerfile_copies_is_let_through_to_docker() -> None:
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert let_through == _content() - {"Dockerfile"}


@pytest.mark.parametrize(("operator", "is_complete"), [("aa", True), ("cc", False)])
def test_images_are_loaded_when_dev_is_the_one_of_the_digest(operator: str, is_complete: bool) -> None:
    assert productimages.is_complete(LISTED.format(operator=operator), "1234") is is_complete


def test_images_of_another_digest_are_not_taken_for_loaded() -> None:
    assert not productimages.is_complete(LISTED.format(operator="aa"), "5678")


def test_pip_in_the_build_reaches_the_index_as_the_machine_does(tmp_path: Path) -> None:
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = https://from.file/simple\ncert = /here/ca.pem\n[install]\nproxy = p:1\n")
    environment = {
        "PIP_INDEX_URL": "https://from.environment/simple",
        "PIP_FIND_LINKS": "/here",
        "PIP_LOG": "/here/log",
    }
    found = pipconfig.settings([config, tmp_path / "none"], environment)
    assert pipconfig.config_file(found, has_certificates=True) == (
        f"[global]\ncert = {pipconfig.CERTIFICATES_INSIDE}\nindex-url = https://from.environment/simple\nproxy = p:1\n"
    )


def test_several_indexes_stay_a_list(tmp_path: Path) -> None:
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nextra-index-url =\n    https://one/simple\n    https://two/simple\n")
    text = pipconfig.config_file(pipconfig.settings([config], {}), has_certificates=False)
    (tmp_path / "inside.conf").write_text(text)
    assert pipconfig.settings([tmp_path / "inside.conf"], {})["extra-index-url"].split() == [
        "https://one/simple",
        "https://two/simple",
    ]


def test_without_settings_pip_works_as_it_comes() -> None:
    assert pipconfig.config_file(pipconfig.settings([], {}), has_certificates=False) == "[global]\n"


def test_certificates_are_those_of_pip_else_those_of_the_machine(tmp_path: Path) -> None:
    of_pip, of_machine = tmp_path / "pip.pem", tmp_path / "machine.pem"
    for path in (of_pip, of_machine):
        path.touch()
    environment = {"SSL_CERT_FILE": str(of_machine)}
    assert pipconfig.certificates({"cert": str(of_pip)}, environment) == of_pip
    assert pipconfig.certificates({"cert": str(tmp_path / "none")}, environment) == of_machine
    assert pipconfig.certificates({}, {}) is None


def test_requirements_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert requirements(project, "product") == project["project"]["dependencies"]
    assert any(line.startswith("kopf") for line in requirements(project, "operator"))
    assert any(line.startswith("hatchling") for line in requirements(project, "build"))


def test_only_what_an_installation_added_is_copied(tmp_path: Path) -> None:
    packages = tmp_path / "env/lib/python3/site-packages"
    (packages / "old").mkdir(parents=True)
    (packages / "old" / "module.py").write_text("old")
    noted = added.files_below(tmp_path / "env")
    for name in ("new/module.py", "new/tests/test_module.py"):
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).write_text("new")
    (tmp_path / "env/bin").mkdir()
    (tmp_path / "env/bin/new").symlink_to("elsewhere")
    assert added.copy_new(tmp_path / "env", tmp_path / "target", noted) == 2
    copied = tmp_path / "target" / str(tmp_path / "env").lstrip("/")
    assert added.files_below(copied) == ["bin/new", "lib/python3/site-packages/new/module.py"]


def test_nothing_of_a_node_is_built_where_somebody_else_makes_the_nodes() -> None:
    assert "nodes" in groups_of(Way.PODMAN)
    assert not groups_of(Way.DOCKER) & {"nodes", "base", "node-image"}
    assert "kind" not in groups_of(Way.GIVEN)


def _content() -> set[str]:
    return set(productimages.CONTENT)


class _RecordingEngine(Engine):
    """An engine without any: it has the images that it was told to have, and remembers what it was called with."""

    def call(self, *args: str, timeout_s: float = 60.0, given: bytes | Path | None = None) -> str:
        CALLS.append(args)
        if args[0] == "images":
            wanted = args[-1].removeprefix("reference=")
            return "\n".join(name for name in THERE if name == wanted or name.rsplit(":", 1)[0] == wanted)
        return ""


CALLS: list[tuple[str, ...]] = []
THERE: list[str] = []


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Engine]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("MR_BASE_IMAGE", raising=False)
    yield _RecordingEngine("docker")
    CALLS.clear()
    THERE.clear()


def _build(engine: Engine, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, list[str]]:
    built: list[str] = []

    def build_target(_: Engine, target: str, digest: str, *rest: Path) -> None:
        built.append(target)
        THERE.append(productimages.image_name(target, digest))

    monkeypatch.setattr(productimages, "_build_target", build_target)
    return productimages.build(engine, checkout), built


def test_images_are_built_once_and_named_dev_each_time(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = _checkout(tmp_path / "checkout")
    digest, built = _build(engine, checkout, monkeypatch)
    assert built == ["worker", "operator"]
    assert _build(engine, checkout, monkeypatch) == (digest, [])
    named = [call for call in CALLS if call[0] == "tag"]
    assert named.count(("tag", f"localhost/mapreduce-worker:{digest}", "localhost/mapreduce-worker:dev")) == 2


def test_images_of_earlier_checkouts_are_forgotten(engine: Engine) -> None:
    names = [productimages.image_name("worker", tag) for tag in ("dev", "now", "before")]
    THERE.extend(names)
    productimages._remove_older(engine, "now")
    assert [call for call in CALLS if call[0] == "rmi"] == [("rmi", names[2])]


def test_the_base_counts_among_what_images_are_made_from(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = _checkout(tmp_path / "checkout")
    of_default, _ = _build(engine, checkout, monkeypatch)
    monkeypatch.setenv("MR_BASE_IMAGE", "registry.example.com/python:3.12")
    assert _build(engine, checkout, monkeypatch)[0] != of_default
