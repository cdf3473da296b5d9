"""The commands of the pages that need a cluster, run as a reader runs them, in a namespace of their own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cluster import gobuild
from cluster.running import output
from tests.support import docblocks
from tests.support.docblocks import Reader
from tests.support.kubecalls import Namespace
from tests.support.tree import ROOT, tracked_files

ALWAYS = frozenset({"README.md", "docs/tutorial.md"})
"""Pages that everybody follows; the commands of the others are alike."""
PAGES = [
    pytest.param(page, id=name, marks=() if name in ALWAYS else pytest.mark.full)
    for page in tracked_files(".md")
    if docblocks.has_commands(page, "cluster")
    for name in (str(page.relative_to(ROOT)),)
]


@pytest.mark.parametrize("page", PAGES)
def test_a_reader_with_a_cluster_sees_what_a_page_shows(page: Path, namespace: Namespace, tmp_path: Path) -> None:
    kubeconfig = tmp_path.resolve() / "kubeconfig"
    shutil.copyfile(namespace.cluster.kubeconfig, kubeconfig)
    kubeconfig.chmod(0o600)
    kubectl = gobuild.program("kubectl")
    words = ("config", "set-context", "--current", f"--namespace={namespace.name}")
    output([str(kubectl), "--kubeconfig", str(kubeconfig), *words], timeout_s=60)
    programs = (kubectl.parent,)
    Reader(tmp_path.resolve(), programs, {"KUBECONFIG": str(kubeconfig)}).follow(page, "cluster")
