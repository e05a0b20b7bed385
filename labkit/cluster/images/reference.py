"""Image references, read as container engines read them (github.com/distribution/reference)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from labkit.pocket.images import repository

_HUB = "docker.io"


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference in full: `nginx:1.27` is docker.io, library/nginx, 1.27. `tag` is "latest" where nothing else is said."""

    registry: str
    path: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read any accepted spelling: a name, with a tag, with a digest, with both; with or without a registry."""
        text = text.strip()
        name = repository(text)
        tail, _, digest = text[len(name) :].partition("@")
        first, slash, rest = name.partition("/")
        if slash and ("." in first or ":" in first or first == "localhost"):
            registry, path = first, rest
        else:
            registry, path = _HUB, name
        if registry in ("index.docker.io", "registry-1.docker.io"):
            registry = _HUB
        if registry == _HUB and "/" not in path:
            path = f"library/{path}"
        tag = tail.removeprefix(":")
        return cls(registry, path, tag or ("" if digest else "latest"), digest)

    @property
    def name(self) -> str:
        """Registry and path, without tag or digest."""
        return f"{self.registry}/{self.path}"

    @property
    def tagged(self) -> Reference:
        """The same without its digest."""
        return replace(self, digest="")

    def __str__(self) -> str:
        return self.name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def canonical(text: str) -> str:
    """A reference as containerd keeps it: "nginx" is "docker.io/library/nginx:latest"."""
    return str(Reference.parse(text))


def familiar(text: str) -> str:
    """A reference as people write it: without docker.io/library/."""
    full = canonical(text)
    return full.removeprefix(f"{_HUB}/library/").removeprefix(f"{_HUB}/")
