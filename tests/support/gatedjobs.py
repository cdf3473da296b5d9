"""Jobs in a real cluster that a test holds at any step: each task notes where it comes to, and waits there for a file.

One claim carries the gates, the notes and the outputs of all jobs of a namespace, and one pod that idles shows it to
the test. So a fault hits exactly the phase that it is meant for, whatever the machine is busy with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

import msgspec

from cluster.running import wait_until
from tests.support import clusterjobs
from tests.support.claimfiles import ClaimFiles, claim, claim_files
from tests.support.kubecalls import WITHIN_S, Namespace, Object, holds
from tests.support.steppedjobs import SPLIT_BYTES, text_of

CLAIM: Final = "stage"
MAPS: Final = 4
REDUCES: Final = 2
MOUNTED_AT: Final = "/stage"
"""Where the executor sees the claim."""

#: Values are joined in the order in which they come: a value that is lost, doubled or out of place changes a part.
CODE: Final = """\
import os
import time

_begun = set()


def note(ctx, place):
    folder = ctx.args["gates"]
    if not os.path.isdir(folder):  # at the oracle
        return
    with open(f"{folder}/seen-{ctx.task_id}@{place}.a{ctx.attempt}", "x"):
        pass
    gates = [f"{folder}/open-{name}" for name in ("all", place, f"{ctx.task_id}@{place}")]
    while not any(map(os.path.exists, gates)):
        time.sleep(0.05)


def mapper(line, ctx):
    if line.startswith("@"):
        note(ctx, f"map-{line[1:]}")
        return
    for token in line.split():
        word, _, value = token.partition("=")
        yield word, value


def reducer(word, values, ctx):
    if (ctx.task_id, ctx.attempt) not in _begun:
        _begun.add((ctx.task_id, ctx.attempt))
        note(ctx, "reduce-begin")
    yield word, " ".join(values)
"""


@dataclass(frozen=True, slots=True)
class Stage:
    """A namespace with the claim, and the pod that shows it."""

    namespace: Namespace
    files: ClaimFiles

    def start(
        self, name: str, shuffle: str, *open_gates: str, replicas: int = 2, code: str = CODE, **spec: Any
    ) -> GatedJob:
        """Applies a job with four maps and two reduces; all gates are shut, save those named."""
        job = GatedJob(self, name, self._manifest(name, shuffle, replicas, code, spec))
        self.files.write({f"gates/{name}/open-{gate}": b"" for gate in open_gates} | {f"gates/{name}/.shut": b""})
        self.namespace.apply(job.manifest)
        return job

    def _manifest(self, name: str, shuffle: str, replicas: int, code: str, spec: Object) -> Object:
        volume = {"name": CLAIM, "persistentVolumeClaim": {"claimName": CLAIM}}
        mount = {"name": CLAIM, "mountPath": MOUNTED_AT}
        pods = {"volumes": [volume], "initContainers": [{"name": "executor", "volumeMounts": [mount]}]}
        given: Object = {
            "texts": [text_of(index) for index in range(MAPS)],
            "splitSizeBytes": SPLIT_BYTES,
            "leaseSeconds": 5,
            "args": {"gates": f"{MOUNTED_AT}/gates/{name}"},
            "storage": {"shuffle": shuffle},
            "workers": {"replicas": replicas, "podTemplate": {"spec": pods}},
            **spec,
        }
        return clusterjobs.job(name, code=code, output=f"pvc://{CLAIM}/out/{name}", **given)


@dataclass(frozen=True, slots=True)
class GatedJob:
    """One such job."""

    stage: Stage
    name: str
    manifest: Object

    @property
    def namespace(self) -> Namespace:
        return self.stage.namespace

    def found(self) -> Object:
        """The object as it is now."""
        return self.namespace.get("mapreducejob", self.name)

    def open(self, *gates: str) -> None:
        """Lets pass who waits and who comes later: at `all`, at a place of all tasks (`map-end`), or of one task.

        Places are `map-begin`, `map-end` and `reduce-begin`, of one task `map-3@map-end`.
        """
        self.stage.files.touch(*(f"gates/{self.name}/open-{gate}" for gate in gates))

    def until_at(self, place: str, attempts: int = 1) -> list[str]:
        """Waits until so many attempts have come to a place (a pattern); gives them, as `map-0@map-begin.a1`."""
        prefix = f"gates/{self.name}/seen-"
        found = self.stage.files.until_there(f"{prefix}*@{place}.a*", attempts)
        return [name.removeprefix(prefix) for name in found]

    def begun(self) -> Counter[str]:
        """How many attempts of each task were begun."""
        folder = self.stage.files.read(f"gates/{self.name}")
        seen = (name.removeprefix("seen-") for name in folder if name.startswith("seen-") and "-begin." in name)
        return Counter(name.split("@")[0] for name in seen)

    def check_begun_once(self) -> None:
        """Tasks were begun, and none a second time."""
        begun = self.begun()
        assert set(begun.values()) == {1}, f"begun: {begun}; failures: {self.found()['status'].get('failures')}"

    def pods(self, component: str, at_least: int = 1) -> list[str]:
        """Names of its running pods, as soon as there are so many."""
        return clusterjobs.await_pods(self.namespace, self.found(), component, at_least)

    def coordinator(self) -> str:
        """The name of the coordinator's pod, which is the same for ever."""
        return f"{self.found()['status']['coordinator']['service']}-0"

    def _metrics(self) -> str:
        return self.namespace.text_of_pod(self.coordinator(), ":8082/proxy/metrics")

    def patch(self, **spec: Any) -> None:
        """Changes the specification."""
        self.namespace.patch("mapreducejob", self.name, {"spec": spec})

    def until_committed(self, *, maps: int = 0, reduces: int = 0) -> Object:
        """The object when it says that so many tasks are committed."""
        return clusterjobs.await_progress(self.namespace, self.name, maps=maps, reduces=reduces)

    def until_kept(self, *, maps: int) -> None:
        """Waits until so many maps are committed, and their runs would survive the loss of every worker."""
        self.until_committed(maps=maps)
        wait_until(
            f"runs of job {self.name} have replicas",
            ("\nmapreduce_replicas_pending 0" in self._metrics() for _ in count()),
            timeout_s=WITHIN_S,
        )

    def coordinator_log(self) -> str:
        """What the coordinator has said since its container was started; nothing while it is not."""
        return self.namespace.log(self.coordinator(), "coordinator")

    def until_said(self, words: str) -> None:
        """Waits until the coordinator has said something, since its container was started."""
        said = (words in self.coordinator_log() for _ in count())
        wait_until(f"the coordinator of {self.name} says: {words}", said, timeout_s=WITHIN_S)

    def until_told_to_end(self, *workers: str) -> None:
        """Waits until these workers have heard that they shall go, and so take no more tasks."""
        for pod in workers:
            told = ("was told to end" in self.namespace.log(pod, "agent") for _ in count())
            wait_until(f"worker {pod} is told to end", told, timeout_s=WITHIN_S, every_s=0.1)

    def until_condition(self, kind: str) -> Object:
        """The object as soon as a condition is true."""
        return self.namespace.until("mapreducejob", self.name, f"is {kind}", holds(kind))

    def output(self) -> dict[str, bytes]:
        """Every file of the output folder."""
        return self.stage.files.read(f"out/{self.name}")

    def check_complete(self, folder: Path, *, remade: int = 0) -> Object:
        """Waits for the end; it is complete, its parts are the oracle's, and as many maps were made anew as said."""
        ended = clusterjobs.await_complete(self.namespace, self.name)
        files = self.output()
        assert clusterjobs.parts(files) == clusterjobs.oracle(self.manifest, folder)
        assert msgspec.json.decode(files["_SUCCESS"])["mapsRemade"] == remade
        return ended


@contextmanager
def staged(namespace: Namespace, *, node: str = "") -> Iterator[Stage]:
    """Makes the claim and its pod as long as they are needed; on that node, if one is named."""
    namespace.apply(claim(CLAIM, "256Mi"))
    with claim_files(namespace, CLAIM, node=node) as files:
        yield Stage(namespace, files)
