"""The real table, and what is said of a wrong one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from labkit.cluster.errors import ClusterError
from labkit.cluster.places import cache_folder, clusters_folder
from labkit.cluster.tools import Platform, ToolError, node_image, read
from labkit.cluster.tools.checksums import published_for
from labkit.cluster.tools.sizes import in_words
from labkit.cluster.tools.versions import is_at_least

PLATFORMS = {Platform(os, arch) for os in ("linux", "darwin") for arch in ("amd64", "arm64")}
HEX = "ab" * 32
MINIMAL = "[node]\nimage='x'\ntag='y'\ndigest=''\n[tools.kind]\nversion='1'\nfrom='http://x/'\nsays={with=[],as='(.)'}\n"


def test_every_tool_is_there_for_every_platform() -> None:
    tools = read().tools
    assert list(tools) == ["kind", "kubectl", "istioctl", "linkerd", "helm", "calicoctl", "cilium"]
    for tool in tools.values():
        assert set(tool.files) == PLATFORMS, tool.name


def test_every_download_has_a_checksum_or_a_publishers_one() -> None:
    for tool in read().tools.values():
        for file in tool.files.values():
            assert file.sha256 or file.published, file.address
            assert file.address.startswith("https://")
            assert "{" not in file.address + file.published


def test_what_the_tests_run_is_pinned_whole() -> None:
    kind = read().tool("kind")
    assert kind.version == "0.31.0"
    assert len({file.sha256 for file in kind.files.values()} - {""}) == 4


def test_checksums_and_digests_look_like_ones_and_are_all_different() -> None:
    table = read()
    sums = [one.sha256 for tool in table.tools.values() for one in tool.files.values() if one.sha256]
    sums += [one.sha256 for component in table.manifests.values() for one in component.files if one.sha256]
    assert len(sums) == len(set(sums))
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", node_image().digest)
    assert node_image().pinned == f"{node_image().tagged}@{node_image().digest}"


def test_the_kinds_that_the_lab_admits_enforce_networkpolicy() -> None:
    assert is_at_least(read().tool("kind").minimum, "0.24.0")


def test_names_that_two_platforms_share_do_not_share_a_place_in_the_cache() -> None:
    for tool in read().tools.values():
        names = [file.name for file in tool.files.values()]
        assert len(names) == len(set(names)), tool.name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[node]\nimage = 'x'", r"components.toml: \[node\] is wrong: .*tag"),
        ("[node]\nimage='x'\ntag='y'\ndigest=''\n[tools.kind]\nversion='1'", r"\[tools.kind\] lacks 'says'"),
        (
            MINIMAL + "[tools.kind.files]\n'linux/amd64'={file='a', sha256='short'}",
            r"\[tools.kind\] is wrong: the sha256 of a is not 64",
        ),
        (
            MINIMAL + "[tools.kind.files]\n'linux'={file='a'}",
            r"'linux' is not a platform; an example is linux/amd64",
        ),
        ("[node", "cannot be read"),
    ],
)
def test_a_wrong_table_is_told_with_the_entry(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "components.toml").write_text(text)
    with pytest.raises(ToolError, match=message):
        read(tmp_path / "components.toml")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"{HEX}  kind-linux-amd64\n", HEX),
        (f"{HEX} *./out/kind-linux-amd64\n", HEX),
        (f"{'0' * 64}  kind-linux-arm64\n{HEX.upper()}  kind-linux-amd64\n", HEX),
        (f"SHA256 (kind-linux-amd64) = {HEX}\n", HEX),
        (f"{HEX}\n", HEX),
        (f"{HEX}  target/release/kind-linux-amd64\n", HEX),
        (f"{HEX}  kind-linux-amd64.sbom\n", ""),
        (f"{HEX}\n{'0' * 64}\n", ""),
        ("<html>please log in</html>", ""),
        ("", ""),
    ],
)
def test_publishers_checksum_files_of_all_forms_are_read(text: str, found: str) -> None:
    assert published_for("kind-linux-amd64", text) == found


@pytest.mark.parametrize(
    ("version", "minimum", "good"),
    [
        ("0.31.0", "0.24.0", True),
        ("0.9.0", "0.24.0", False),
        ("edge-26.8.1", "edge-26.6.3", True),
        ("edge-25.10.7", "edge-26.6.3", False),
        ("v1.34", "1.33.0", True),
    ],
)
def test_versions_are_compared_by_their_numbers(version: str, minimum: str, good: bool) -> None:
    assert is_at_least(version, minimum) == good


def test_the_folder_and_the_cache_are_those_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABKIT_CACHE", "~/kept")
    assert cache_folder() == Path.home() / "kept"
    monkeypatch.setenv("LABKIT_CLUSTERS", str(tmp_path))
    with pytest.raises(
        ClusterError, match=f"LABKIT_CLUSTERS leads to {tmp_path}, where there is no components.toml"
    ):
        clusters_folder()
    (tmp_path / "components.toml").touch()
    assert clusters_folder() == tmp_path


def test_the_folder_is_found_from_below_it_and_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = clusters_folder()
    monkeypatch.chdir(tmp_path)
    assert clusters_folder() == checkout
    (tmp_path / "clusters").mkdir()
    (tmp_path / "clusters" / "components.toml").touch()
    (tmp_path / "deep" / "down").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "down")
    assert clusters_folder() == tmp_path / "clusters"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (10_400, "10 kB"),
        (9_800_000, "9.8 MB"),
        (999_600_000, "1.0 GB"),
        (846e6, "846 MB"),
    ],
)
def test_sizes_are_told_in_words(size: float, text: str) -> None:
    assert in_words(size) == text
