"""A running cluster that can be asked: by the real kubectl, and by plain HTTPS. It takes a kubeconfig, of any cluster."""

from __future__ import annotations

import base64
import dataclasses
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

import yaml

KUBECTL = shutil.which(
    "kubectl", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
)
CONTEXT = "lab"  # the kubeconfig of every cluster is copied under this name, since errors quote it


@dataclass(frozen=True)
class Asked:
    """A cluster, a kubeconfig for it, and a folder in which kubectl keeps what it learns and finds its files."""

    kubeconfig: Path
    folder: Path
    server: str
    tls: ssl.SSLContext

    def within(self, namespace: str, folder: Path) -> Asked:
        """The same cluster, seen from another folder with a namespace as the context's own."""
        config = yaml.safe_load(self.kubeconfig.read_text(encoding="utf-8"))
        config["contexts"][0]["context"]["namespace"] = namespace
        folder.mkdir(parents=True, exist_ok=True)
        kubeconfig = self.folder / f"{namespace}.kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(config), encoding="utf-8")
        return dataclasses.replace(self, kubeconfig=kubeconfig, folder=folder)

    def request(
        self, method: str, path: str, body: Any = None, *, content_type: str, accept: str
    ) -> urllib.request.Request:
        """A request to the API; a body that is no text is sent as JSON."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        data = body.encode() if isinstance(body, str) else data
        request = urllib.request.Request(self.server + path, data=data, method=method)
        request.add_header("Accept", accept)
        request.add_header("Content-Type", content_type)
        return request

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
        request = self.request(method, path, body, content_type=content_type, accept=accept)
        try:
            with urllib.request.urlopen(request, context=self.tls, timeout=20) as answer:
                code, text = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                code, text = error.code, error.read().decode()
        try:
            return code, json.loads(text)
        except ValueError:
            return code, text

    def watched(self, path: str, seconds: float) -> Iterator[dict[str, Any]]:
        """The events of a watch, until the server ends it after `seconds`."""
        joint = "&" if "?" in path else "?"
        address = f"{path}{joint}watch=1&timeoutSeconds={seconds:.0f}"
        request = self.request("GET", address, content_type="application/json", accept="application/json")
        with urllib.request.urlopen(request, context=self.tls, timeout=seconds + 10) as answer:
            for line in answer:
                yield json.loads(line)

    def kubectl(
        self, *args: str, stdin: str | None = None, timeout: float = 60, **environment: str
    ) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        done = subprocess.run(
            # The cluster comes first: what it does in time must not depend on how much it is asked.
            ["nice", "-n", "10", str(KUBECTL), *args],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            cwd=self.folder,
            env=self.environment | environment,
        )
        return done.returncode, done.stdout, done.stderr

    @property
    def environment(self) -> dict[str, str]:
        """What kubectl runs with: nothing of the person's own settings."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "KUBECONFIG": str(self.kubeconfig),
            "KUBECACHEDIR": str(self.kubeconfig.parent / "cache"),
            "LANG": "C",
        }


def asked(kubeconfig: Path, folder: Path, context: str = "") -> Asked:
    """The cluster of a kubeconfig with a client certificate; `context` is the file's current one unless named."""
    config = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    by_name = {
        kind: {entry["name"]: entry for entry in config[kind]} for kind in ("contexts", "clusters", "users")
    }
    at = by_name["contexts"][context or config["current-context"]]["context"]
    cluster = by_name["clusters"][at["cluster"]]["cluster"]
    user = by_name["users"][at["user"]]["user"]
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / "kubeconfig"
    copy.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": CONTEXT,
                "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT}}],
                "clusters": [{"name": CONTEXT, "cluster": cluster}],
                "users": [{"name": CONTEXT, "user": user}],
            }
        ),
        encoding="utf-8",
    )
    tls = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    for name in ("certificate", "key"):
        (folder / name).write_bytes(base64.b64decode(user[f"client-{name}-data"]))
    tls.load_cert_chain(folder / "certificate", folder / "key")
    return Asked(copy, folder, cluster["server"], tls)
