"""References are read as engines read them."""

from __future__ import annotations

import pytest

from labkit.cluster.images.reference import Reference, canonical, familiar

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("written", "full"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.30", "docker.io/library/nginx:1.30"),
        ("docker.io/nginx:1.30", "docker.io/library/nginx:1.30"),
        ("index.docker.io/library/nginx:1.30", "docker.io/library/nginx:1.30"),
        ("curlimages/curl:8", "docker.io/curlimages/curl:8"),
        ("registry.k8s.io/pause:3.10.1", "registry.k8s.io/pause:3.10.1"),
        ("localhost:5001/a/b", "localhost:5001/a/b:latest"),
        ("localhost/a", "localhost/a:latest"),
        (f"nginx@{DIGEST}", f"docker.io/library/nginx@{DIGEST}"),
        (f"host:5000/a:1@{DIGEST}", f"host:5000/a:1@{DIGEST}"),
    ],
)
def test_every_spelling_has_one_full_form(written: str, full: str) -> None:
    assert canonical(written) == full
    assert canonical(full) == full


def test_what_people_read_is_short_again() -> None:
    assert familiar("docker.io/library/nginx:1.30") == "nginx:1.30"
    assert familiar("docker.io/curlimages/curl:8") == "curlimages/curl:8"
    assert familiar("registry.k8s.io/pause:3") == "registry.k8s.io/pause:3"


def test_a_reference_can_lose_its_digest() -> None:
    assert str(Reference.parse(f"nginx:1@{DIGEST}").tagged) == "docker.io/library/nginx:1"
