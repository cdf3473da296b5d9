"""Puts the operator of this checkout into the test cluster: images, the resource's definition, the chart."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cluster import kindcluster, productimages
from cluster.errors import ClusterError
from tests.support import operatorrelease


def main() -> None:
    """Build, load, install; one line says what is there then."""
    try:
        cluster = kindcluster.up(kindcluster.default_name(), kindcluster.default_nodes())
        images = productimages.ensure_in(cluster)
        operatorrelease.install(cluster, images)
    except ClusterError as error:
        sys.exit(f"deploy: {error}")
    sys.stdout.write(f"The operator, images {images}, is in namespace {operatorrelease.NAMESPACE}.\n")


if __name__ == "__main__":
    main()
