"""What a rule of the kernel means: its expressions, read one after the other, become a few matches and a
verdict.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from dataclasses import dataclass

from labkit.pocket.node.network import expressions as ex
from labkit.pocket.node.network.netlink import table
from labkit.pocket.node.network.readback import Expression, KernelRule

PROTOCOL_NAMES = {number: name.lower() for name, number in ex.PROTOCOL_NUMBERS.items()}
_STATES = {1: "invalid", 2: "established", 4: "related", 8: "new"}
_VERDICTS = {0: "drop", 1: "accept", -3: "jump", -4: "goto", -5: "return"}
_LOADED = {("meta", 16): "protocol", ("meta", 7): "oifname", ("ct", 0): "state", ("ct", 2): "status"}


@dataclass(frozen=True, slots=True)
class Match:
    """One condition. `fields` are "source", "destination", "protocol", "port", "state" and the like,
    several if they are looked up together; `value` is what they must (or, `negated`, must not) be, or the
    name of a set (`in_set`) or of a map that decides (`in_map`).
    """

    fields: tuple[str, ...]
    value: str
    negated: bool = False
    in_set: bool = False
    in_map: bool = False


@dataclass(frozen=True, slots=True)
class Meaning:
    """A rule, understood. `rest` names expressions that are neither a match, a counter nor a verdict."""

    matches: tuple[Match, ...]
    verdict: str
    rest: tuple[str, ...] = ()


def _register(number: int) -> int:
    """A register as a 32-bit one: the kernel tells of those that begin a 128-bit one under the older
    number.
    """
    return ex.FIRST_REGISTER + 4 * (number - 1) if 1 <= number <= 4 else number


def meaning(rule: KernelRule) -> Meaning:
    """Read a rule."""
    reader = _Reader()
    for expression in rule.expressions:
        reader.take(expression)
    return Meaning(tuple(reader.matches), reader.verdict, tuple(reader.rest))


class _Reader:
    """Follows the registers: what was loaded into each, and under which mask."""

    def __init__(self) -> None:
        self.matches: list[Match] = []
        self.verdict = ""
        self.rest: list[str] = []
        self._registers: dict[int, str] = {}
        self._masks: dict[int, bytes] = {}
        self._from: int | None = None

    def take(self, expression: Expression) -> None:
        """The next expression."""
        match expression.name:
            case "payload" | "meta" | "ct":
                self._load(expression)
            case "bitwise":
                self._masks[_register(expression.number(1))] = expression.value(4)
            case "cmp":
                self._compare(expression)
            case "lookup":
                self._look_up(expression)
            case "immediate":
                self.verdict = _verdict(table(expression.values[2])[2])
            case "counter":
                pass  # the rule has its numbers
            case name:
                self.rest.append(name)

    def _load(self, expression: Expression) -> None:
        if expression.name == "payload":
            register, base, offset = (
                _register(expression.number(1)),
                expression.number(2),
                expression.number(3),
            )
            network, transport = {ex.SOURCE: "source", ex.DESTINATION: "destination"}, {2: "port"}
            field = (network if base == 1 else transport).get(offset, f"payload {base} {offset}")
        else:
            register = _register(expression.number(1))
            key = (expression.name, expression.number(2))
            field = _LOADED.get(key, f"{key[0]} {key[1]}")
        self._registers[register] = field
        self._masks.pop(register, None)

    def _compare(self, expression: Expression) -> None:
        register, how, value = (
            _register(expression.number(1)),
            ex.Compare(expression.number(2)),
            expression.value(3),
        )
        field, mask = self._registers.get(register, "?"), self._masks.get(register)
        negated = how is ex.Compare.NEQ
        if field == "port":
            number = struct.unpack_from("!H", value)[0]
            if how is ex.Compare.GTE:
                self._from = number
                return
            text = str(number) if self._from is None else f"{self._from}-{number}"
            self._from = None
        elif field == "protocol":
            text = PROTOCOL_NAMES.get(value[0], str(value[0]))
        elif field in ("state", "status") and mask:
            # `(state & mask) != 0` says that the state is one of those in the mask.
            bits, names = struct.unpack("=I", mask)[0], _STATES if field == "state" else {32: "dnat"}
            text, negated = ",".join(name for bit, name in names.items() if bits & bit), False
        elif field in ("source", "destination"):
            text = socket.inet_ntoa(value)
            if mask:
                text = str(ipaddress.IPv4Network(f"{text}/{socket.inet_ntoa(mask)}"))
        else:
            text = value.rstrip(b"\0").decode(errors="replace")
        self.matches.append(Match((field,), text, negated))

    def _look_up(self, expression: Expression) -> None:
        register = _register(expression.number(2))
        fields = []
        while register in self._registers:
            fields.append(self._registers.pop(register))
            register += 1
        into = expression.number(3) if 3 in expression.values else None
        if into not in (None, ex.VERDICT_REGISTER):
            self.rest.append(f"map @{expression.word(1)}")
            return
        name, decides = expression.word(1), into is not None
        self.matches.append(Match(tuple(fields), name, in_set=not decides, in_map=decides))


def _verdict(data: bytes) -> str:
    parts = table(data)
    word = _VERDICTS[struct.unpack("!i", parts[1])[0]]
    return f"{word} {parts[2].rstrip(bytes(1)).decode()}" if 2 in parts else word
