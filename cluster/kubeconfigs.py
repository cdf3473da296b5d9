"""A kubeconfig as text."""

from __future__ import annotations

import base64
import json


def kubeconfig(url: str, authority: bytes, token: str) -> str:
    """For one server, trusted by `authority` (PEM), and one bearer of `token`. JSON is YAML."""
    cluster = {"server": url, "certificate-authority-data": base64.b64encode(authority).decode()}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
            "current-context": "test",
        },
        indent=1,
    )
