"""A cluster's volumes, `pvc://CLAIM/PATH` and `configmap://NAME/PATH`, as paths in pods and on a laptop. Pure.

In pods every claim and ConfigMap has a folder of its own below one root; on a laptop the user names a folder for each
(`mr run --claim NAME=FOLDER`). No path leads out of its volume.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal, Self

import msgspec

from mapreduce.errors import InvalidJobSpec
from mapreduce.model import Code, JobSpec

#: Below this the operator mounts everything that belongs to a job.
POD_ROOT: Final = "/mr"

_URI: Final = re.compile(r"(?P<scheme>pvc|configmap)://(?P<name>[^/]*)(?:/(?P<rest>.*))?", re.DOTALL | re.IGNORECASE)
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_FOLDERS: Final = {"pvc": "claims", "configmap": "configmaps"}

#: From a field and its URI to what stands for the URI.
Resolve = Callable[[str, str], str]


class VolumeUri(msgspec.Struct, frozen=True):
    """A place on a claim or in a ConfigMap."""

    scheme: Literal["pvc", "configmap"]
    name: str
    """Of the PersistentVolumeClaim or ConfigMap."""
    rest: str
    """Path or glob in it, without a slash at its start; empty: all of it."""

    @classmethod
    def parse(cls, field: str, uri: str) -> Self | None:
        """The place that `uri` names; None if it names none of these. Raises InvalidJobSpec for one that is malformed.

        `field` is where the URI was given, for the message.
        """
        match = _URI.fullmatch(uri)
        if match is None:
            return None
        scheme: Literal["pvc", "configmap"] = "pvc" if match["scheme"].lower() == "pvc" else "configmap"
        example = f"Write like {scheme}://{'books/*.txt' if scheme == 'pvc' else 'settings/list.txt'}."
        if _NAME.fullmatch(match["name"]) is None:
            what = "claim" if scheme == "pvc" else "ConfigMap"
            raise InvalidJobSpec(field, f"{uri!r} names no {what}: {match['name']!r} is no name of one.", example)
        rest = (match["rest"] or "").strip("/")
        if "\0" in rest or any(part in {"..", "."} for part in rest.split("/")):
            raise InvalidJobSpec(field, f"{uri!r} holds '.', '..' or NUL as part of a path.", example)
        return cls(scheme, match["name"], rest)

    def below(self, folder: str) -> str:
        """The place, with the volume itself at `folder`."""
        return f"{folder}/{self.rest}" if self.rest else folder


def pod_folder(uri: VolumeUri, root: str = POD_ROOT) -> str:
    """Where the volume itself is in a pod."""
    return f"{root}/{_FOLDERS[uri.scheme]}/{uri.name}"


def pod_path(field: str, uri: str, root: str = POD_ROOT) -> str:
    """A field's URI as a path in a pod; one that names no volume stays as it is. Raises InvalidJobSpec."""
    found = VolumeUri.parse(field, uri)
    return uri if found is None else found.below(pod_folder(found, root))


def shown(text: str, root: str = POD_ROOT) -> str:
    """A message about paths in a pod, with the URIs that its reader wrote."""
    for scheme, folder in _FOLDERS.items():
        text = text.replace(f"{root}/{folder}/", f"{scheme}://")
    return text


def in_pod(spec: JobSpec, root: str = POD_ROOT) -> JobSpec:
    """The specification with paths of a pod in it. Raises InvalidJobSpec."""
    for field, uri in _uris(spec):
        is_place = field.startswith("spec.inputs")
        if is_place and (not uri or uri.startswith(("http://", "https://"))):
            continue
        found = VolumeUri.parse(field, uri)
        if found is None:
            kinds = "pvc://CLAIM/PATH, configmap://NAME/PATH or http(s)://" if is_place else "pvc://CLAIM/PATH"
            raise InvalidJobSpec(field, f"{uri!r} is no place that a cluster's pods can see.", f"Write {kinds}.")
        if found.scheme != "pvc" and not is_place:
            raise InvalidJobSpec(field, f"{uri!r} is a ConfigMap.", "Write pvc://CLAIM/PATH.")
        if not found.rest and not is_place:
            raise InvalidJobSpec(field, f"{uri!r} is a whole claim.", "Write pvc://CLAIM/PATH.")
    return _resolved(spec, lambda field, uri: pod_path(field, uri, root))


def on_this_machine(spec: JobSpec, claims: Mapping[str, Path]) -> JobSpec:
    """The specification with the folders that stand for claims and ConfigMaps here.

    Raises InvalidJobSpec for what only clusters have.
    """
    spec = msgspec.structs.replace(spec, code=code_here(spec.code, claims))
    for index, source in enumerate(spec.inputs):
        if source.secret_ref is not None:
            raise InvalidJobSpec(
                f"spec.inputs[{index}].secretRef", "there are no Secrets on this machine.", "Run this job in a cluster."
            )
    return _resolved(spec, lambda field, uri: local_path(field, uri, claims))


def code_here(code: Code, claims: Mapping[str, Path]) -> Code:
    """The same for a job's code alone."""
    if (reference := code.config_map_ref) is not None:
        uri = f"configmap://{reference.name}/{reference.key}"
        return Code(volume_path=local_path("spec.code.configMapRef", uri, claims))
    if code.volume_path is None:
        return code
    return msgspec.structs.replace(code, volume_path=local_path("spec.code.volumePath", code.volume_path, claims))


def local_path(field: str, uri: str, claims: Mapping[str, Path]) -> str:
    """A field's URI as a path on this machine; one that names no volume stays as it is. Raises InvalidJobSpec."""
    found = VolumeUri.parse(field, uri)
    if found is None:
        return uri
    folder = claims.get(found.name)
    if folder is None:
        what = "on a cluster's volume" if found.scheme == "pvc" else "in a cluster's ConfigMap"
        raise InvalidJobSpec(
            field,
            f"{uri} is {what}.",
            f"Say which folder it is here: mr run --claim {found.name}=FOLDER.",
        )
    return found.below(str(folder))


def _uris(spec: JobSpec) -> list[tuple[str, str]]:
    code = [("spec.code.volumePath", spec.code.volume_path)] if spec.code.volume_path is not None else []
    return [
        *code,
        *((f"spec.inputs[{index}].uri", source.uri) for index, source in enumerate(spec.inputs)),
        ("spec.output.uri", spec.output.uri),
    ]


def _resolved(spec: JobSpec, resolve: Resolve) -> JobSpec:
    replaced = {field: resolve(field, uri) if uri else uri for field, uri in _uris(spec)}
    code = spec.code
    if code.volume_path is not None:
        code = msgspec.structs.replace(code, volume_path=replaced["spec.code.volumePath"])
    inputs = tuple(
        msgspec.structs.replace(source, uri=replaced[f"spec.inputs[{index}].uri"])
        for index, source in enumerate(spec.inputs)
    )
    output = msgspec.structs.replace(spec.output, uri=replaced["spec.output.uri"])
    return msgspec.structs.replace(spec, code=code, inputs=inputs, output=output)
