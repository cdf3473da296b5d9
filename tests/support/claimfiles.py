"""Files on a claim, written and read by a test through a pod of its own that mounts it."""

from __future__ import annotations

import base64
import io
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from cluster.productimages import image_name
from tests.support.kubecalls import WITHIN_S, Namespace, Object, holds

MOUNTED_AT: Final = "/claim"
_UNTIL: Final = f"""
import glob, os, sys, time
os.chdir({MOUNTED_AT!r})
pattern, count, end = sys.argv[1], int(sys.argv[2]), time.monotonic() + float(sys.argv[3])
while len(found := sorted(glob.glob(pattern))) < count and time.monotonic() < end:
    time.sleep(0.05)
print(*found, sep="\\n")
"""


@dataclass(frozen=True, slots=True)
class ClaimFiles:
    """A pod that has a claim mounted."""

    namespace: Namespace
    pod: str

    def write(self, files: Mapping[str, bytes]) -> None:
        """Writes files by their paths on the claim, making folders."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size, info.mode, info.mtime = len(content), 0o660, int(time.time())
                tar.addfile(info, io.BytesIO(content))
        unpack = (
            "import base64, io, os, sys, tarfile\n"
            "os.umask(0o007)\n"  # the executors' user has the group in common
            "packed = io.BytesIO(base64.b64decode(sys.stdin.buffer.read()))\n"
            f"tarfile.open(fileobj=packed).extractall({MOUNTED_AT!r})"
        )
        self._python(unpack, given=base64.b64encode(packed.getvalue()).decode())

    def read(self, folder: str) -> dict[str, bytes]:
        """Every file below a folder of the claim, by its path in that folder; nothing where there is no folder."""
        pack = (
            "import base64, io, os, sys, tarfile\n"
            "packed = io.BytesIO()\n"
            "with tarfile.open(fileobj=packed, mode='w') as tar:\n"
            f"    folder = {MOUNTED_AT + '/' + folder.strip('/')!r}\n"
            "    os.path.isdir(folder) and tar.add(folder, arcname='.')\n"
            "sys.stdout.buffer.write(base64.b64encode(packed.getvalue()))"
        )
        with tarfile.open(fileobj=io.BytesIO(base64.b64decode(self._python(pack)))) as tar:
            members = {member.name.removeprefix("./"): tar.extractfile(member) for member in tar if member.isfile()}
            return {name: source.read() for name, source in members.items() if source}

    def touch(self, *paths: str) -> None:
        """Makes empty files, in folders that are there."""
        self.namespace.kubectl("exec", self.pod, "--", "touch", *(f"{MOUNTED_AT}/{path}" for path in paths))

    def until_there(self, pattern: str, count: int, *, within_s: float = WITHIN_S) -> list[str]:
        """Waits, inside the pod, until so many files match a pattern; gives their paths on the claim."""
        said = self._python(_UNTIL, pattern, str(count), str(within_s), timeout_s=within_s + 30)
        found = said.split()
        assert len(found) >= count, f"{len(found)} of {count} files {pattern} after {within_s:.0f} s: {found}"
        return found

    def remove(self, path: str) -> None:
        """Removes a file or folder of the claim."""
        self.namespace.kubectl("exec", self.pod, "--", "rm", "-rf", f"{MOUNTED_AT}/{path.strip('/')}")

    def _python(self, program: str, *arguments: str, given: str | None = None, timeout_s: float = 120) -> str:
        flags = ["--stdin"] if given is not None else []
        call = ("exec", *flags, self.pod, "--", "python", "-c", program, *arguments)
        return self.namespace.kubectl(*call, given=given, timeout_s=timeout_s)


@contextmanager
def claim_files(namespace: Namespace, claim: str, *, node: str = "") -> Iterator[ClaimFiles]:
    """Mounts a claim into a pod as long as it is needed; its volume is made on that node, if one is named."""
    files = ClaimFiles(namespace, f"files-of-{claim}")
    start(files, claim, node=node)
    try:
        yield files
    finally:
        end(files)


def start(files: ClaimFiles, claim: str, *, node: str = "") -> None:
    """Makes the pod and waits until it runs."""
    files.namespace.apply(_pod(files.pod, claim, node))
    files.namespace.until("pod", files.pod, "is ready", holds("Ready"))


def end(files: ClaimFiles) -> None:
    """Takes the pod away, even if its node is dead."""
    at_once = ("--grace-period=0", "--force", "--wait=true", "--ignore-not-found")
    files.namespace.kubectl("delete", "pod", files.pod, *at_once, timeout_s=120)


def read_claim(namespace: Namespace, claim: str, folder: str) -> dict[str, bytes]:
    """The files below a folder of a claim."""
    with claim_files(namespace, claim) as files:
        return files.read(folder)


def claim(name: str, size: str = "64Mi", *, access_mode: str = "ReadWriteOnce") -> Object:
    """A claim of the default StorageClass."""
    spec = {"accessModes": [access_mode], "resources": {"requests": {"storage": size}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def _pod(name: str, claim_name: str, node: str) -> Object:
    """A pod like the product's own, which idles."""
    container: Object = {
        "name": "files",
        "image": image_name("worker"),
        "command": ["sleep", "infinity"],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "claim", "mountPath": MOUNTED_AT}],
    }
    security = {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10000,
        "fsGroup": 10000,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    spec: Object = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 0,
        "nodeSelector": {"kubernetes.io/hostname": node} if node else {},
        "securityContext": security,
        "containers": [container],
        "volumes": [{"name": "claim", "persistentVolumeClaim": {"claimName": claim_name}}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
