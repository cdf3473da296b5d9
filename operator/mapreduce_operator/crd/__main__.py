"""Prints the definition: `python -m mapreduce_operator.crd > crds/mapreducejobs.mapreduce.dev.yaml`."""

from __future__ import annotations

import sys

from mapreduce_operator.crd.resource import render

sys.stdout.write(render())
