"""What a job may say about its pods, and how that is merged into ours. Pure.

A template is refused, by name of the field, for whatever is not listed here: new fields of Kubernetes are added on
purpose, never let through by chance. What is listed is merged as Kubernetes merges strategically (containers, volumes,
environment by name), and the operator's own fields are applied last. Containers that hold a token take resources and
proxy settings only: an environment variable or a mount would be a way to run code in them.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Final

from mapreduce.errors import InvalidJobSpec
from mapreduce_operator.manifests import quantities
from mapreduce_operator.naming import is_own_claim, is_token_secret

Raw = dict[str, Any]

OWN_VOLUMES: Final = "mr-"
"""How the names of the operator's volumes begin."""
TOKEN_CONTAINERS: Final = frozenset({"agent", "coordinator"})
CODE_CONTAINERS: Final = frozenset({"executor", "describe"})

_POD_FIELDS: Final = frozenset(
    {
        *("affinity", "nodeSelector", "tolerations", "topologySpreadConstraints"),
        *("priorityClassName", "preemptionPolicy", "runtimeClassName", "schedulerName", "resourceClaims"),
        *("imagePullSecrets", "hostAliases", "dnsConfig", "dnsPolicy"),
        *("containers", "initContainers", "volumes", "securityContext"),
    }
)
_CONTAINER_FIELDS: Final = frozenset(
    {
        *("name", "image", "imagePullPolicy", "command", "args", "workingDir", "env", "envFrom", "resources"),
        *("volumeMounts", "ports", "restartPolicy", "securityContext", "terminationMessagePolicy"),
        *("startupProbe", "livenessProbe", "readinessProbe"),
    }
)
_FIELDS_WITH_TOKEN: Final = frozenset({"name", "resources", "env", "securityContext"})
_FIELDS_WITH_CODE: Final = frozenset({"name", "resources", "env", "envFrom", "volumeMounts", "securityContext"})
_PROXY_VARIABLES: Final = frozenset({"http_proxy", "https_proxy", "no_proxy", "all_proxy", "tz"})
_VOLUME_KINDS: Final = frozenset(
    {
        *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image"),
        *("persistentVolumeClaim", "projected", "secret"),
    }
)
_PROJECTED_SOURCES: Final = frozenset({"configMap", "downwardAPI", "secret"})
_MOUNT_FIELDS: Final = frozenset({"name", "mountPath", "readOnly", "subPath", "subPathExpr"})
_RESERVED_FOLDERS: Final = ("/mr", "/tmp", "/dev", "/proc", "/sys")  # noqa: S108 - refused, not used
_OWN_LABELS: Final = ("mapreduce.dev/", "app.kubernetes.io/", "batch.kubernetes.io/", "apps.kubernetes.io/")
_OWN_LABEL_NAMES: Final = frozenset(
    {"controller-uid", "job-name", "controller-revision-hash", "statefulset.kubernetes.io/pod-name"}
)
_SECURITY_ANNOTATIONS: Final = ("container.apparmor.", "seccomp.security.", "container.seccomp.")
_BY_OPERATOR: Final = "is the operator's to set."


def check(template: Raw, field: str) -> None:
    """Refuse a template that could loosen what the operator sets. Raises `InvalidJobSpec`, naming the field."""
    _only(template, frozenset({"metadata", "spec"}), field)
    metadata = _mapping(template.get("metadata"), f"{field}.metadata")
    _only(metadata, frozenset({"labels", "annotations"}), f"{field}.metadata")
    for kind in ("labels", "annotations"):
        for name in _mapping(metadata.get(kind), f"{field}.metadata.{kind}"):
            if name.startswith((*_OWN_LABELS, *_SECURITY_ANNOTATIONS)) or name in _OWN_LABEL_NAMES:
                raise InvalidJobSpec(f"{field}.metadata.{kind}[{name}]", _BY_OPERATOR, "Leave it out.")
    spec = _mapping(template.get("spec"), f"{field}.spec")
    _only(spec, _POD_FIELDS, f"{field}.spec")
    for index, volume in enumerate(_list(spec.get("volumes"), f"{field}.spec.volumes")):
        _check_volume(volume, f"{field}.spec.volumes[{index}]")
    for kind in ("initContainers", "containers"):
        for index, container in enumerate(_list(spec.get(kind), f"{field}.spec.{kind}")):
            _check_container(container, f"{field}.spec.{kind}[{index}]")


def merged(template: Raw, ours: Raw, *, foreign_security: Raw) -> Raw:
    """A pod template made of ours and of what the job says; `foreign_security` is forced on containers of its own."""
    metadata, spec = copy.deepcopy(template.get("metadata") or {}), copy.deepcopy(template.get("spec") or {})
    spec = _with_one_volume_a_claim(spec, ours["spec"].get("volumes", ()))
    theirs = {one["name"]: one for kind in ("initContainers", "containers") for one in spec.get(kind) or ()}
    own = ours["spec"]
    known = {one["name"] for kind in ("initContainers", "containers") for one in own.get(kind) or ()}
    containers = {}
    for kind in ("initContainers", "containers"):
        mine = [_merged_container(one, theirs.get(one["name"], {})) for one in own.get(kind) or ()]
        foreign = [
            {**one, "securityContext": copy.deepcopy(foreign_security)}
            for one in spec.get(kind) or ()
            if one["name"] not in known | TOKEN_CONTAINERS | CODE_CONTAINERS
        ]
        containers[kind] = [*foreign, *mine] if kind == "initContainers" else [*mine, *foreign]
    loose = {
        name: value
        for name, value in spec.items()
        if name not in {"containers", "initContainers", "volumes", "securityContext", "tolerations", "affinity"}
    }
    pull_secrets = {
        one["name"]: one for one in (*(spec.get("imagePullSecrets") or ()), *own.get("imagePullSecrets", ()))
    }
    merged_spec = {
        **loose,
        **own,
        **containers,
        "volumes": [*own.get("volumes", ()), *(spec.get("volumes") or ())],
        "tolerations": _merged_tolerations(spec, own),
        "affinity": _merged_affinity(spec.get("affinity") or {}, own.get("affinity", {})),
        "imagePullSecrets": list(pull_secrets.values()),
    }
    return {
        "metadata": {
            "labels": {**(metadata.get("labels") or {}), **ours["metadata"].get("labels", {})},
            "annotations": {**(metadata.get("annotations") or {}), **ours["metadata"].get("annotations", {})},
        },
        "spec": {name: value for name, value in merged_spec.items() if value not in ({}, [])},
    }


def placed(template: Raw, own: Raw) -> Raw:
    """The specification of a pod of ours, placed where the job's pods are; it runs when all of those are gone.

    So rules about being near to other pods, or far from them, are left out: none would hold any more.
    """
    spec = template.get("spec") or {}
    found = {name: copy.deepcopy(spec[name]) for name in ("nodeSelector", "runtimeClassName") if spec.get(name)}
    if near := (spec.get("affinity") or {}).get("nodeAffinity"):
        found["affinity"] = {"nodeAffinity": copy.deepcopy(near)}
    tolerations = _merged_tolerations(spec, own)
    return {**found, **own, **({"tolerations": tolerations} if tolerations else {})}


def _merged_tolerations(theirs: Raw, ours: Raw) -> list[Raw]:
    tolerated = {one.get("key") for one in theirs.get("tolerations") or ()}
    return [
        *(one for one in ours.get("tolerations", ()) if one.get("key") not in tolerated),
        *(theirs.get("tolerations") or ()),
    ]


def _merged_container(ours: Raw, theirs: Raw) -> Raw:
    own_variables = {one["name"] for one in ours.get("env", ())}
    return {
        **ours,
        "resources": quantities.merged(ours.get("resources", {}), theirs.get("resources") or {}),
        **({"envFrom": theirs["envFrom"]} if theirs.get("envFrom") else {}),
        # ours first: a job's variable may refer to POD_NAME, and none of ours can be said twice
        "env": [
            *ours.get("env", ()),
            *(one for one in theirs.get("env") or () if one.get("name") not in own_variables),
        ],
        "volumeMounts": [*ours.get("volumeMounts", ()), *(theirs.get("volumeMounts") or ())],
    }


def _with_one_volume_a_claim(theirs: Raw, ours: Sequence[Raw]) -> Raw:
    """A second volume of a claim becomes mounts of the first: a kubelet waits for it for ever, without a word.

    See kubernetes/kubernetes#82526.
    """
    known = {name: one["name"] for one in ours if (name := _claim_of(one))}
    instead: dict[str, tuple[str, bool]] = {}
    volumes = []
    for volume in theirs.get("volumes") or ():
        claim = _claim_of(volume)
        if claim is not None and claim in known:
            instead[volume["name"]] = known[claim], bool(volume["persistentVolumeClaim"].get("readOnly"))
            continue
        if claim is not None:
            known[claim] = volume["name"]
        volumes.append(volume)
    if not instead:
        return theirs
    changed = {**theirs, "volumes": volumes}
    for kind in ("initContainers", "containers"):
        changed[kind] = [
            {**one, "volumeMounts": [_renamed(mount, instead) for mount in one.get("volumeMounts") or ()]}
            for one in theirs.get(kind) or ()
        ]
    return changed


def _renamed(mount: Raw, instead: dict[str, tuple[str, bool]]) -> Raw:
    if mount.get("name") not in instead:
        return mount
    name, is_read_only = instead[mount["name"]]
    return {**mount, "name": name, **({"readOnly": True} if is_read_only else {})}


def _claim_of(volume: Raw) -> str | None:
    claim: str | None = (volume.get("persistentVolumeClaim") or {}).get("claimName")
    return claim


def _merged_affinity(theirs: Raw, ours: Raw) -> Raw:
    result: Raw = dict(theirs)
    for kind, rules in ours.items():
        both: Raw = dict(theirs.get(kind) or {})
        for name, terms in rules.items():
            both[name] = [*(both.get(name) or ()), *terms]
        result[kind] = both
    return result


def _check_volume(volume: Any, field: str) -> None:
    volume = _mapping(volume, field)
    name = str(volume.get("name", ""))
    if name.startswith(OWN_VOLUMES):
        raise InvalidJobSpec(f"{field}.name", f"{name!r} begins with {OWN_VOLUMES}, as the operator's volumes do.")
    _only(volume, _VOLUME_KINDS | {"name"}, field)
    _refuse_token(_mapping(volume.get("secret"), f"{field}.secret").get("secretName"), f"{field}.secret.secretName")
    claim = _mapping(volume.get("persistentVolumeClaim"), f"{field}.persistentVolumeClaim").get("claimName")
    if claim and is_own_claim(str(claim)):
        raise InvalidJobSpec(f"{field}.persistentVolumeClaim.claimName", f"{claim!r} is the operator's own.")
    sources = _mapping(volume.get("projected"), f"{field}.projected").get("sources")
    for index, source in enumerate(_list(sources, f"{field}.projected.sources")):
        place = f"{field}.projected.sources[{index}]"
        _only(_mapping(source, place), _PROJECTED_SOURCES, place)
        _refuse_token(_mapping(source.get("secret"), f"{place}.secret").get("name"), f"{place}.secret.name")
    if "csi" in volume:  # inline secrets of a driver would be another way to a token
        reference = _mapping(volume["csi"].get("nodePublishSecretRef"), f"{field}.csi.nodePublishSecretRef")
        _refuse_token(reference.get("name"), f"{field}.csi.nodePublishSecretRef.name")


def _check_container(container: Any, field: str) -> None:
    container = _mapping(container, field)
    name = container.get("name")
    if not isinstance(name, str) or not name:
        raise InvalidJobSpec(f"{field}.name", "is missing.", "Name the container.")
    if name in TOKEN_CONTAINERS:
        allowed = _FIELDS_WITH_TOKEN
    elif name in CODE_CONTAINERS:
        allowed = _FIELDS_WITH_CODE
    else:
        allowed = _CONTAINER_FIELDS
    _only(container, allowed, field)
    for index, one in enumerate(_list(container.get("env"), f"{field}.env")):
        place = f"{field}.env[{index}]"
        variable = str(_mapping(one, place).get("name", ""))
        if name in TOKEN_CONTAINERS and variable.lower() not in _PROXY_VARIABLES:
            raise InvalidJobSpec(place, f"{variable!r} may not be set for {name}, which holds a token.")
        source = _mapping(one.get("valueFrom"), f"{place}.valueFrom")
        _refuse_token(_mapping(source.get("secretKeyRef"), f"{place}.valueFrom").get("name"), f"{place}.valueFrom")
    for index, one in enumerate(_list(container.get("envFrom"), f"{field}.envFrom")):
        place = f"{field}.envFrom[{index}]"
        _refuse_token(_mapping(_mapping(one, place).get("secretRef"), place).get("name"), f"{place}.secretRef.name")
    for index, one in enumerate(_list(container.get("volumeMounts"), f"{field}.volumeMounts")):
        _check_mount(_mapping(one, f"{field}.volumeMounts[{index}]"), f"{field}.volumeMounts[{index}]")
    for index, one in enumerate(_list(container.get("ports"), f"{field}.ports")):
        place = f"{field}.ports[{index}]"
        _only(_mapping(one, place), frozenset({"name", "containerPort", "protocol"}), place)
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        for action in ("httpGet", "tcpSocket"):
            if "host" in _mapping(_mapping(container.get(probe), f"{field}.{probe}").get(action), f"{field}.{probe}"):
                raise InvalidJobSpec(f"{field}.{probe}.{action}.host", "may not be given.", "Leave it out.")


def _check_mount(mount: Raw, field: str) -> None:
    _only(mount, _MOUNT_FIELDS, field)
    name, path = str(mount.get("name", "")), str(mount.get("mountPath", ""))
    if name.startswith(OWN_VOLUMES):
        raise InvalidJobSpec(f"{field}.name", f"{name!r} is the operator's own volume.", "Mount a volume of your own.")
    steps = [step for step in path.split("/") if step]
    plain = "/" + "/".join(steps)
    if not path.startswith("/") or not steps or "." in steps or ".." in steps:
        raise InvalidJobSpec(f"{field}.mountPath", f"{path!r} is no plain absolute path.")
    if any(plain == folder or plain.startswith(f"{folder}/") for folder in _RESERVED_FOLDERS):
        raise InvalidJobSpec(f"{field}.mountPath", f"{path!r} is the operator's or the system's.", "Choose another.")


def _refuse_token(name: Any, field: str) -> None:
    if isinstance(name, str) and is_token_secret(name):
        raise InvalidJobSpec(field, f"{name!r} holds a job's tokens.", "Leave it out.")


def _only(value: Raw, allowed: frozenset[str], field: str) -> None:
    for name in value:
        if name not in allowed:
            raise InvalidJobSpec(
                f"{field}.{name}", "may not be set for a job's pods.", f"Fields here: {', '.join(sorted(allowed))}."
            )


def _mapping(value: Any, field: str) -> Raw:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidJobSpec(field, "is no mapping.")
    return value


def _list(value: Any, field: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidJobSpec(field, "is no list.")
    return value
