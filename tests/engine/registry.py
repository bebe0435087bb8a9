"""A registry of images on this machine that has one image, made on the spot: for pulls that need no network."""

import gzip
import hashlib
import io
import json
import os
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


class Registry(ThreadingHTTPServer):
    """The server. With `held`, what an image is made of comes only half until `release` is set."""

    daemon_threads = True

    def __init__(self, size: int) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.held = False
        self.release = threading.Event()
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            entry = tarfile.TarInfo("noise")
            entry.size = size
            tar.addfile(entry, io.BytesIO(os.urandom(size)))  # It does not compress.
        layer = gzip.compress(packed.getvalue(), 1, mtime=0)
        config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {},
                "rootfs": {"type": "layers", "diff_ids": [_digest(packed.getvalue())]},
            }
        ).encode()
        self.layer_bytes = len(layer)
        self.manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": _MANIFEST,
                "config": {"mediaType": _CONFIG, "size": len(config), "digest": _digest(config)},
                "layers": [{"mediaType": _LAYER, "size": len(layer), "digest": _digest(layer)}],
            }
        ).encode()
        self.blobs = {_digest(config): config, _digest(layer): layer}

    @property
    def image(self) -> str:
        """The image's name, with this registry before it."""
        return f"127.0.0.1:{self.server_address[1]}/tests/noise:1"


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Registry

    def do_GET(self) -> None:
        content, kind = self._found()
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Docker-Content-Digest", _digest(content))
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.server.held and kind == "application/octet-stream" and len(content) == self.server.layer_bytes:
            half = len(content) // 2
            self.wfile.write(content[:half])
            self.wfile.flush()
            self.server.release.wait(30)
            content = content[half:]
        self.wfile.write(content)

    do_HEAD = do_GET  # noqa: N815 - so the library calls it

    def _found(self) -> tuple[bytes | None, str]:
        if self.path == "/v2/":
            return b"{}", "application/json"
        *_, kind, name = self.path.split("/")
        if kind == "manifests":
            known = name in {"1", _digest(self.server.manifest)} and "tests/noise" in self.path
            return self.server.manifest if known else None, _MANIFEST
        return self.server.blobs.get(name), "application/octet-stream"

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def registry(size: int = 3_000_000) -> Iterator[Registry]:
    """Run a registry whose image has so many bytes."""
    server = Registry(size)
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    try:
        yield server
    finally:
        server.release.set()
        server.shutdown()
        server.server_close()
        serving.join()
