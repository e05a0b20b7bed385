"""pods/NAME/ephemeralcontainers: what may be added to a running pod, in upstream's words (asked of v1.34.3)."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.pocket.api import Api, ApiError
from tests.pocket.api.conftest import pod

FORBIDDEN = "cannot be set for an Ephemeral Container"
PROBE = {"exec": {"command": ["true"]}}


def add(api: Api, *containers: dict[str, Any]) -> dict[str, Any]:
    patch = {"spec": {"ephemeralContainers": list(containers)}}
    media = "application/strategic-merge-patch+json"
    return api.patch("pods", "web", "shop", media, patch, subresource="ephemeralcontainers")


@pytest.fixture
def web(api: Api) -> Api:
    api.create("pods", pod("web"))
    return api


@pytest.mark.parametrize(
    ("container", "words"),
    [
        ({"image": "b"}, None),
        ({"name": "e"}, "spec.ephemeralContainers[0].image: Required value"),
        ({"name": "web", "image": "b"}, 'spec.ephemeralContainers[0].name: Duplicate value: "web"'),
        ({"name": "e", "image": "b", "ports": [{"containerPort": 80}]}, f".ports: Forbidden: {FORBIDDEN}"),
        ({"name": "e", "image": "b", "livenessProbe": PROBE}, f".livenessProbe: Forbidden: {FORBIDDEN}"),
        (
            {"name": "e", "image": "b", "resources": {"limits": {"cpu": "1"}}},
            f".resources: Forbidden: {FORBIDDEN}",
        ),
        (
            {"name": "e", "image": "b", "targetContainerName": "nope"},
            'spec.ephemeralContainers[0].targetContainerName: Not found: "nope"',
        ),
    ],
)
def test_what_cannot_be_added_is_refused(web: Api, container: dict[str, Any], words: str | None) -> None:
    with pytest.raises(ApiError) as refusal:
        add(web, container)
    if words is not None:
        assert refusal.value.code == 422
        assert words in refusal.value.message


def test_one_can_be_added_and_gets_its_defaults(web: Api) -> None:
    added = add(web, {"name": "debug", "image": "busybox", "targetContainerName": "web"})
    assert added["spec"]["ephemeralContainers"] == [
        {
            "name": "debug",
            "image": "busybox",
            "targetContainerName": "web",
            "resources": {},
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
            "imagePullPolicy": "Always",
        }
    ]
    assert added["metadata"]["generation"] == 2
    both = add(web, {"name": "two", "image": "busybox"})
    assert {one["name"] for one in both["spec"]["ephemeralContainers"]} == {"debug", "two"}


def test_what_is_there_stays_as_it_is(web: Api) -> None:
    add(web, {"name": "debug", "image": "busybox"})
    with pytest.raises(ApiError, match='existing ephemeral containers "debug" may not be changed'):
        add(web, {"name": "debug", "image": "other"})
    media = "application/json-patch+json"
    remove = [{"op": "remove", "path": "/spec/ephemeralContainers"}]
    with pytest.raises(ApiError, match='existing ephemeral containers "debug" may not be removed'):
        web.patch("pods", "web", "shop", media, remove, subresource="ephemeralcontainers")
    merge = {"spec": {"ephemeralContainers": [{"name": "x", "image": "b"}]}}
    with pytest.raises(ApiError, match="pod updates may not change fields other than"):
        web.patch("pods", "web", "shop", "application/strategic-merge-patch+json", merge)


def test_a_new_pod_has_none(api: Api) -> None:
    wanted = pod("web")
    wanted["spec"]["ephemeralContainers"] = [{"name": "e", "image": "b"}]
    with pytest.raises(ApiError, match="cannot be set on create"):
        api.create("pods", wanted)
