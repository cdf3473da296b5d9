"""`mr manifest`: a job as the YAML that `kubectl apply` takes."""

from __future__ import annotations

import click

from mapreduce_cli.cluster.joboptions import ClusterJobOptions, cluster_job_options
from mapreduce_cli.options import JobOptions, job_options


@click.command(
    name="manifest",
    epilog="""\b
Examples:
  mr manifest wc.py pvc://books/ -o pvc://results/wc | kubectl apply -f -
  mr manifest wc.py notes.txt -o pvc://results/notes --output-size 1Gi --workers 4 > wc.yaml
  mr manifest job.yaml --reducers 8 -n team-a
\b
The code travels inside the manifest, up to 64 KiB; so does an input that is a small file of this machine.
Other inputs are named as the cluster sees them: pvc://CLAIM/PATH, configmap://NAME/PATH, http(s)://.""",
)
@job_options
@cluster_job_options
@click.option("-n", "--namespace", metavar="NAMESPACE", default="", help="Namespace to write into it.")
def command(job: JobOptions, there: ClusterJobOptions, namespace: str) -> int:
    """Print a job as the YAML that kubectl apply takes.

    FILE is a Python file with a mapper (and a reducer), or a manifest (.yaml) to be changed.
    """
    from mapreduce.manifest import to_yaml
    from mapreduce_cli.cluster.manifests import build

    click.echo(to_yaml(build(job, there, namespace=namespace)), nl=False)
    return 0
