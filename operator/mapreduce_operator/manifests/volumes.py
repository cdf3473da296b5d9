"""Which claims, ConfigMaps and Secrets a job touches, and how its containers mount them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from mapreduce.model import JobSpec
from mapreduce_operator.manifests import paths
from mapreduce_operator.manifests.paths import Place
from mapreduce_operator.naming import Names

Raw = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """All that a job's specification names outside itself."""

    log: str
    """Claim of the log."""
    runs: str
    """Claim of the runs; empty with Peer."""
    output: Place
    inputs: tuple[str, ...]
    """Claims of inputs, each once."""
    code: str
    """Claim of the code; empty for none."""
    config_maps: tuple[str, ...]
    secrets: tuple[tuple[int, str], ...]
    """Number of an input, and its Secret."""

    @property
    def named_claims(self) -> tuple[str, ...]:
        """Every claim in use, each once."""
        given = (self.log, self.runs, self.output.name, *self.inputs, self.code)
        return tuple(dict.fromkeys(name for name in given if name))

    @property
    def claims_of_data(self) -> tuple[str, ...]:
        """Claims that are mounted below `/mr/claims`."""
        return tuple(dict.fromkeys((*self.inputs, self.output.name)))

    @property
    def shared_claims(self) -> tuple[str, ...]:
        """Claims that workers mount too: with Peer, none."""
        if not self.runs:
            return ()
        return tuple(dict.fromkeys((self.runs, *self.claims_of_data)))


def sources(spec: JobSpec, names: Names) -> Sources:
    """What a checked specification names."""
    storage = spec.storage
    log = storage.log.claim_name or names.log_claim
    runs = storage.runs.claim_name or (names.runs_claim if storage.runs.claim_template is not None else log)
    uris = [source.uri for source in spec.inputs]
    code = spec.code.volume_path
    return Sources(
        log=log,
        runs=runs if storage.shuffle == "Shared" else "",
        output=paths.claim_path(spec.output.uri, "spec.output.uri"),
        inputs=tuple(dict.fromkeys(_names(uris, paths.CLAIM_SCHEME))),
        code=paths.claim_path(code, "spec.code.volumePath").name if code else "",
        config_maps=tuple(dict.fromkeys(_names(uris, paths.CONFIG_MAP_SCHEME))),
        secrets=tuple(
            (index, source.secret_ref.name) for index, source in enumerate(spec.inputs) if source.secret_ref is not None
        ),
    )


def claim_volume(names: tuple[str, ...], claim: str) -> str:
    """The volume of a claim, where `names` are all claims of the pod."""
    return f"mr-claim-{names.index(claim)}"


def claim_volumes(names: tuple[str, ...]) -> list[Raw]:
    """One volume for each claim, however often it is mounted."""
    return [{"name": claim_volume(names, name), "persistentVolumeClaim": {"claimName": name}} for name in names]


def config_map_volumes(found: Sources) -> list[Raw]:
    """One volume for each ConfigMap that is an input."""
    return [
        {"name": f"mr-configmap-{index}", "configMap": {"name": name, "defaultMode": 0o444}}
        for index, name in enumerate(found.config_maps)
    ]


def config_map_mounts(found: Sources) -> list[Raw]:
    """Where those ConfigMaps are seen."""
    return [
        {"name": f"mr-configmap-{index}", "mountPath": f"{paths.CONFIG_MAPS}/{name}", "readOnly": True}
        for index, name in enumerate(found.config_maps)
    ]


def secret_volumes(found: Sources) -> list[Raw]:
    """One volume for each input's Secret: file name is header name."""
    return [
        {"name": f"mr-secret-{index}", "secret": {"secretName": name, "defaultMode": 0o440}}
        for index, name in found.secrets
    ]


def secret_mounts(found: Sources) -> list[Raw]:
    """Where those Secrets are seen: by containers that fetch, never by the job's code."""
    return [
        {"name": f"mr-secret-{index}", "mountPath": f"{paths.SECRETS}/{index}", "readOnly": True}
        for index, _ in found.secrets
    ]


def data_mounts(found: Sources, names: tuple[str, ...], which: Literal["all", "inputs", "output"]) -> list[Raw]:
    """Mounts of claims below `/mr/claims`: inputs can only be read, the output is written by those that name it."""
    writes = which != "inputs"
    wanted = found.inputs if which == "inputs" else found.claims_of_data if which == "all" else (found.output.name,)
    return [
        {
            "name": claim_volume(names, claim),
            "mountPath": f"{paths.CLAIMS}/{claim}",
            **({} if writes and claim == found.output.name else {"readOnly": True}),
        }
        for claim in wanted
    ]


def empty(name: str, size: str, *, in_memory: bool = False) -> Raw:
    """A bounded volume of the pod's own."""
    return {"name": name, "emptyDir": {"sizeLimit": size, **({"medium": "Memory"} if in_memory else {})}}


def _names(uris: list[str], scheme: str) -> Iterator[str]:
    for uri in uris:
        if uri.startswith(scheme):
            yield uri.removeprefix(scheme).partition("/")[0]
