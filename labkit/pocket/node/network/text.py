"""A pod's rules for people to read, with counters, in the words of nft or of iptables.

The words are made from what is read back from the kernel, not from what was sent to it.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Mapping, Sequence

from labkit.pocket.node.network.meaning import Match, meaning
from labkit.pocket.node.network.netlink import NetlinkSocket
from labkit.pocket.node.network.peersets import Member
from labkit.pocket.node.network.policyrules import TABLE, chain_name, dispatch_map
from labkit.pocket.node.network.readback import KernelRule, read_elements, read_rules
from labkit.policy.flow import Direction

STYLES = ("nft", "iptables")


def pod_rules(netfilter: NetlinkSocket, member: Member, names: Mapping[str, str], style: str = "nft") -> str:
    """The policy chains of a pod and the sets they use; `names` has a pod's "namespace/name" for its address.

    Raises ValueError for a style that is none of STYLES.
    """
    if style not in STYLES:
        raise ValueError(f'unknown style "{style}": expected one of {", ".join(STYLES)}')
    lines = [f"# pod {member.namespace}/{member.name}, address {member.address}"]
    if style == "iptables":
        lines.append("# the kernel's nftables rules, in the words of iptables-save -c and ipset")
    sets: dict[str, int] = {}
    for direction in (Direction.EGRESS, Direction.INGRESS):
        lines.append("")
        if socket.inet_aton(member.address) not in read_elements(netfilter, TABLE, dispatch_map(direction)):
            lines.append(f"# {direction.value}: no policy selects this pod, so everything is accepted")
            continue
        chain = chain_name(direction, member.address)
        rules = read_rules(netfilter, TABLE, chain)
        lines += _nft_chain(chain, rules) if style == "nft" else _iptables_chain(chain, rules, direction)
        sets.update((m.value, len(m.fields)) for rule in rules for m in meaning(rule).matches if m.in_set)
    for name, width in sets.items():
        elements = read_elements(netfilter, TABLE, name)
        lines.append("")
        lines += _nft_set(name, elements, names) if style == "nft" else _ipset(name, width, elements, names)
    return "\n".join(lines) + "\n"


# ---- nft --------------------------------------------------------------------------------------------------


def _nft_chain(chain: str, rules: Iterable[KernelRule]) -> list[str]:
    return [f"chain {chain} {{", *(f"    {nft_text(rule)}" for rule in rules), "}"]


def nft_text(rule: KernelRule) -> str:
    """One rule, as the nft command would write it."""
    words: list[str] = []
    known = meaning(rule)
    matches = list(known.matches)
    for number, match in enumerate(matches):
        if match.fields == ("protocol",) and "port" in _following(matches, number):
            continue  # `tcp dport 80` says it
        words.append(_nft_match(match, _protocol_before(matches, number)))
    if any(e.name == "counter" for e in rule.expressions):
        words.append(f"counter packets {rule.packets} bytes {rule.octets}")
    words += known.rest
    if known.verdict:
        words.append(known.verdict)
    if rule.comment:
        words.append(f'comment "{rule.comment}"')
    return " ".join(words)


def _nft_match(match: Match, protocol: str) -> str:
    field_words = {
        "source": "ip saddr",
        "destination": "ip daddr",
        "protocol": "meta l4proto",
        "port": f"{protocol or 'th'} dport",
        "state": "ct state",
        "status": "ct status",
    }
    fields = " . ".join(field_words.get(field, field) for field in match.fields)
    prefix = "@" if match.in_set else "vmap @" if match.in_map else ""
    return f"{fields} {'!= ' if match.negated else ''}{prefix}{match.value}"


def _nft_set(name: str, elements: Iterable[bytes], names: Mapping[str, str]) -> list[str]:
    lines = [f"{' . '.join(_parts(element))}{_remark(element, names)}" for element in elements]
    return [f"set {name} {{", *(f"    {line}" for line in lines or ["# empty"]), "}"]


# ---- iptables ----------------------------------------------------------------------------------------------


def _iptables_chain(chain: str, rules: Iterable[KernelRule], direction: Direction) -> list[str]:
    return [f":{chain} - [0:0]", *(iptables_text(rule, chain, direction) for rule in rules)]


def iptables_text(rule: KernelRule, chain: str, direction: Direction) -> str:
    """One rule, as iptables-save -c would write it.

    What the egress half accepts goes on to the ingress half, which in iptables is RETURN.
    """
    words = [f"[{rule.packets}:{rule.octets}]", "-A", chain]
    known = meaning(rule)
    matches = list(known.matches)
    for match in sorted(matches, key=lambda m: "port" in m.fields):
        words += _iptables_match(match, _protocol_before(matches, len(matches)))
    if rule.comment:
        words += ["-m comment --comment", f'"{rule.comment}"']
    verdict = (
        "RETURN" if known.verdict == "accept" and direction is Direction.EGRESS else known.verdict.upper()
    )
    return " ".join([*words, "-j", verdict])


def _iptables_match(match: Match, protocol: str) -> Sequence[str]:
    negation = ["!"] if match.negated else []
    if match.in_set:
        which = ",".join("src" if "source" in match.fields else "dst" for _ in match.fields)
        return ["-m set", *negation, "--match-set", match.value, which]
    match match.fields:
        case ("source",):
            return [*negation, "-s", match.value]
        case ("destination",):
            return [*negation, "-d", match.value]
        case ("protocol",):
            return ["-p", match.value]
        case ("port",):
            return ["-m", protocol or "multiport", "--dport", match.value.replace("-", ":")]
        case _:
            return [f"-m {' '.join(match.fields)}", match.value]


def _ipset(name: str, width: int, elements: Sequence[bytes], names: Mapping[str, str]) -> list[str]:
    kind = "hash:ip,port" if width > 1 else "hash:ip"
    lines = [f"add {name} {','.join(_parts(element))}{_remark(element, names)}" for element in elements]
    return [f"create {name} {kind}", *lines]


# ---- both --------------------------------------------------------------------------------------------------


def _following(matches: Sequence[Match], number: int) -> tuple[str, ...]:
    """The fields of the matches after one."""
    return tuple(field for match in matches[number + 1 :] for field in match.fields)


def _protocol_before(matches: Sequence[Match], number: int) -> str:
    """The protocol that a match before this one asks for."""
    return next((match.value for match in matches[:number] if match.fields == ("protocol",)), "")


def _parts(element: bytes) -> list[str]:
    """The address of an element, and the port if it has one."""
    address = socket.inet_ntoa(element[:4])
    return [address, str(struct.unpack_from("!H", element, 4)[0])] if len(element) > 4 else [address]


def _remark(element: bytes, names: Mapping[str, str]) -> str:
    """Which pod an element is."""
    name = names.get(socket.inet_ntoa(element[:4]))
    return f"    # {name}" if name else ""
