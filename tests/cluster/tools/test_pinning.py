"""Completing the table's checksums from publishers."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from labkit.cli import main
from labkit.cluster.tools import ToolError, read
from labkit.cluster.tools.pinning import pin
from tests.cluster.tools.upstream import Upstream

TABLE = """# a comment that stays
[node]
image = "node"
tag = "v1"
digest = ""
[tools.one]
version = "1.0" # and this
says = {{ with = ["version"], as = '(.)' }}
from = "{0}/one/"
published = "SHA256SUMS"
[tools.one.files]
"linux/amd64" = {{ file = "one-linux" }}
"darwin/arm64" = {{ file = "one-darwin", sha256 = "{1}" }} # pinned long ago
[manifests.two]
version = "2.0"
from = "{0}/two/"
[manifests.two.files]
"two.yaml" = {{}}
"""


@pytest.fixture
def table(upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    linux, darwin = upstream.add("/one/one-linux", b"linux"), upstream.add("/one/one-darwin", b"darwin")
    upstream.add("/one/SHA256SUMS", f"{linux.sha256}  one-linux\n{darwin.sha256}  one-darwin\n".encode())
    upstream.add("/two/two.yaml", b"kind: Two\n")
    path = tmp_path / "components.toml"
    path.write_text(TABLE.format(upstream.address, darwin.sha256))
    monkeypatch.setenv("LABKIT_CLUSTERS", str(tmp_path))
    return path


def test_missing_checksums_are_written_and_the_rest_stays_as_it_is(table: Path, upstream: Upstream) -> None:
    before = table.read_text().splitlines()
    result = pin(read(table))
    linux, two = upstream.files["/one/one-linux"].sha256, upstream.files["/two/two.yaml"].sha256
    assert sorted(result.new.values()) == sorted([linux, two])
    after = table.read_text().splitlines()
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert changed == [
        (
            '"linux/amd64" = { file = "one-linux" }',
            f'"linux/amd64" = {{ file = "one-linux", sha256 = "{linux}" }}',
        ),
        ('"two.yaml" = {}', f'"two.yaml" = {{ sha256 = "{two}" }}'),
    ]
    assert upstream.paths() == ["/one/SHA256SUMS", "/two/two.yaml"]
    assert pin(read(table)).new == {}


def test_a_checksum_that_differs_is_told_and_never_changed(table: Path, upstream: Upstream) -> None:
    upstream.add("/one/SHA256SUMS", f"{'0' * 64}  one-linux\n{'1' * 64}  one-darwin\n".encode())
    result = pin(read(table))
    assert not result.good
    assert any(line.startswith("DIFFERS   one") and "1111" in line for line in result.lines())
    assert upstream.files["/one/one-darwin"].sha256 in table.read_text()


def test_a_publisher_who_does_not_answer_keeps_the_others_from_nothing(
    table: Path, upstream: Upstream
) -> None:
    del upstream.files["/one/SHA256SUMS"]
    result = pin(read(table))
    assert len(result.new) == 1
    assert all("404" in why for why in result.silent.values())
    assert len(result.silent) == 2


def test_only_those_asked_for_are_asked(table: Path, upstream: Upstream) -> None:
    pin(read(table), names=["two"])
    assert upstream.paths() == ["/two/two.yaml"]
    with pytest.raises(ToolError, match="has no three; it has: one, two"):
        pin(read(table), names=["three"])


def test_the_command_checks_without_writing(table: Path) -> None:
    before = table.read_text()
    run = CliRunner().invoke(main, ["components", "pin", "--check"])
    assert run.exit_code == 1
    assert "new       two" in run.output
    assert table.read_text() == before
    assert CliRunner().invoke(main, ["components", "pin"]).exit_code == 0
    assert CliRunner().invoke(main, ["components", "pin", "--check"]).exit_code == 0
