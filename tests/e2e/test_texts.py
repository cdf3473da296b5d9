"""Real text through a cluster: eight books on a claim, and text behind a web address, come out as on a laptop."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from cluster.productimages import image_name
from tests.support import clusterjobs
from tests.support.claimfiles import claim, claim_files, read_claim
from tests.support.kubecalls import Namespace, Object, holds
from tests.support.mrruns import mr
from tests.support.tree import ROOT

BOOKS: Final = ROOT.parent / "shared" / "data" / "gutenberg"
PORT: Final = 8000
SPLIT_BYTES = 16_384
#: Answers ranges and says who changed, as web servers and object stores do; Python's own server does neither.
SERVER: Final = """\
import hashlib, http.server, re

CONTENT = open("/text/lines.txt", "rb").read()
ETAG = '"' + hashlib.sha256(CONTENT).hexdigest() + '"'


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path != "/lines.txt":
            return self.send_error(404)
        asked = re.fullmatch(r"bytes=(\\d+)-(\\d*)", self.headers.get("Range", ""))
        first = int(asked[1]) if asked else 0
        last = min(int(asked[2] or len(CONTENT)), len(CONTENT) - 1) if asked else len(CONTENT) - 1
        body = CONTENT[first : last + 1]
        self.send_response(206 if asked else 200)
        self.send_header("ETag", ETAG)
        self.send_header("Content-Length", str(len(body)))
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(CONTENT)}")
        self.end_headers()
        self.wfile.write(body)


http.server.ThreadingHTTPServer(("", PORT), Handler).serve_forever()
"""


@pytest.mark.skipif(not BOOKS.is_dir(), reason=f"there are no books in {BOOKS.name} beside the checkout")
def test_eight_books_give_the_same_bytes_as_on_a_laptop(namespace: Namespace, tmp_path: Path) -> None:
    books = sorted(BOOKS.glob("*.txt"))
    assert len(books) == 8
    namespace.apply(claim("books"))
    with claim_files(namespace, "books") as files:
        for book in books:  # one at a time: a megabyte is a lot for one `kubectl exec`
            files.write({f"books/{book.name}": book.read_bytes()})
    namespace.apply(clusterjobs.job("books", inputs=[{"uri": "pvc://books/books/*.txt"}], reducers=4))
    (tmp_path / "wc.py").write_text(clusterjobs.WORDCOUNT)
    mr("run", "wc.py", *map(str, books), "-o", "out", "--reducers", "4", "--workers", "2", cwd=tmp_path)
    ended = clusterjobs.await_complete(namespace, "books")
    here = clusterjobs.parts({path.name: path.read_bytes() for path in (tmp_path / "out").iterdir() if path.is_file()})
    assert clusterjobs.parts(read_claim(namespace, "output", "counts")) == here
    assert ended["status"]["inputBytes"] == sum(book.stat().st_size for book in books)
    clusterjobs.delete_and_check(namespace, ended)


def test_text_behind_a_web_address_is_cut_into_splits_and_counted(namespace: Namespace, tmp_path: Path) -> None:
    content = clusterjobs.text(400).encode()
    namespace.apply(*web_server(content.decode()))
    namespace.until("pod", "web", "is ready", holds("Ready"))
    job = clusterjobs.job(
        "web",
        inputs=[{"uri": f"http://web.{namespace.name}.svc:{PORT}/lines.txt"}],
        splitSizeBytes=SPLIT_BYTES,
        storage={"shuffle": "Peer"},
    )
    namespace.apply(job)
    ended = clusterjobs.await_complete(namespace, "web")
    assert ended["status"]["maps"]["total"] == -(-len(content) // SPLIT_BYTES) > 1
    files = {"lines.txt": content}
    assert clusterjobs.parts(read_claim(namespace, "output", "counts")) == clusterjobs.oracle(job, tmp_path, files)


def web_server(text: str) -> list[Object]:
    """A pod that serves a text as /lines.txt under the name `web`."""
    security = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    container: Object = {
        "name": "web",
        "image": image_name("worker"),
        "command": ["python", "-c", SERVER.replace("PORT", str(PORT))],
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
        "securityContext": security,
        "volumeMounts": [{"name": "text", "mountPath": "/text"}],
    }
    spec: Object = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "text", "configMap": {"name": "text"}}],
    }
    labels = {"app": "web"}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "text"}, "data": {"lines.txt": text}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "labels": labels}, "spec": spec},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web"},
            "spec": {"selector": labels, "ports": [{"port": PORT}]},
        },
    ]
