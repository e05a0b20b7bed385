"""One pocket cluster for all comparisons, asked by the real kubectl and by plain HTTPS."""

from __future__ import annotations

import base64
import json
import os
import shutil
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from labkit.pocket import lifecycle

KUBECTL = shutil.which(
    "kubectl", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
)


@dataclass(frozen=True)
class Asked:
    """A running cluster that can be asked."""

    kubeconfig: Path
    server: str
    tls: ssl.SSLContext

    def http(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> tuple[int, Any]:
        """The answer's code and body; JSON is parsed."""
        data = None if body is None else (body if isinstance(body, str) else json.dumps(body)).encode()
        request = urllib.request.Request(self.server + path, data=data, method=method)
        request.add_header("Accept", accept)
        request.add_header("Content-Type", content_type)
        try:
            with urllib.request.urlopen(request, context=self.tls, timeout=20) as answer:
                code, text = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            code, text = error.code, error.read().decode()
        try:
            return code, json.loads(text)
        except ValueError:
            return code, text

    def kubectl(
        self, *args: str, stdin: str | None = None, timeout: float = 30, **environment: str
    ) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        done = subprocess.run(
            self.kubectl_command(*args),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env={**os.environ, **environment},
        )
        return done.returncode, done.stdout, done.stderr

    def kubectl_command(self, *args: str) -> list[str]:
        """The command line that asks this cluster."""
        assert KUBECTL
        return [KUBECTL, f"--kubeconfig={self.kubeconfig}", *args]


@pytest.fixture(scope="session")
def cluster(machine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    home = tmp_path_factory.mktemp("parity")
    info = lifecycle.up("parity", home=home)
    try:
        yield _asked(info.kubeconfig, tmp_path_factory.mktemp("credentials"))
    finally:
        lifecycle.down("parity", home=home)


def _asked(kubeconfig: Path, folder: Path) -> Asked:
    config = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    at, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    tls = ssl.create_default_context(cadata=base64.b64decode(at["certificate-authority-data"]).decode())
    for name in ("certificate", "key"):
        (folder / name).write_bytes(base64.b64decode(user[f"client-{name}-data"]))
    tls.load_cert_chain(folder / "certificate", folder / "key")
    return Asked(kubeconfig, at["server"], tls)
