"""`/coredns`: answers names of the cluster over UDP and TCP 53 from what it watches in the API.

It reads the API as any pod does: KUBERNETES_SERVICE_HOST, the service account's token and CA. `/ready` on 8181 answers
only once every kind has been listed; `/health` on 8080 and `/metrics` on 9153 as kubeadm's configuration has them.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import random
import ssl
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dnslib import AAAA, CNAME, EDNS0, PTR, QTYPE, RCODE, RR, SOA, SRV, TXT, A, DNSHeader, DNSRecord

from .console import out
from .coredns_zone import TTL, Answer, Record, Zone
from .goflags import Value, parse
from .http1 import Request, Response, serve
from .service import run, udp

_WATCHED = {
    "Namespace": "/api/v1/namespaces",
    "Service": "/api/v1/services",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/endpointslices",
}
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_DATA = {"A": A, "AAAA": AAAA, "CNAME": CNAME, "PTR": PTR, "TXT": TXT}


def main(argv: list[str]) -> int:
    flags: dict[str, Value] = {
        "conf": "/etc/coredns/Corefile",
        "dns.port": 53,
        "p": 53,
        "version": False,
        "quiet": False,
    }
    words = [
        "--" + word.lstrip("-") if word.startswith("-") else word for word in argv[1:]
    ]  # Go's own flag package
    values, _ = parse(words, flags, command="coredns")
    if values["version"]:
        out("CoreDNS-1.12.1 (labkit's stand-in)")
        return 0
    port = int(values["dns.port"])
    server = Server(Zone(os.environ.get("CLUSTER_DOMAIN", "cluster.local")))

    async def start(_: asyncio.Future[int]) -> object:
        keep: list[object] = [await serve(server.page, number) for number in (8080, 8181, 9153)]
        keep.append(await udp(port, lambda data, _client: server.reply(data, limit=512)))
        keep.append(await asyncio.start_server(server.stream, None, port, backlog=256))
        out(f".:{port}\nCoreDNS-1.12.1 (labkit's stand-in)")
        server.watch(asyncio.get_running_loop())
        return keep

    return run(start)


class Server:
    """A zone that follows the API, and the replies it gives."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self.synced: set[str] = set()
        self.answered: Counter[str] = Counter()

    @property
    def ready(self) -> bool:
        return len(self.synced) == len(_WATCHED)

    def reply(self, packet: bytes, limit: int | None) -> bytes | None:
        """The reply to one question; `limit` bytes (or what EDNS allows) before it is truncated, None for TCP."""
        try:
            question = DNSRecord.parse(packet)
            name, kind = str(question.q.qname), QTYPE.get(question.q.qtype, "?")
        except Exception:
            return None  # not a question; a name server says nothing
        header = DNSHeader(
            id=question.header.id, qr=1, aa=1, rd=question.header.rd, opcode=question.header.opcode
        )
        reply = DNSRecord(header, q=question.q)
        answer = self.zone.answer(name, kind) if self.ready else Answer(ours=False)
        if not answer.ours:
            header.rcode, header.aa = RCODE.SERVFAIL, 0
        else:
            records = list(answer.records)
            random.shuffle(records)  # CoreDNS: loadbalance
            for record in records:
                reply.add_answer(_rr(record))
            if not records:
                header.rcode = RCODE.NOERROR if answer.exists else RCODE.NXDOMAIN
                reply.add_auth(self._soa())
        self.answered[RCODE[header.rcode]] += 1
        for extra in question.ar:
            if extra.rtype == QTYPE.OPT:
                reply.add_ar(EDNS0(udp_len=1232))
                limit = max(limit, extra.edns_len) if limit else None
        data = reply.pack()
        if limit and len(data) > limit:
            header.tc = 1
            data = DNSRecord(header, q=question.q).pack()
        return bytes(data)

    def _soa(self) -> RR:
        domain = self.zone.domain
        times = (int(time.time()), 7200, 1800, 86400, TTL)
        return RR(domain, QTYPE.SOA, rdata=SOA(f"ns.dns.{domain}", f"hostmaster.{domain}", times), ttl=TTL)

    async def stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (size,) = struct.unpack("!H", await reader.readexactly(2))
                data = self.reply(await reader.readexactly(size), limit=None)
                if data is None:
                    break
                writer.write(struct.pack("!H", len(data)) + data)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass  # the client is done
        finally:
            writer.close()

    async def page(self, request: Request) -> Response:
        port, path = request.local[1], request.path
        if (port, path) == (8080, "/health"):
            return Response("OK")
        if (port, path) == (8181, "/ready"):
            missing = sorted(set(_WATCHED) - self.synced)
            return Response("OK") if self.ready else Response("kubernetes: " + ", ".join(missing), 503)
        if (port, path) == (9153, "/metrics"):
            lines = [
                f'coredns_dns_responses_total{{rcode="{code}"}} {n}'
                for code, n in sorted(self.answered.items())
            ]
            return Response("# TYPE coredns_dns_responses_total counter\n" + "\n".join(lines) + "\n")
        return Response("404 page not found\n", 404)

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Follow the API in threads of their own: the standard library's HTTP client blocks."""
        for kind, path in _WATCHED.items():
            threading.Thread(target=self._follow, args=(loop, kind, path), daemon=True).start()

    def _follow(self, loop: asyncio.AbstractEventLoop, kind: str, path: str) -> None:
        wait = 0.05
        while True:
            try:
                listed = json.loads(_get(path).read())
                loop.call_soon_threadsafe(self.zone.replace, kind, listed["items"])
                loop.call_soon_threadsafe(self.synced.add, kind)
                wait = 0.05
                version = listed["metadata"]["resourceVersion"]
                for event in _events(f"{path}?watch=1&allowWatchBookmarks=true&resourceVersion={version}"):
                    if event["type"] == "ERROR":
                        break  # 410 Gone: list again
                    if event["type"] != "BOOKMARK":
                        loop.call_soon_threadsafe(self.zone.change, event["type"], kind, event["object"])
            except RuntimeError:
                return  # the loop is closed: the program ends
            except (OSError, ValueError, KeyError, http.client.HTTPException) as problem:
                out(f"[WARNING] plugin/kubernetes: Failed to watch {kind}: {problem}")
                time.sleep(wait)
                wait = min(5.0, wait * 2)


def _rr(record: Record) -> RR:
    data = SRV(*record.data) if record.kind == "SRV" else _DATA[record.kind](record.data)
    return RR(record.name, getattr(QTYPE, record.kind), rdata=data, ttl=TTL)


def _get(path: str) -> http.client.HTTPResponse:
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], int(os.environ.get("KUBERNETES_SERVICE_PORT", "443"))
    context = ssl.create_default_context(cafile=str(_ACCOUNT / "ca.crt"))
    connection = http.client.HTTPSConnection(host, port, context=context, timeout=600)
    token = (_ACCOUNT / "token").read_text().strip()  # read anew each time: tokens rotate
    connection.request(
        "GET", path, headers={"Authorization": f"Bearer {token}", "Accept": "application/json"}
    )
    response = connection.getresponse()
    if response.status != 200:
        raise OSError(f"{response.status} {response.reason}: {response.read(300).decode('utf-8', 'replace')}")
    return response


def _events(path: str) -> Iterator[dict[str, Any]]:
    with _get(path) as stream:
        for line in stream:
            if line.strip():
                yield json.loads(line)
