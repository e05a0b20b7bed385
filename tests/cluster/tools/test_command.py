"""`labkit components`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from labkit.cli import main
from labkit.cluster.tools import this_platform
from labkit.cluster.tools.cache import Cache
from tests.cluster.tools.upstream import Upstream

TABLE = """
[node]
image = "docker.io/kindest/node"
tag = "v1.34.3"
digest = "sha256:00"
[tools.labtool]
version = "2.1.0"
minimum = "2.0.0"
says = {{ with = ["version"], as = 'v(\\d+\\.\\d+\\.\\d+)' }}
from = "{0}/"
[tools.labtool.files]
"{1}" = {{ file = "labtool-here", sha256 = "{2}" }}
[manifests.cert]
version = "1.0"
from = "{0}/"
[manifests.cert.files]
"cert.yaml" = {{}}
"""


@pytest.fixture
def served(upstream: Upstream, tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> Upstream:
    program = upstream.add("/labtool-here", b"#!/bin/sh\necho v2.1.0\n")
    upstream.add("/cert.yaml", b"kind: Cert\n")
    (tmp_path / "components.toml").write_text(TABLE.format(upstream.address, this_platform(), program.sha256))
    monkeypatch.setenv("LABKIT_CLUSTERS", str(tmp_path))
    return upstream


def labkit(*arguments: str) -> str:
    run = CliRunner().invoke(main, list(arguments))
    assert run.exit_code == 0, run.output
    return run.output


def test_the_table_says_how_each_is_checked_and_what_is_here(served: Upstream, cache: Cache) -> None:
    lines = labkit("components").splitlines()
    assert lines[1].split() == ["labtool", "2.1.0", "pinned", "-"]
    assert lines[2].split() == ["cert/cert.yaml", "1.0", "first", "use", "-"]
    assert "Node image of kind clusters: docker.io/kindest/node:v1.34.3@sha256:00" in lines
    labkit("components", "get", "labtool", "cert")
    lines = labkit("components").splitlines()
    assert "2.1.0 cache: " in lines[1]
    assert lines[2].endswith(f"{cache.root}/files/cert/1.0/cert.yaml")


def test_programs_read_json(served: Upstream, cache: Cache) -> None:
    labkit("components", "get", "labtool")
    said = json.loads(labkit("components", "-o", "json"))
    tool, manifest = said["components"]
    assert said["node"] == {"image": "docker.io/kindest/node:v1.34.3", "digest": "sha256:00"}
    assert tool["installed"]["where"] == "cache"
    assert Path(tool["installed"]["path"]).is_file()
    assert (manifest["kind"], manifest["checksum"], manifest["installed"]) == ("manifest", "first use", None)


def test_a_name_that_is_none_is_told(served: Upstream) -> None:
    run = CliRunner().invoke(main, ["components", "get", "labtol"])
    assert run.exit_code == 1
    assert "There are: labtool, cert." in run.output


def test_the_real_table_is_printed_on_any_machine(cache: Cache) -> None:
    output = labkit("components")
    assert "kindest/node" in output
    assert all(
        name in output for name in ("kind", "istioctl", "linkerd", "helm", "calicoctl", "cilium", "kubectl")
    )
