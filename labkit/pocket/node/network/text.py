"""Rules for people to read: what the kernel has, in the words of the nft command, with counters.

The words are made from what is read back from the kernel, not from what was sent to it.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterable, Mapping

from labkit.pocket.node.network import expressions as ex
from labkit.pocket.node.network.netlink import NetlinkSocket, table
from labkit.pocket.node.network.policyrules import TABLE, Member, chain_name, dispatch_map
from labkit.pocket.node.network.readback import Expression, KernelRule, read_elements, read_rules
from labkit.policy.flow import Direction

_PROTOCOLS = {number: name.lower() for name, number in ex.PROTOCOL_NUMBERS.items()}
_STATES = {1: "invalid", 2: "established", 4: "related", 8: "new"}
_VERDICTS = {0: "drop", 1: "accept", -3: "jump", -4: "goto", -5: "return"}


def pod_rules(netfilter: NetlinkSocket, member: Member, names: Mapping[str, str]) -> str:
    """The policy chains of a pod and the sets they use; `names` has a pod's "namespace/name" for its
    address.
    """
    lines = [f"# pod {member.namespace}/{member.name}, address {member.address}"]
    sets: dict[str, None] = {}
    for direction in (Direction.EGRESS, Direction.INGRESS):
        lines.append("")
        isolated = socket.inet_aton(member.address) in read_elements(
            netfilter, TABLE, dispatch_map(direction)
        )
        if not isolated:
            lines.append(f"# {direction.value}: no policy selects this pod, so everything is accepted")
            continue
        chain = chain_name(direction, member.address)
        lines.append(f"chain {chain} {{")
        for rule in read_rules(netfilter, TABLE, chain):
            lines.append(f"    {rule_text(rule)}")
            sets.update((e.word(1), None) for e in rule.expressions if e.name == "lookup")
        lines.append("}")
    for name in sets:
        lines.append("")
        lines += [f"set {name} {{", *(f"    {line}" for line in _set_lines(netfilter, name, names)), "}"]
    return "\n".join(lines) + "\n"


def _set_lines(netfilter: NetlinkSocket, name: str, names: Mapping[str, str]) -> Iterable[str]:
    elements = read_elements(netfilter, TABLE, name)
    if not elements:
        yield "# empty"
    for element in elements:
        address = socket.inet_ntoa(element[:4])
        port = f" . {struct.unpack_from('!H', element, 4)[0]}" if len(element) > 4 else ""
        yield f"{address}{port}" + (f"    # {names[address]}" if address in names else "")


def rule_text(rule: KernelRule) -> str:
    """One rule, as the nft command would write it."""
    words = _Words()
    for expression in rule.expressions:
        words.add(expression)
    words.flush()
    if rule.comment:
        words.parts.append(f'comment "{rule.comment}"')
    return " ".join(words.parts)


class _Words:
    """Turns expressions to words one after the other; registers hold the words for what was loaded into
    them.
    """

    def __init__(self) -> None:
        self.parts: list[str] = []
        self._registers: dict[int, str] = {}
        self._masks: dict[int, bytes] = {}
        self._protocol = ""  # compared already, not yet said: `tcp dport 80` says it with the port
        self._from: int | None = None

    def add(self, expression: Expression) -> None:
        """Take the next expression."""
        match expression.name:
            case "payload" | "meta" | "ct":
                self._load(expression)
            case "bitwise":
                self._masks[expression.number(1)] = expression.value(4)
            case "cmp":
                self._compare(expression)
            case "lookup":
                self._look_up(expression)
            case "counter":
                self.flush()
                packets, octets = (int.from_bytes(expression.values[kind], "big") for kind in (2, 1))
                self.parts.append(f"counter packets {packets} bytes {octets}")
            case "immediate":
                self.flush()
                self.parts.append(_verdict(table(expression.values[2])[2]))
            case name:
                self.flush()
                self.parts.append(name)

    def flush(self) -> None:
        """Say a protocol that no port has said."""
        if self._protocol:
            self.parts.append(f"meta l4proto {self._protocol}")
            self._protocol = ""

    def _load(self, expression: Expression) -> None:
        if expression.name == "payload":
            register, base, offset = (expression.number(kind) for kind in (1, 2, 3))
            network, transport = (
                {ex.SOURCE: "ip saddr", ex.DESTINATION: "ip daddr"},
                {0: "sport", 2: "dport"},
            )
            words = (network if base == 1 else transport).get(offset, f"payload {base} {offset}")
        else:
            register, key = expression.number(1), expression.number(2)
            words = {
                ("meta", 16): "l4proto",
                ("meta", 7): "oifname",
                ("ct", 0): "ct state",
                ("ct", 2): "ct status",
            }.get((expression.name, key), f"{expression.name} {key}")
        self._registers[register] = words
        self._masks.pop(register, None)

    def _compare(self, expression: Expression) -> None:
        register, how, value = expression.number(1), ex.Compare(expression.number(2)), expression.value(3)
        words, mask = self._registers.get(register, "?"), self._masks.get(register)
        if words == "l4proto":
            self._protocol = _PROTOCOLS.get(value[0], str(value[0]))
        elif words in ("ct state", "ct status") and mask:
            bits = struct.unpack("=I", mask)[0]
            known = _STATES if words == "ct state" else {32: "dnat"}
            self.parts.append(f"{words} " + ",".join(name for bit, name in known.items() if bits & bit))
        elif words == "dport":
            self._port(how, struct.unpack_from("!H", value)[0])
        elif words.startswith("ip "):
            address = socket.inet_ntoa(value)
            if mask:
                address = str(ipaddress.IPv4Network(f"{address}/{socket.inet_ntoa(mask)}"))
            self.parts.append(f"{words} {'!= ' if how is ex.Compare.NEQ else ''}{address}")
        else:
            self.parts.append(f'{words} "{value.rstrip(bytes(1)).decode(errors="replace")}"')

    def _port(self, how: ex.Compare, number: int) -> None:
        if how is ex.Compare.GTE:
            self._from = number
            return
        numbers = str(number) if self._from is None else f"{self._from}-{number}"
        self._from = None
        self.parts.append(f"{self._protocol or 'th'} dport {numbers}")
        self._protocol = ""

    def _look_up(self, expression: Expression) -> None:
        first = expression.number(2)
        words = []
        register = first
        while register in self._registers and register - first < 3:
            word = self._registers[register]
            if word == "dport":
                word = f"{self._protocol or 'th'} dport"
                self._protocol = ""
            words.append("meta l4proto" if word == "l4proto" else word)
            register += 1
        name = expression.word(1)
        kind = "vmap " if 3 in expression.values and expression.number(3) == 0 else ""
        self.flush()
        self.parts.append(f"{' . '.join(words)} {kind}@{name}")
        self._registers.clear()


def _verdict(data: bytes) -> str:
    parts = table(data)
    word = _VERDICTS[struct.unpack("!i", parts[1])[0]]
    return f"{word} {parts[2].rstrip(bytes(1)).decode()}" if 2 in parts else word
