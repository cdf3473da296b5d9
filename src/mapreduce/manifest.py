"""A `MapReduceJob` as YAML: read with errors that name the field and the fix, and written.

The types are `model`'s, the words for errors `specerrors`'. Nothing is executed: only plain YAML without tags and
aliases is read.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from mapreduce import specerrors
from mapreduce.errors import InvalidJobSpec
from mapreduce.jobspec import check_spec
from mapreduce.model import API_VERSION, KIND, MIB, Code, JobSpec, Manifest, Metadata
from mapreduce.typed import convert

MAX_MANIFEST_BYTES: Final = 1 * MIB
MAX_INLINE_CHARS: Final = 65_536
_EXAMPLE: Final = f"Begin with `apiVersion: {API_VERSION}` and `kind: {KIND}`."


def from_file(path: Path) -> Manifest:
    """Read a manifest file. Raises `InvalidJobSpec`."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_MANIFEST_BYTES + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise InvalidJobSpec(str(path), f"cannot be read: {error.strerror}.", "Name a manifest file.") from None
    except UnicodeDecodeError as error:
        raise InvalidJobSpec(str(path), f"is not UTF-8 (byte {error.start}).", "Save it as UTF-8.") from None
    return from_yaml(text, place=str(path))


def from_yaml(text: str, *, place: str = "manifest") -> Manifest:
    """Read a manifest: one YAML document. `place` names it in errors. Raises `InvalidJobSpec`, naming the field."""
    if len(text) > MAX_MANIFEST_BYTES:
        raise InvalidJobSpec(
            place, f"is longer than {MAX_MANIFEST_BYTES} bytes.", "Keep the code in a file of its own."
        )
    raw = _document(text, place)
    if not isinstance(raw, dict):
        raise InvalidJobSpec(place, f"holds {specerrors.describe_value(raw)}, not a manifest.", _EXAMPLE)
    for name, value in (("apiVersion", API_VERSION), ("kind", KIND)):
        if raw.get(name) != value:
            raise InvalidJobSpec(name, f"expected {value}, got {specerrors.describe_value(raw.get(name))}.", _EXAMPLE)
    raw.pop("status", None)  # present when the object was read back from a cluster
    if unknown := list(specerrors.unknown_fields(raw, Manifest)):
        raise InvalidJobSpec(place, "\n  ".join(["has unknown fields:" if len(unknown) > 1 else "", *unknown]).strip())
    try:
        manifest = convert(raw, Manifest)
    except msgspec.ValidationError as error:
        raise specerrors.in_words(error, raw, Manifest) from None
    check_spec(manifest.spec)
    return manifest


def make(name: str, spec: JobSpec, *, namespace: str = "") -> Manifest:
    """A manifest around a spec. The name is made one that Kubernetes takes."""
    return Manifest(
        api_version=API_VERSION,
        kind=KIND,
        metadata=Metadata(name=resource_name(name), namespace=namespace),
        spec=spec,
    )


def to_yaml(manifest: Manifest) -> str:
    """A manifest as YAML, fields in the order of the model, defaults left out, code as a block."""
    raw = msgspec.to_builtins(manifest)
    metadata = {name: value for name, value in raw["metadata"].items() if value}
    return yaml.dump({**raw, "metadata": metadata}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def with_inline_code(spec: JobSpec, source: Path) -> JobSpec:
    """The spec with the file's source in it, so that the manifest stands alone.

    Raises `InvalidJobSpec` when it is too long.
    """
    try:
        text = source.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidJobSpec(
            "spec.code", f"{source} cannot be read ({error}).", "Name the job's Python file."
        ) from None
    if len(text) > MAX_INLINE_CHARS:
        raise InvalidJobSpec(
            "spec.code.inline",
            f"{source} has {len(text)} characters; a manifest holds {MAX_INLINE_CHARS}.",
            "Write a manifest that names it in another place: code.configMapRef (a ConfigMap, up to 1 MiB), "
            "code.volumePath (a claim) or code.module (the job's image).",
        )
    return msgspec.structs.replace(spec, code=Code(inline=text))


def resource_name(name: str) -> str:
    """A job's name as a Kubernetes object name: lower case, digits and dashes, at most 52 characters."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:52].rstrip("-") or "job"


def _document(text: str, place: str) -> Any:
    try:
        documents = [document for document in yaml.load_all(text, Loader=_Loader) if document is not None]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{place}, line {mark.line + 1}, column {mark.column + 1}" if mark else place
        raise InvalidJobSpec(where, f"{error.problem or error.context}.", "Correct the YAML.") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InvalidJobSpec(place, f"is not valid YAML: {error}.", "Correct the YAML.") from None
    if len(documents) != 1:
        count = len(documents) or "no"
        raise InvalidJobSpec(place, f"holds {count} documents, but a job is one.", "Put each job in a file of its own.")
    return documents[0]


class _Loader(yaml.SafeLoader):
    """Plain YAML: no aliases (they can grow without bound), no field twice (the first would be lost silently)."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(
                None, None, "anchors and aliases (& and *) are not read here", event.start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = str(getattr(key_node, "value", ""))
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key} is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as a block, so that code can be read."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    if any(other in text for other in "\r\x85\u2028\u2029"):  # YAML takes these for line breaks and would change them
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
