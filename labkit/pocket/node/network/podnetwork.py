"""The pod network of one node: links and addresses, Services, NetworkPolicy; kept in step with the API."""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from labkit.pocket.api.errors import ApiError
from labkit.pocket.node.network import servicerules
from labkit.pocket.node.network.addresses import AddressPool
from labkit.pocket.node.network.clusterview import POLICIES, WATCHED, ClusterView, Key, Touched, key_of
from labkit.pocket.node.network.conntrack import forget, lost_endpoints
from labkit.pocket.node.network.features import missing_features
from labkit.pocket.node.network.links import LINK_ADDRESS, PodLink, open_links
from labkit.pocket.node.network.netlink import NETLINK_NETFILTER, NetlinkError, NetlinkSocket
from labkit.pocket.node.network.outside import Outside
from labkit.pocket.node.network.peersets import Member
from labkit.pocket.node.network.policyrules import PolicyRules
from labkit.pocket.node.network.ruleset import Ruleset, changes, commit
from labkit.pocket.node.network.servicerules import ServicePort, Target
from labkit.pocket.node.network.text import pod_rules

if TYPE_CHECKING:
    from labkit.pocket.api import Api, Watch
    from labkit.pocket.node.network.rtnetlink import Links

log = logging.getLogger(__name__)

NODE_ADDRESS = "172.18.0.2"


class KernelLacksFeatures(OSError):  # noqa: N818 - says what is the matter
    """The kernel cannot carry a pod network; `missing` has what it lacks, each with the option it is built
    with.
    """

    def __init__(self, missing: list[str]) -> None:
        super().__init__(errno.EOPNOTSUPP, "this kernel lacks " + "; ".join(missing))
        self.missing = missing


@dataclass(frozen=True, slots=True)
class PodAddress:
    """What a pod got: its address, its gateway, and the name of the node's end of its link."""

    ip: str
    gateway: str
    link: str


@dataclass(slots=True)
class _Attachment:
    key: Key
    member: Member
    link: PodLink


class PodNetwork:
    """One node's network. Make it, and call it, in the node's network namespace and on the event loop.

    `start` takes the node's address and installs what the API holds; `run` follows the API until it is
    cancelled. Kernel work is a few netlink messages, answered at once: nothing here blocks the loop for
    longer than a millisecond or two.
    """

    def __init__(
        self, api: Api, *, node_address: str = NODE_ADDRESS, addresses: AddressPool | None = None
    ) -> None:
        """Pods get addresses of the pool, by default of 10.244.0.0/16."""
        self._api = api
        self._node_address = node_address
        self._pool = addresses or AddressPool()
        self._view = ClusterView()
        self._attached: dict[str, _Attachment] = {}
        self._leaving: list[_Attachment] = []
        self._outside: dict[str, Outside] = {}
        self._policy_rules = PolicyRules()
        self._policy_table: Ruleset | None = None
        self._service_table: Ruleset | None = None
        self._ports: list[ServicePort] = []
        self._watches: dict[str, Watch] = {}
        self._touched = Touched.NOTHING
        self._scheduled = False
        self._announce: dict[Key, tuple[float, dict[str, Any]]] = {}
        self._links: Links | None = None
        self._forgetting: set[asyncio.Task[None]] = set()
        self._netfilter: NetlinkSocket | None = None

    async def start(self) -> None:
        """Set up the node's own link and the tables, with everything the API holds now.

        Raises KernelLacksFeatures when the kernel lacks something, NetlinkError for another refusal.
        """
        try:
            await self._start()
        except OSError as error:
            if missing := missing_features():
                raise KernelLacksFeatures(missing) from error
            raise

    async def _start(self) -> None:
        self._links = await open_links()
        await self._links.start(self._node_address)
        self._netfilter = NetlinkSocket(NETLINK_NETFILTER)
        for resource in WATCHED:
            self._watches[resource] = self._api.watch(resource)
            self._view.refresh(resource, self._api.list(resource))
        self._announce.clear()
        self._touched = Touched.POLICY | Touched.SERVICES
        self._apply()

    async def run(self) -> None:
        """Keep the kernel in step with the API until cancelled."""
        async with asyncio.TaskGroup() as group:
            for resource in WATCHED:
                group.create_task(self._follow(resource))

    async def close(self) -> None:
        """Stop following and give back what the kernel holds for us; links and tables go with the
        namespace.
        """
        for watch in self._watches.values():
            watch.close()
        self._watches.clear()
        for outside in list(self._outside.values()):
            self.remove_outside(outside)
        await asyncio.gather(*self._forgetting, return_exceptions=True)
        if self._links is not None:
            self._links.close()
        if self._netfilter is not None:
            self._netfilter.close()
        self._links = self._netfilter = None

    # ---- pods ----------------------------------------------------------------------------------------------

    async def attach(self, pod_key: str, uid: str, netns_fd: int) -> PodAddress:
        """Connect the network namespace of a pod ("namespace/name"); its link is up when this returns.

        The policies that select it are in the kernel before the link can carry a packet. Raises ApiError
        (404) if the API does not know the pod, AddressesExhausted, NetlinkError.
        """
        links, _ = self._running()
        namespace, _, name = pod_key.partition("/")
        await self.detach(uid)
        pod = self._api.get("pods", name, namespace)
        # Events that are on their way are not waited for: what the API says now is what holds from the
        # first packet.
        for resource in (POLICIES, "namespaces"):
            self._touched |= self._view.refresh(resource, self._api.list(resource))
        self._view.update("pods", "MODIFIED", pod)
        seen = self._view.pods[namespace, name]
        link = PodLink(netns_fd, self._pool.take(), pod_key)
        member = Member(
            namespace, name, tuple(sorted(seen.labels.items())), seen.ports, link.address, not seen.ended
        )
        attachment = self._attached[uid] = _Attachment((namespace, name), member, link)
        self._touched |= Touched.POLICY
        try:
            self._apply()
            await links.connect(link)
            if self._attached.get(uid) is not attachment:
                raise NetlinkError(
                    errno.ENODEV, f"make the link of {pod_key}", "it was disconnected meanwhile"
                )
        except BaseException:
            if self._attached.get(uid) is attachment:
                await asyncio.shield(self.detach(uid))
            raise
        return PodAddress(link.address, LINK_ADDRESS, link.name)

    async def detach(self, uid: str) -> None:
        """Disconnect a pod; nothing happens if it is not connected. Its address rests before another pod
        gets it.
        """
        attachment = self._attached.pop(uid, None)
        if attachment is None:
            return
        # Its processes may still run: its policies stay until its link is gone.
        self._leaving.append(attachment)
        try:
            if self._links is not None:
                await self._links.remove(attachment.link)
        except NetlinkError:
            log.exception("the link of pod %s/%s could not be removed", *attachment.key)
        finally:
            self._leaving.remove(attachment)
            self._pool.release(attachment.member.address)
            self._touch(Touched.POLICY)

    def address(self, uid: str) -> str | None:
        """The address of a connected pod."""
        attachment = self._attached.get(uid)
        return attachment.member.address if attachment else None

    async def rules(self, namespace: str, pod: str, style: str = "nft") -> str:
        """The NetworkPolicy rules of a pod as the kernel has them, with counters, for a person to read.

        `style` is "nft" or "iptables". Raises KeyError for a pod that is not connected, ValueError for
        another style.
        """
        _, netfilter = self._running()
        for attachment in self._attached.values():
            if attachment.key == (namespace, pod):
                names = {a.member.address: "/".join(a.key) for a in self._attached.values()}
                return pod_rules(netfilter, attachment.member, names, style)
        raise KeyError(f"pod {namespace}/{pod} is not connected to the pod network")

    def outside(self, address: str = "203.0.113.10") -> Outside:
        """A host outside the cluster, in a network namespace of its own: pods reach it and are reached from
        it.
        """
        links, _ = self._running()
        host = self._outside[address] = Outside.make(links, address)
        return host

    def remove_outside(self, host: Outside) -> None:
        """Remove such a host."""
        if self._outside.pop(host.address, None) is not None:
            host.remove()

    # ---- following the API ---------------------------------------------------------------------------------

    async def _follow(self, resource: str) -> None:
        while True:
            watch = self._watches.get(resource)
            if watch is None:
                watch = self._watches[resource] = self._api.watch(resource)
                self._touch(self._view.refresh(resource, self._api.list(resource)))
            async for event, obj in watch:
                touched = self._view.update(resource, event, obj)
                if resource == POLICIES and touched and event != "DELETED":
                    self._announce[key_of(obj)] = (time.perf_counter(), obj)
                self._touch(touched)
            if self._watches.pop(resource, None) is None:
                return  # closed
            log.warning("the watch of %s ended; reading everything again", resource)

    def _touch(self, touched: Touched) -> None:
        """Note what is out of date; all events of one turn of the loop are applied together at its end."""
        self._touched |= touched
        if self._touched and not self._scheduled and self._netfilter is not None:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._apply_scheduled)

    def _apply_scheduled(self) -> None:
        self._scheduled = False
        if self._netfilter is None:
            return
        try:
            self._apply()
        except Exception:
            # Whatever it was, the next try makes both tables anew.
            log.exception("the rules could not be changed; trying again in a second")
            asyncio.get_running_loop().call_later(1.0, self._touch, Touched.POLICY | Touched.SERVICES)

    def _apply(self) -> None:
        """Bring the kernel's tables up to date. Raises NetlinkError; then the whole table is made anew next
        time.
        """
        _, netfilter = self._running()
        touched, self._touched = self._touched, Touched.NOTHING
        started = time.perf_counter()
        if touched & Touched.POLICY:
            members = [self._refreshed(a) for a in (*self._attached.values(), *self._leaving)]
            wanted = self._policy_rules.render(self._view.policies.values(), members, self._view.namespaces)
            before, self._policy_table = self._policy_table, None
            count = commit(netfilter, changes(before, wanted))
            self._policy_table = wanted
            log.debug("policy: %d messages in %.1f ms", count, 1e3 * (time.perf_counter() - started))
            self._tell()
        if touched & Touched.SERVICES:
            self._apply_services(netfilter)

    def _apply_services(self, netfilter: NetlinkSocket) -> None:
        started = time.perf_counter()
        view = self._view
        ports, cluster_ips = servicerules.read_services(
            view.services.values(), view.slices.values(), self._node_address
        )
        wanted = servicerules.render(ports, cluster_ips)
        before, self._service_table = self._service_table, None
        count = commit(netfilter, changes(before, wanted))
        self._service_table = wanted
        previous, self._ports = self._ports, ports
        log.debug("services: %d messages in %.1f ms", count, 1e3 * (time.perf_counter() - started))
        if lost := lost_endpoints(previous, ports):
            task = asyncio.create_task(self._forget(lost))
            self._forgetting.add(task)
            task.add_done_callback(self._forgetting.discard)

    async def _forget(self, lost: Mapping[Target, frozenset[Target]]) -> None:
        try:
            await asyncio.to_thread(forget, lost)
        except OSError:
            log.exception("stale UDP connections stay until they time out")

    def _refreshed(self, attachment: _Attachment) -> Member:
        """A connected pod as the API has it; as it was last, if the API has let go of it already."""
        pod = self._view.pods.get(attachment.key)
        if pod is not None and self._attached.get(self._view.uids[attachment.key]) is attachment:
            known = attachment.member
            labels = tuple(sorted(pod.labels.items()))
            if (known.labels, known.ports, known.peer) != (labels, pod.ports, not pod.ended):
                attachment.member = replace(known, labels=labels, ports=pod.ports, peer=not pod.ended)
        return attachment.member

    def _tell(self) -> None:
        """Record an event for each policy that has just come into force, with what it selects."""
        announce, self._announce = self._announce, {}
        now = time.perf_counter()
        for key, (since, obj) in announce.items():
            policy = self._view.policies.get(key)
            if policy is None:
                continue
            count = sum(
                a.key[0] == key[0] and policy.pod_selector.matches(dict(a.member.labels))
                for a in self._attached.values()
            )
            pods = "no pod" if not count else "1 pod" if count == 1 else f"{count} pods"
            message = f"In force {1e3 * (now - since):.1f} ms after it was written; it selects {pods}"
            try:
                self._api.record_event(obj, "Normal", "Enforced", message, "pod-network")
            except ApiError as error:  # its namespace is on its way out
                log.debug("no event about NetworkPolicy %s/%s: %s", *key, error)

    def _running(self) -> tuple[Links, NetlinkSocket]:
        if self._links is None or self._netfilter is None:
            raise RuntimeError("the pod network is not started")
        return self._links, self._netfilter
