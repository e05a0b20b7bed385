"""The server over HTTPS: who is let in, in which forms it answers, lists in pages, watches."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.pocket.api.conftest import Served, pod

CONFIG_MAPS = "/api/v1/namespaces/shop/configmaps"


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def test_without_a_credential_nothing_is_told(served: Served) -> None:
    for path in ("/api", "/api/v1/pods", "/openapi/v3", "/nothing", "/apis"):
        answer = served.http("GET", path, certificate=False)
        assert answer.code == 401, path
        assert answer.body == {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": "Unauthorized",
            "reason": "Unauthorized",
            "code": 401,
        }


@pytest.mark.parametrize("token", ["nope", "a.b.c", "eyJhbGciOiJub25lIn0.e30."])
def test_a_wrong_token_is_refused(served: Served, token: str) -> None:
    assert served.http("GET", "/api/v1/pods", certificate=False, token=token).code == 401


def test_a_certificate_of_another_authority_is_refused(served: Served, tmp_path: Any) -> None:
    from labkit.pocket.pki import Pki

    stranger = Pki.load_or_create(tmp_path / "pki")
    context = ssl.create_default_context(cadata=served.pki.ca.decode())
    context.load_cert_chain(stranger.directory / "client.crt", stranger.directory / "client.key")
    host, port = served.url.removeprefix("https://").split(":")
    connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=5)

    def ask() -> None:
        connection.request("GET", "/api/v1/pods")
        connection.getresponse()

    with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
        ask()
    connection.close()


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz", "/livez/ping"])
def test_health_is_told_to_everybody(served: Served, path: str) -> None:
    answer = served.http("GET", path, certificate=False)
    assert (answer.code, answer.body) == (200, "ok")


def test_the_version_is_told_to_everybody(served: Served) -> None:
    assert served.http("GET", "/version", certificate=False).body["gitVersion"] == "v1.34.3"


def test_a_service_account_comes_in_with_its_token_until_it_is_deleted(served: Served) -> None:
    accounts = "/api/v1/namespaces/shop/serviceaccounts"
    served.http("POST", accounts, {"metadata": {"name": "robot"}})
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": 600},
    }
    answer = served.http("POST", f"{accounts}/robot/token", request)
    token = answer.body["status"]["token"]
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    who = served.http("POST", path, review, certificate=False, token=token).body["status"]["userInfo"]
    assert who["username"] == "system:serviceaccount:shop:robot"
    assert "system:serviceaccounts:shop" in who["groups"]
    served.http("DELETE", f"{accounts}/robot")
    assert served.http("GET", "/api/v1/pods", certificate=False, token=token).code == 401


def test_the_learner_is_an_administrator(served: Served) -> None:
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    answer = served.http("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review)
    assert answer.body["status"]["userInfo"]["username"] == "kubernetes-admin"
    assert "system:masters" in answer.body["status"]["userInfo"]["groups"]


def test_an_object_is_created_read_changed_and_deleted(served: Served) -> None:
    assert served.http("POST", CONFIG_MAPS, config_map("crud", a="1")).code == 201
    read = served.http("GET", f"{CONFIG_MAPS}/crud").body
    assert served.http("PUT", f"{CONFIG_MAPS}/crud", {**read, "data": {"a": "2"}}).code == 200
    stale = served.http("PUT", f"{CONFIG_MAPS}/crud", {**read, "data": {"a": "3"}})
    assert (stale.code, stale.body["reason"]) == (409, "Conflict")
    gone = served.http("DELETE", f"{CONFIG_MAPS}/crud")
    assert gone.body["details"] == {"name": "crud", "kind": "configmaps", "uid": read["metadata"]["uid"]}
    assert served.http("GET", f"{CONFIG_MAPS}/crud").code == 404


def test_yaml_goes_in_and_comes_out(served: Served) -> None:
    body = yaml.safe_dump(config_map("text", a="true")).encode()
    assert served.http("POST", CONFIG_MAPS, body, content_type="application/yaml").code == 201
    answer = served.http("GET", f"{CONFIG_MAPS}/text", accept="application/yaml")
    assert 'a: "true"' in answer.body
    assert yaml.safe_load(answer.body)["data"] == {"a": "true"}


def test_what_the_server_cannot_write_or_read_is_said(served: Served) -> None:
    assert served.http("GET", CONFIG_MAPS, accept="application/xml").code == 406
    answer = served.http("POST", CONFIG_MAPS, b"hello", content_type="text/plain")
    assert answer.code == 415
    assert "accepted media types include" in answer.body["message"]
    assert served.http("PATCH", f"{CONFIG_MAPS}/none", {}, content_type="application/json").code == 415
    assert served.http("POST", f"{CONFIG_MAPS}/x", config_map("x")).code == 405
    assert served.http("GET", "/apis/zoo.example/v1/unicorns").body == "404 page not found\n"
    assert served.http("GET", "/api/v1/unicorns").body["message"] == (
        "the server could not find the requested resource"
    )


def test_warnings_come_as_headers_also_with_a_refusal(served: Served) -> None:
    endpoints = {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "old"}, "subsets": [{}]}
    answer = served.http("POST", "/api/v1/namespaces/shop/endpoints", endpoints)
    assert answer.code == 422
    assert answer.headers["Warning"] == (
        '299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"'
    )


def test_a_list_comes_in_pages_of_one_state(served: Served) -> None:
    for number in range(5):
        served.http("POST", CONFIG_MAPS, config_map(f"page-{number}"))
    query = "?limit=2&labelSelector="
    first = served.http("GET", CONFIG_MAPS + query).body
    served.http("POST", CONFIG_MAPS, config_map("page-late"))
    names = [item["metadata"]["name"] for item in first["items"]]
    token = first["metadata"]["continue"]
    assert "kind" not in first["items"][0], "the items of a list do not say what they are"
    while token:
        page = served.http("GET", f"{CONFIG_MAPS}{query}&continue={token}").body
        assert page["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        names += [item["metadata"]["name"] for item in page["items"]]
        token = page["metadata"].get("continue", "")
    assert [f"page-{number}" for number in range(5)] == [name for name in names if name.startswith("page-")]
    assert served.http("GET", CONFIG_MAPS + "?limit=1&continue=zzz").code == 400


def test_a_table_has_the_columns_of_a_real_server(served: Served) -> None:
    served.call(lambda: served.api.create("pods", pod("tabled")))
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    table = served.http("GET", "/api/v1/namespaces/shop/pods?includeObject=None", accept=accept).body
    assert [column["name"] for column in table["columnDefinitions"]] == [
        *("Name", "Ready", "Status", "Restarts", "Age", "IP", "Node", "Nominated Node", "Readiness Gates")
    ]
    (row,) = [row for row in table["rows"] if row["cells"][0] == "tabled"]
    assert row["cells"][1:4] == ["0/1", "Pending", "0"]
    assert row["object"] is None


def test_a_collection_is_deleted_by_selector(served: Served) -> None:
    for name, group in (("del-a", "x"), ("del-b", "x"), ("del-c", "y")):
        body = config_map(name)
        body["metadata"]["labels"] = {"group": group}
        served.http("POST", CONFIG_MAPS, body)
    answer = served.http("DELETE", f"{CONFIG_MAPS}?labelSelector=group%3Dx")
    assert [item["metadata"]["name"] for item in answer.body["items"]] == ["del-a", "del-b"]
    assert served.http("GET", f"{CONFIG_MAPS}/del-a").code == 404
    assert served.http("GET", f"{CONFIG_MAPS}/del-c").code == 200


class Watching:
    """A watch on a connection of its own."""

    def __init__(self, served: Served, query: str, path: str = CONFIG_MAPS) -> None:
        host, port = served.url.removeprefix("https://").split(":")
        self._connection = http.client.HTTPSConnection(host, int(port), context=served.tls(), timeout=5)
        self._connection.request("GET", f"{path}?watch=1&{query}")
        self._answer = self._connection.getresponse()
        self.code = self._answer.status

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any]]]:
        while line := self._answer.readline():
            event = json.loads(line)
            yield event["type"], event["object"]

    def take(self, count: int) -> list[tuple[str, dict[str, Any]]]:
        stream = iter(self)
        return [next(stream) for _ in range(count)]

    def close(self) -> None:
        sock = self._connection.sock
        if sock is not None:
            sock.shutdown(socket.SHUT_RDWR)
        self._connection.close()


def test_a_watch_follows_what_a_selector_means(served: Served) -> None:
    watching = Watching(served, "labelSelector=watched%3Dyes&resourceVersion=")
    body = config_map("seen")
    body["metadata"]["labels"] = {"watched": "yes"}
    served.http("POST", CONFIG_MAPS, body)
    merge = "application/merge-patch+json"
    served.http("PATCH", f"{CONFIG_MAPS}/seen", {"data": {"a": "b"}}, content_type=merge)
    served.http(
        "PATCH", f"{CONFIG_MAPS}/seen", {"metadata": {"labels": {"watched": "no"}}}, content_type=merge
    )
    served.http(
        "PATCH", f"{CONFIG_MAPS}/seen", {"metadata": {"labels": {"watched": "yes"}}}, content_type=merge
    )
    served.http("DELETE", f"{CONFIG_MAPS}/seen")
    seen = watching.take(5)
    watching.close()
    assert [kind for kind, _ in seen] == ["ADDED", "MODIFIED", "DELETED", "ADDED", "DELETED"]
    assert seen[2][1]["metadata"]["labels"] == {"watched": "yes"}, "a leaving object is shown as it was"


def test_a_watch_can_begin_with_everything_and_say_where_that_ends(served: Served) -> None:
    served.http("POST", CONFIG_MAPS, config_map("initial"))
    query = (
        "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&"
        "fieldSelector=metadata.name%3Dinitial"
    )
    watching = Watching(served, query)
    (added, _), (bookmark, mark) = watching.take(2)
    watching.close()
    assert (added, bookmark) == ("ADDED", "BOOKMARK")
    assert mark["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_a_watch_resumes_where_a_list_ended(served: Served) -> None:
    revision = served.http("GET", CONFIG_MAPS).body["metadata"]["resourceVersion"]
    served.http("POST", CONFIG_MAPS, config_map("later"))
    watching = Watching(served, f"resourceVersion={revision}")
    ((kind, obj),) = watching.take(1)
    watching.close()
    assert (kind, obj["metadata"]["name"]) == ("ADDED", "later")


def test_a_watch_from_before_the_memory_is_told_to_begin_anew(served: Served) -> None:
    served.call(lambda: setattr(served.api.store, "_oldest", served.api.store.revision))
    served.http("POST", CONFIG_MAPS, config_map("after-the-gap"))
    watching = Watching(served, "resourceVersion=1")
    ((kind, status),) = watching.take(1)
    watching.close()
    assert (kind, status["code"], status["reason"]) == ("ERROR", 410, "Expired")


def test_a_watch_ends_when_its_time_is_over(served: Served) -> None:
    began = time.monotonic()
    watching = Watching(served, "timeoutSeconds=1&resourceVersion=0&fieldSelector=metadata.name%3Dnone")
    assert list(watching) == []
    assert time.monotonic() - began < 4
    watching.close()


def test_a_watch_whose_client_has_gone_is_forgotten(served: Served) -> None:
    before = served.call(lambda: len(served.api.store._subscribers.get("secrets", [])))
    watching = Watching(served, "", "/api/v1/secrets")
    assert served.call(lambda: len(served.api.store._subscribers["secrets"])) == before + 1
    watching.close()
    deadline = time.monotonic() + 10
    while served.call(lambda: len(served.api.store._subscribers["secrets"])) > before:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_discovery_comes_in_both_forms(served: Served) -> None:
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    aggregated = served.http("GET", "/apis", accept=accept).body
    assert aggregated["kind"] == "APIGroupDiscoveryList"
    plain = served.http("GET", "/apis").body
    assert [group["metadata"]["name"] for group in aggregated["items"]] == [
        group["name"] for group in plain["groups"]
    ]
    apps = served.http("GET", "/apis/apps/v1").body
    assert {"deployments", "deployments/scale", "deployments/status"} <= {
        entry["name"] for entry in apps["resources"]
    }
    assert served.http("GET", "/apis/apps").body["preferredVersion"]["version"] == "v1"
    assert served.http("GET", "/api").body["versions"] == ["v1"]


def test_openapi_describes_every_kind_that_is_served(served: Served) -> None:
    index = served.http("GET", "/openapi/v3").body["paths"]
    for resource in served.api.registry:
        path = f"apis/{resource.group}/{resource.version}" if resource.group else f"api/{resource.version}"
        document = served.http("GET", index[path]["serverRelativeURL"]).body
        kinds = {
            gvk["kind"]
            for schema in document["components"]["schemas"].values()
            for gvk in schema.get("x-kubernetes-group-version-kind", [])
        }
        assert resource.kind in kinds
    assert served.http("GET", "/openapi/v2").body["definitions"]["io.k8s.api.core.v1.Pod"]["type"] == "object"
