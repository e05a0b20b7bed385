"""What a URL names: group, version, resource, namespace, name, subresource (apiserver's RequestInfo)."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote


@dataclass(frozen=True)
class Target:
    """A path under /api or /apis, taken apart. Empty strings stand for what is not there."""

    group: str
    version: str
    plural: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""

    @property
    def group_version(self) -> str:
        """`v1`, `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version


def parse(raw_path: str) -> Target | None:
    """The target of a path such as /apis/apps/v1/namespaces/x/deployments/web/scale; None for other paths.

    `rest` is what follows a subresource (nodes/NAME/proxy/REST), still percent-encoded.
    """
    raw = [part for part in raw_path.split("/") if part]
    parts = [unquote(part) for part in raw]
    if len(parts) >= 2 and parts[0] == "api":
        group, version, at = "", parts[1], 2
    elif len(parts) >= 3 and parts[0] == "apis":
        group, version, at = parts[1], parts[2], 3
    else:
        return None
    parts, raw = parts[at:], raw[at:]
    namespace = ""
    # /namespaces/x is the Namespace itself, and so are its two subresources.
    if len(parts) >= 3 and parts[0] == "namespaces" and parts[2] not in ("status", "finalize"):
        namespace = parts[1]
        parts, raw = parts[2:], raw[2:]

    def part(index: int) -> str:
        return parts[index] if len(parts) > index else ""

    return Target(group, version, part(0), namespace, part(1), part(2), "/".join(raw[3:]))
