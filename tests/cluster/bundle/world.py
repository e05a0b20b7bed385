"""A small checkout with one chapter, and the publisher of what it needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from labkit.cluster.tools import this_platform
from tests.cluster.tools.upstream import Upstream

HERE = this_platform()
STEPS = """format: labkit-steps/1
chapter: 77-boxed
title: Boxed
demo: [small/small.yaml]
steps:
  - id: one
    imagine: {image: imagined}
"""
LESSON = """# A pod by hand: `kubectl run try --image=nginx:1.30.5`
lab.require("cert-manager")
"""
DEMO = """apiVersion: v1
kind: Pod
metadata: {{name: web, labels: {{app: web}}}}
spec:
  containers:
    - name: web
      image: {image}
      imagePullPolicy: IfNotPresent
"""
COMPONENTS = """
[node]
image = "{node}"
tag = "v1"
digest = ""
[tools.kind]
version = "0.31.0"
minimum = "{minimum}"
says = {{ with = ["version"], as = 'v(\\d+\\.\\d+\\.\\d+)' }}
from = "{address}/"
[tools.kind.files]
"{here}" = {{ file = "kind-here", sha256 = "{kind}" }}
"plan9/mips" = {{ file = "kind-there", sha256 = "{there}" }}
[tools.istioctl]
version = "1.31.1"
says = {{ with = ["version"], as = '(\\d+\\.\\d+\\.\\d+)' }}
from = "{address}/"
published = "{{file}}.sha256"
[tools.istioctl.files]
"{here}" = {{ file = "istioctl-here" }}
[tools.kubectl]
version = "1.34.3"
says = {{ with = ["version"], as = '(\\d+\\.\\d+\\.\\d+)' }}
from = "{address}/"
[tools.kubectl.files]
"{here}" = {{ file = "kubectl-here" }}
[manifests.cert-manager]
version = "1.21.1"
from = "{address}/"
[manifests.cert-manager.files]
"cert-manager.yaml" = {{}}
[components.cert-manager]
manifests = ["cert-manager"]
[components.istio]
tools = ["istioctl"]
renders = [["istioctl", "manifest", "generate", "-f", "{{clusters}}/istio"]]
"""
# Answers `version`, and `manifest generate` as long as what it is to read is there.
ISTIOCTL = b"""#!/bin/sh
case $1 in
version) echo 1.31.1 ;;
*) [ -e "$4" ] || { echo no lab.yaml here >&2; exit 1; }
   echo '{spec: {containers: [{image: "hub.example/pilot:1.31.1"}, {image: auto}]}, data: {t: "image: busybox"}}' ;;
esac
"""
KIND = b"#!/bin/sh\necho kind v0.31.0 go1.26 linux/amd64\n"


@dataclass
class World:
    """`root` is the checkout (LABKIT_CLUSTERS leads into it)."""

    root: Path
    upstream: Upstream

    @property
    def clusters(self) -> Path:
        return self.root / "clusters"


def build(
    root: Path, upstream: Upstream, *, image: str = "web.example/web:1", digest: str = "", kind: bytes = KIND,
    node: str = "node.example/node", minimum: str = "99.0.0",
) -> World:  # fmt: skip
    """Write the checkout and serve what it needs. minimum: so high that no kind of this machine will do."""
    chapter, demo = root / "notebooks" / "77-boxed", root / "clusters" / "demos" / "small"
    chapter.mkdir(parents=True)
    demo.mkdir(parents=True)
    (chapter / "steps.yaml").write_text(STEPS)
    (chapter / "lesson.py").write_text(LESSON)
    (demo / "small.yaml").write_text(DEMO.format(image=image))
    served, there = upstream.add("/kind-here", kind), upstream.add("/kind-there", b"MZ")
    istioctl = upstream.add("/istioctl-here", ISTIOCTL)
    (root / "clusters" / "istio").mkdir()
    upstream.add("/istioctl-here.sha256", f"{istioctl.sha256}  istioctl-here\n".encode())
    upstream.add("/kubectl-here", b"#!/bin/sh\necho v1.34.3\n")
    upstream.add("/cert-manager.yaml", b"kind: List\n" * 1000)
    (root / "clusters" / "components.toml").write_text(
        COMPONENTS.format(
            address=upstream.address,
            here=HERE,
            kind=served.sha256,
            there=there.sha256,
            node=node,
            minimum=minimum,
        )
    )
    known = f'[[image]]\nreference = "{image}"\n' + (f'digest = "{digest}"\n' if digest else "")
    (root / "clusters" / "images.toml").write_text(known)
    return World(root, upstream)
