"""Pod Security *restricted*, and what this project asks beyond it, as a checker of pod templates.

Written from the standard's text, on its own: it knows nothing of how the operator builds its pods.
https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Raw = dict[str, Any]

_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected"}
_SECCOMP = {"RuntimeDefault", "Localhost"}
_RESOURCES = {"cpu", "memory", "ephemeral-storage"}


def containers(template: Raw) -> list[Raw]:
    """All containers of a pod template, of whatever kind."""
    spec = template["spec"]
    return [one for kind in ("initContainers", "containers", "ephemeralContainers") for one in spec.get(kind, ())]


def violations(template: Raw) -> list[str]:
    """What in a pod template breaks the standard, or our own bar."""
    return [*_of_pod(template), *(found for one in containers(template) for found in _of_container(template, one))]


def _of_pod(template: Raw) -> Iterator[str]:
    spec = template["spec"]
    for field in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"):
        if spec.get(field):
            yield f"{field} is set"
    if spec.get("automountServiceAccountToken") is not False:
        yield "an API token is mounted"
    if spec.get("enableServiceLinks") is not False:
        yield "service links are on"
    if spec.get("ephemeralContainers"):
        yield "ephemeral containers"
    security = spec.get("securityContext", {})
    if security.get("sysctls") or security.get("windowsOptions") or security.get("seLinuxOptions"):
        yield "sysctls or options of the host"
    for volume in spec.get("volumes", ()):
        kinds = set(volume) - {"name"}
        if not kinds <= _VOLUMES | {"secret"} or len(kinds) != 1:
            yield f"volume {volume['name']} is {', '.join(sorted(kinds))}"
        if "emptyDir" in volume and volume["name"].startswith("mr-") and "sizeLimit" not in volume["emptyDir"]:
            yield f"volume {volume['name']} has no bound"
        for source in volume.get("projected", {}).get("sources", ()):
            if "serviceAccountToken" in source:
                yield f"volume {volume['name']} projects a token"
    for name in template.get("metadata", {}).get("annotations", {}):
        if "apparmor" in name or "seccomp" in name:
            yield f"annotation {name}"


def _of_container(template: Raw, container: Raw) -> Iterator[str]:
    name = container["name"]
    pod = template["spec"].get("securityContext", {})
    own = container.get("securityContext", {})
    if own.get("privileged"):
        yield f"{name} is privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield f"{name} may escalate"
    if own.get("capabilities", {}).get("drop") != ["ALL"] or own.get("capabilities", {}).get("add"):
        yield f"{name} has capabilities"
    if own.get("runAsNonRoot", pod.get("runAsNonRoot")) is not True:
        yield f"{name} may be root"
    if own.get("runAsUser", pod.get("runAsUser")) in {None, 0}:
        yield f"{name} has no user of its own"
    if own.get("seccompProfile", pod.get("seccompProfile", {})).get("type") not in _SECCOMP:
        yield f"{name} has no seccomp profile"
    if own.get("procMount", "Default") != "Default":
        yield f"{name} has another /proc"
    if own.get("readOnlyRootFilesystem") is not True:
        yield f"{name} can write to its root"
    for port in container.get("ports", ()):
        if "hostPort" in port or "hostIP" in port:
            yield f"{name} takes a port of the host"
    if "lifecycle" in container:
        yield f"{name} has hooks"


def unbounded(template: Raw) -> list[str]:
    """Containers without a limit for some resource."""
    return [
        f"{one['name']}: {', '.join(sorted(missing))}"
        for one in containers(template)
        if (missing := _RESOURCES - set(one.get("resources", {}).get("limits", {})))
    ]
