"""Writes install.yaml, for `kubectl apply --server-side`, from the chart; and the chart's copy of the definition.

python tools/draw_install.py            writes both
python tools/draw_install.py --check    exit code 1 when one of them is not what its source says

Needs Helm 4, which is built where it is not there (`cluster/gobuild.py`).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cluster import gobuild
from cluster.running import output

ROOT: Final = Path(__file__).resolve().parents[1]
CHART: Final = ROOT / "charts" / "mapreduce-operator"
DEFINITION: Final = ROOT / "crds" / "mapreducejobs.mapreduce.dev.yaml"
COPY: Final = CHART / "files" / DEFINITION.name
PAGE: Final = ROOT / "install.yaml"
RELEASE: Final = "mapreduce-operator"
NAMESPACE: Final = "mapreduce-system"
_HEAD: Final = f"""\
# The operator with all that belongs to it, without Helm:
#
#     kubectl apply --server-side -f install.yaml
#
# Written by tools/draw_install.py from charts/mapreduce-operator; edit the chart, not this file.
---
apiVersion: v1
kind: Namespace
metadata:
  name: {NAMESPACE}
  labels:
    app.kubernetes.io/part-of: mapreduce
    pod-security.kubernetes.io/enforce: restricted
"""


def rendered(release: str = RELEASE, namespace: str = NAMESPACE, *args: str, major: int = 4) -> str:
    """What Helm makes of the chart, without the objects of `helm test`."""
    words = ("template", release, str(CHART), "--namespace", namespace, "--skip-tests", *args)
    return output([str(gobuild.program(f"helm{major}")), *words], timeout_s=60, env={"KUBECONFIG": os.devnull})


def install_yaml() -> str:
    """The whole file: what is Helm's own is taken out, because no Helm will look after it."""
    lines = rendered(RELEASE, NAMESPACE, "--set", "crds.keep=false").splitlines()
    kept = (line for line in lines if not line.lstrip().startswith(("helm.sh/chart:", "# Source: ")))
    return _HEAD + "\n".join(kept).replace("managed-by: Helm", "managed-by: kubectl") + "\n"


def main() -> None:
    """Write the files, or compare them."""
    definition = DEFINITION.read_text(encoding="utf-8")
    is_same = COPY.exists() and COPY.read_text(encoding="utf-8") == definition
    if "--check" in sys.argv[1:]:
        if not is_same or not PAGE.exists() or PAGE.read_text(encoding="utf-8") != install_yaml():
            sys.exit("install.yaml or the chart's definition is not what its source says: run tools/draw_install.py")
        return
    if not is_same:
        COPY.write_text(definition, encoding="utf-8")
    PAGE.write_text(install_yaml(), encoding="utf-8")


if __name__ == "__main__":
    main()
