"""Names of images: which there can be, and what is said about those that cannot be."""

import pytest

from labkit.pocket.node.pulling import Missing, find, what_is_wrong_with


@pytest.mark.parametrize(
    "name",
    [
        "nginx", "nginx:1.27", "library/nginx", "curlimages/curl:8.1.0", "localhost/x", "localhost:5000/x/y:z", "a/b/c/d",
        "example.org:5000/team/web_app:v1.0-rc.1", "EXAMPLE.org/x", "x@sha256:" + "0" * 64, "x:tag@sha256:" + "a" * 64,
    ],
)  # fmt: skip
def test_a_name_that_an_image_may_have(name: str) -> None:
    assert what_is_wrong_with(name) == ""


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("Not A Name", "repository name (library/Not A Name) must be lowercase"),
        ("Nginx", "repository name (library/Nginx) must be lowercase"),
        ("example.org/Team/web:1", "repository name (Team/web) must be lowercase"),
        ("", "invalid reference format"),
        ("a b", "invalid reference format"),
        ("nginx:", "invalid reference format"),
        ("nginx:1:2", "invalid reference format"),
        ("/nginx", "invalid reference format"),
        ("nginx@sha256:1", "invalid reference format"),
    ],
)
def test_a_name_that_no_image_may_have(name: str, wrong: str) -> None:
    assert what_is_wrong_with(name).endswith(wrong)


def test_such_a_name_is_told_as_the_kubelet_tells_it() -> None:
    missing = find({"image": "Not A Name"})
    assert isinstance(missing, Missing)
    assert (missing.reason, missing.event) == ("InvalidImageName", "InspectFailed")
    assert missing.message.startswith(
        'Failed to apply default image tag "Not A Name": couldn\'t parse image name'
    )


def test_an_image_that_is_never_pulled_is_missing_by_another_name() -> None:
    missing = find({"image": "example.org/unknown:1", "imagePullPolicy": "Never"})
    assert isinstance(missing, Missing)
    assert missing.reason == "ErrImageNeverPull"
