"""The cluster that tests run on: a real Kubernetes, on Docker or podman, or a control plane without nodes.

Belongs here: building its parts, starting it, ending it, and doing to it what a test wants done (load an image, kill a
node). Does not belong here: anything of the product, and anything that is not in Python's standard library: this
package is run by a machine's own `python3` before the project is set up. See `docs/test-cluster.md`.
"""
