"""The parts of a running cluster, put together: store, API, controllers, network, node, server."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Mapping
from typing import Any

from labkit.pocket import controllers
from labkit.pocket.api import Api, Store
from labkit.pocket.api.server import serve
from labkit.pocket.api.tokens import Tokens
from labkit.pocket.components import controller as components
from labkit.pocket.components import resource as component_resource
from labkit.pocket.errors import StartFailed
from labkit.pocket.node.context import NODE_ADDRESS, Context
from labkit.pocket.node.kubelet import Kubelet, register
from labkit.pocket.node.network import PodNetwork
from labkit.pocket.node.runtime import NodeRuntime
from labkit.pocket.node.spawner import Spawner
from labkit.pocket.pki import Pki, write_kubeconfig
from labkit.pocket.places import Places

log = logging.getLogger(__name__)

_API_PORT = 6443
_TOKEN_SECONDS = 365 * 24 * 3600  # a laptop sleeps: nothing here renews a token


class PocketCluster:
    """A cluster in this process, which is in the cluster's namespaces already."""

    def __init__(
        self,
        places: Places,
        listening: socket.socket,
        control: socket.socket,
        *,
        machine_resolv_conf: str = "",
    ) -> None:
        self._places = places
        self._listening = listening
        self._control = control
        self._machine_resolv_conf = machine_resolv_conf

    async def run(self, ready: Callable[[], None]) -> int:
        """Serve until SIGTERM (0), or until a part of the cluster fails for good (1). `ready` when it serves."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        pki = Pki.load_or_create(self._places.pki)
        store = Store(self._places.state)
        api = Api(store)
        component_resource.serve(api)
        spawner = Spawner(self._control)
        spawner.start()
        network = PodNetwork(api, node_address=NODE_ADDRESS)
        self._places.logs.mkdir(exist_ok=True)
        tokens = Tokens(pki.service_account_key)

        def token(namespace: str, account: str, pod: Mapping[str, Any]) -> str:
            found = api.get("serviceaccounts", account, namespace)
            return tokens.issue(found, seconds=_TOKEN_SECONDS, pod=pod)[0]

        context = Context(
            api=api, spawner=spawner, network=network, run=self._places.run, logs=self._places.logs, token=token,
            machine_resolv_conf=self._machine_resolv_conf,
        )  # fmt: skip
        try:
            await network.start()
        except OSError as problem:
            raise StartFailed("network", str(problem)) from problem
        kubelet = Kubelet(context)
        server = await serve(api, NodeRuntime(kubelet), pki, [self._listening, _inside()])
        port = self._listening.getsockname()[1]
        write_kubeconfig(self._places.kubeconfig, self._places.name, f"https://127.0.0.1:{port}", pki)
        facts = controllers.ClusterFacts(ca_certificate=pki.ca.decode())
        controllers.bootstrap(api, facts)
        register(context)  # before the scheduler looks for a node
        parts = [
            asyncio.create_task(controllers.run_all(api, facts), name="controllers"),
            asyncio.create_task(components.run(api), name="components"),
            asyncio.create_task(network.run(), name="network"),
            asyncio.create_task(kubelet.run(), name="node"),
            asyncio.create_task(spawner.closed.wait(), name="zygote"),
        ]
        ready()
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait((*parts, stopped), return_when=asyncio.FIRST_COMPLETED)
        code = 0
        for part in parts:
            if part.done():
                code = 1
                log.error(
                    "the %s ended; the cluster cannot go on", part.get_name(), exc_info=part.exception()
                )
        for part in (*parts, stopped):
            part.cancel()
        await asyncio.gather(*parts, return_exceptions=True)
        await server.close()
        await network.close()
        store.close()
        # The zygote is left alone until this process ends: when it goes, the kernel ends everything here, us included.
        return code


def _inside() -> socket.socket:
    """The API's socket in the node's own network, where pods reach it."""
    inside = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    inside.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    inside.bind((NODE_ADDRESS, _API_PORT))
    return inside
