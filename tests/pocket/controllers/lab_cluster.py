"""An API with controllers and a pretended kubelet, for the controller tests."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Any

from labkit.pocket.api.api import Api
from labkit.pocket.api.errors import ApiError
from labkit.pocket.api.objects import now

Obj = dict[str, Any]


class FakeKubelet:
    """Runs every bound pod at once, unless told to leave it; ends deleted pods after `grace` seconds."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.grace = 0.0
        self.makes_ready: Callable[[Obj], bool] = lambda pod: True
        self._addresses = itertools.count(int(IPv4Address("10.244.0.2")))

    async def run(self) -> None:
        watch = self.api.watch("pods")
        try:
            async for kind, pod in watch:
                if kind != "DELETED" and pod["spec"].get("nodeName"):
                    self._sync(pod)
        finally:
            watch.close()

    def look_again(self) -> None:
        for pod in self.api.list("pods"):
            if pod["spec"].get("nodeName"):
                self._sync(pod)

    def _sync(self, pod: Obj) -> None:
        metadata = pod["metadata"]
        if metadata.get("deletionTimestamp"):
            asyncio.get_running_loop().call_later(self.grace, self._end, metadata)
            return
        status = pod.get("status") or {}
        ready = "True" if self.makes_ready(pod) else "False"
        said = [c["status"] for c in status.get("conditions") or () if c["type"] == "Ready"]
        if said == [ready] or status.get("phase") in ("Succeeded", "Failed"):
            return
        address = status.get("podIP") or str(IPv4Address(next(self._addresses)))

        def change(copy: Obj) -> Obj:
            old = copy.get("status") or {}
            others = [c for c in old.get("conditions") or () if c["type"] != "Ready"]
            condition = {"type": "Ready", "status": ready, "lastTransitionTime": now()}
            copy["status"] = {
                **old,
                "phase": "Running",
                "podIP": address,
                "podIPs": [{"ip": address}],
                "conditions": [*others, condition],
            }
            return copy

        self.api.modify("pods", metadata["name"], metadata["namespace"], change, subresource="status")

    def _end(self, metadata: Obj) -> None:
        try:
            self.api.delete(
                "pods",
                metadata["name"],
                metadata["namespace"],
                grace_period=0,
                preconditions={"uid": metadata["uid"]},
            )
        except ApiError:
            pass  # ended already


async def until(claim: Callable[[], Any], seconds: float = 5.0) -> Any:
    """Wait until the claim holds; gives what it gave."""
    end = asyncio.get_running_loop().time() + seconds
    while True:
        try:
            value = claim()
        except ApiError:
            value = None
        if value:
            return value
        assert asyncio.get_running_loop().time() < end, f"never came true: {claim}"
        await asyncio.sleep(0.005)


class LabCluster:
    """What a test holds in its hands."""

    def __init__(self, api: Api, kubelet: FakeKubelet) -> None:
        self.api = api
        self.kubelet = kubelet

    until = staticmethod(until)

    async def quiet(self) -> None:
        """Let everything that is under way finish."""
        revision = -1
        while revision != self.api.store.revision:
            revision = self.api.store.revision
            await asyncio.sleep(0.03)

    def pods(self, namespace: str = "default", selector: str = "") -> list[Obj]:
        return self.api.list("pods", namespace, label_selector=selector)

    def ready_pods(self, selector: str = "") -> list[Obj]:
        return [
            pod
            for pod in self.pods(selector=selector)
            if any(
                c["type"] == "Ready" and c["status"] == "True"
                for c in (pod.get("status") or {}).get("conditions") or ()
            )
            and not pod["metadata"].get("deletionTimestamp")
        ]

    def events(self, reason: str, namespace: str = "default") -> list[str]:
        return [e["message"] for e in self.api.list("events", namespace) if e["reason"] == reason]

    def names(self, resource: str, namespace: str | None = "default") -> set[str]:
        return {obj["metadata"]["name"] for obj in self.api.list(resource, namespace)}

    def change(
        self, resource: str, name: str, change: Callable[[Obj], None], namespace: str = "default"
    ) -> Obj:
        def apply(copy: Obj) -> Obj:
            change(copy)
            return copy

        return self.api.modify(resource, name, namespace, apply)


def pod_spec(image: str = "agnhost:2", **container: Any) -> Obj:
    return {"containers": [{"name": "app", "image": image, **container}]}


def template(app: str, image: str = "agnhost:2") -> Obj:
    return {"metadata": {"labels": {"app": app}}, "spec": pod_spec(image)}


def deployment(name: str, replicas: int = 3, **spec: Any) -> Obj:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": template(name),
            **spec,
        },
    }


def service(name: str, ports: list[Obj] | None = None, **spec: Any) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"app": name}, "ports": ports or [{"port": 80}], **spec},
    }


def pod(name: str, labels: dict[str, str] | None = None, **spec: Any) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": labels or {}},
        "spec": {**pod_spec(), **spec},
    }
