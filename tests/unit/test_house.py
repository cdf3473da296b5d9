"""Rules of the house that no other tool checks: the shape of the tree, what may be imported, what may be named."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib

import pytest

import mapreduce
from mapreduce.model import JobSpec
from tests.support.tree import ROOT, attributes_in, code_files, imported_modules, tracked_files
from tools.draw_defaults import described_fields

MAX_LINES = 400
#: Written in two halves, so that this file does not name them.
PRIVATE_PATHS = tuple("/" + name + "/" for name in ("work", "root", "farm", "tmp/bash_" + "jobs"))
FIELDS = [pytest.param(path, field.name, text, id=path) for path, field, text in described_fields(JobSpec)]


@pytest.mark.parametrize("root", ["operator", "worker"])
def test_a_component_root_is_no_package_or_it_would_shadow_the_standard_library(root: str) -> None:
    assert not (ROOT / root / "__init__.py").exists()


def test_no_file_names_a_path_of_the_machine_it_was_written_on() -> None:
    named = [
        f"{path.relative_to(ROOT)}: {private}"
        for path in tracked_files()
        for private in PRIVATE_PATHS
        if re.search(rb"(?<![\w)}])" + private.encode(), path.read_bytes())  # not within a longer path
    ]
    assert named == []


def test_every_python_file_is_one_concept_and_below_400_lines() -> None:
    long = {str(path.relative_to(ROOT)): path.read_bytes().count(b"\n") for path in tracked_files(".py")}
    assert {name: lines for name, lines in long.items() if lines >= MAX_LINES} == {}


def test_every_module_of_the_product_says_what_belongs_in_it() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in code_files()
        if path.stat().st_size and not ast.get_docstring(ast.parse(path.read_bytes()))
    ]
    assert silent == []


@pytest.mark.parametrize(("path", "name", "description"), FIELDS)
def test_every_field_of_the_specification_is_described(path: str, name: str, description: str) -> None:
    assert description.endswith(".")


@pytest.mark.parametrize(("path", "name", "description"), FIELDS)
def test_every_field_of_the_specification_acts(path: str, name: str, description: str) -> None:
    readers = [
        file
        for file in code_files()
        if file.name != "model.py" and file.parent.name != "crd" and name in attributes_in(file)
    ]
    assert readers, f"nothing in src, operator or worker reads .{name} ({path})"


def test_importing_the_package_imports_nothing_heavy() -> None:
    heavy = ("msgspec", "aiohttp", "click", "rich", "asyncio", "yaml", "xxhash")
    program = f"import sys, mapreduce; print([name for name in {heavy!r} if name in sys.modules])"
    got = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert got.stdout == "[]\n"


def test_only_the_operator_and_the_commands_for_clusters_know_a_kubernetes_client() -> None:
    guilty = [
        f"{path.relative_to(ROOT)}: {module}"
        for path in code_files()
        if not any(path.is_relative_to(ROOT / part) for part in ("operator", "src/mapreduce_cli/cluster"))
        for module in imported_modules(path)
        if module.split(".")[0] in {"kopf", "kubernetes"}
    ]
    assert guilty == []


def test_nothing_unpickles() -> None:
    guilty = [
        f"{path.relative_to(ROOT)}: {module}"
        for path in code_files()
        for module in imported_modules(path)
        if module.split(".")[0] in {"pickle", "marshal", "shelve", "dill", "cloudpickle"}
    ]
    assert guilty == []


def test_types_are_decoded_through_the_one_door_that_is_safe_in_threads() -> None:
    past = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in code_files()
        if path.name != "typed.py"
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Call) and _decodes_into_a_type(node)
    ]
    assert past == [], "use mapreduce.typed"


def _decodes_into_a_type(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    if re.search(r"(^|msgspec\.(json|msgpack)\.)Decoder$", name):
        return bool(call.args) or any(keyword.arg == "type" for keyword in call.keywords)
    if re.fullmatch(r"msgspec\.(json|msgpack|yaml|toml)\.decode", name):
        return any(keyword.arg == "type" for keyword in call.keywords)
    return name == "msgspec.convert" or re.match(r"msgspec\.(json\.schema|inspect\.)", name) is not None


def test_the_licence_lies_in_the_tree_and_is_the_one_the_package_declares() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == "Apache-2.0"
    for name in project["license-files"]:
        assert "Apache License" in (ROOT / name).read_text()


def test_version_is_the_same_in_package_and_project_and_stands_in_the_changelog() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == mapreduce.__version__
    assert f"## [{mapreduce.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_every_install_is_pinned_by_the_constraints() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {name: project["optional-dependencies"][name] for name in ("operator", "k8s", "dev")}
    pinned = {_normal(line.split("==")[0]) for line in (ROOT / "constraints.txt").read_text().split()}
    wanted = {
        _normal(re.split(r"[<>=!~;\[ ]", entry)[0])
        for entry in (*project["dependencies"], *(entry for extra in extras.values() for entry in extra))
    }
    assert wanted - pinned - {project["name"]} == set()


def test_ci_is_a_program() -> None:
    program = ROOT / ".ci" / "run"
    assert program.stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", str(program)], check=False).returncode == 0


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
