"""Image archives: reading what `docker save` and OCI tools write."""

from __future__ import annotations

import gzip
import json
import os
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from .errors import ImageError
from .layers import TAR, Digesting, Layer, sha256
from .reference import canonical

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
_DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
# What containerd calls an image is in an annotation of its own; the OCI's holds only a tag.
NAME = "io.containerd.image.name"
TAG = "org.opencontainers.image.ref.name"
_ATTESTS = "vnd.docker.reference.type"
_CHUNK = 1 << 20

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Archived:
    """One image of an archive for one platform ("linux/amd64").

    `references`: its names, in full. `digest`: of its manifest; of its configuration in an archive that has no manifests
    (an old `docker save`). `layers`: the archive's members. `size`: bytes of all layers.
    """

    references: tuple[str, ...]
    digest: str
    platform: str
    config: Json = field(hash=False)
    layers: tuple[str, ...]
    size: int
    media_type: str = MANIFEST


class Archive:
    """An archive opened for reading. Raises ImageError when it is none."""

    def __init__(self, tar: tarfile.TarFile, file: Path) -> None:
        self._tar, self.file = tar, file
        self._members = {os.path.normpath(member.name): member for member in tar.getmembers()}

    def images(self) -> list[Archived]:
        """Every image in it, each platform by itself; attestations and other things that are no images are left out."""
        if "index.json" in self._members:
            found = [image for each in self._json("index.json")["manifests"] for image in self._of(each, "")]
        elif "manifest.json" in self._members:
            found = [self._docker(each) for each in self._json("manifest.json")]
        else:
            raise ImageError(
                f"{self.file} is not an image archive: it has neither index.json nor manifest.json. "
                "Make one with: docker save IMAGE -o FILE"
            )
        return _merged(found)

    @property
    def plain(self) -> bool:
        """Whether it names its images directly: no index within the index, and no attestations."""
        if "index.json" not in self._members:
            return True
        return all(
            each.get("mediaType") not in (INDEX, _DOCKER_LIST)
            and _ATTESTS not in (each.get("annotations") or {})
            for each in self._json("index.json")["manifests"]
        )

    def blob(self, digest: str) -> bytes:
        """The bytes of a manifest or configuration. Raises ImageError."""
        with self.open(blob_name(digest)) as stream:
            return stream.read()

    def size(self, name: str) -> int:
        """A member's size in bytes. Raises ImageError."""
        with self.open(name):
            return self._members[os.path.normpath(name)].size

    def chosen(self, reference: str, platform: str) -> Archived:
        """The image of that name (empty: the only one) for a platform. Raises ImageError that tells what there is."""
        here = self.images()
        wanted = canonical(reference) if reference else ""
        for image in here:
            if image.platform == platform and (not wanted or wanted in image.references):
                return image
        there = (
            ", ".join(f"{' '.join(image.references) or image.digest} ({image.platform})" for image in here)
            or "nothing"
        )
        raise ImageError(f"{self.file} has no image {reference or ''} for {platform}; it has {there}.")

    def layer(self, image: Archived, number: int, folder: Path) -> Layer:
        """Copy a layer out of the archive into `folder`."""
        target = folder / f"layer-{sha256(image.layers[number].encode())[7:19]}"
        with self.open(image.layers[number]) as source, target.open("wb") as raw:
            out = Digesting(raw)
            head = source.read(4)
            out.write(head)
            while chunk := source.read(_CHUNK):
                out.write(chunk)
        diff_id = str(image.config["rootfs"]["diff_ids"][number])
        return Layer(target, out.digest, diff_id, out.size, TAR + _compression(head))

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """A member's bytes."""
        member = self._members.get(os.path.normpath(name))
        stream = self._tar.extractfile(member) if member is not None else None
        if stream is None:
            raise ImageError(
                f"{self.file} is incomplete: {name} is named in it and not there. "
                "Engines that keep images of several platforms save such archives when one platform was pulled; "
                "save that one: docker save --platform linux/amd64 IMAGE -o FILE"
            )
        with stream:
            yield stream

    def tree(self, image: Archived) -> dict[str, tuple[int, tarfile.TarInfo]]:
        """Absolute path → (number of the layer, member) of the image's file system as a container sees it."""
        seen: dict[str, tuple[int, tarfile.TarInfo]] = {}
        for number, name in enumerate(image.layers):
            with self.open(name) as stream, tarfile.open(fileobj=_plain(stream), mode="r|") as layer:
                for member in layer:
                    path = os.path.normpath("/" + member.name)
                    folder, _, base = path.rpartition("/")
                    if base == ".wh..wh..opq":
                        _drop(seen, folder, keep=number)
                    elif base.startswith(".wh."):
                        _drop(seen, f"{folder}/{base[4:]}")
                    else:
                        seen[path] = number, member
        return seen

    def read(self, image: Archived, paths: Mapping[str, int]) -> dict[str, bytes]:
        """The content of files, given as path → number of the layer that has it."""
        found: dict[str, bytes] = {}
        for number in sorted(set(paths.values())):
            with (
                self.open(image.layers[number]) as stream,
                tarfile.open(fileobj=_plain(stream), mode="r|") as layer,
            ):
                for member in layer:
                    path = os.path.normpath("/" + member.name)
                    if paths.get(path) == number and member.isfile():
                        file = layer.extractfile(member)
                        found[path] = file.read() if file else b""
        return found

    def _json(self, name: str) -> Any:
        with self.open(name) as stream:
            return json.load(stream)

    def _of(self, entry: Json, name: str) -> Iterator[Archived]:
        annotations = entry.get("annotations") or {}
        name = annotations.get(NAME) or name or _full_name(annotations.get(TAG, ""))
        digest = str(entry["digest"])
        if _ATTESTS in annotations:
            return
        if entry.get("mediaType") in (INDEX, _DOCKER_LIST):
            for each in json.loads(self.blob(digest))["manifests"]:
                if blob_name(each["digest"]) in self._members:  # else a platform that was never pulled
                    yield from self._of(each, name)
            return
        manifest = json.loads(self.blob(digest))
        config = json.loads(self.blob(manifest["config"]["digest"]))
        if "rootfs" not in config:
            return
        yield Archived(
            (canonical(name),) if name else (), digest, platform_of(config), config,
            tuple(blob_name(layer["digest"]) for layer in manifest["layers"]),
            sum(int(layer["size"]) for layer in manifest["layers"]), str(entry.get("mediaType", MANIFEST)),
        )  # fmt: skip

    def _docker(self, entry: Json) -> Archived:
        with self.open(entry["Config"]) as stream:
            raw = stream.read()
        config = json.loads(raw)
        sizes = (self._members.get(os.path.normpath(name)) for name in entry["Layers"])
        return Archived(
            tuple(canonical(tag) for tag in entry.get("RepoTags") or ()), sha256(raw), platform_of(config), config,
            tuple(entry["Layers"]), sum(member.size for member in sizes if member is not None),
        )  # fmt: skip


@contextmanager
def opened(file: Path) -> Iterator[Archive]:
    """An archive (compressed or not) for reading. Raises ImageError."""
    try:
        tar = tarfile.open(file)  # noqa: SIM115 - closed below
    except (OSError, tarfile.TarError) as problem:
        raise ImageError(f"{file} cannot be read as an image archive: {problem}") from None
    with tar:
        yield Archive(tar, file)


def blob_name(digest: str) -> str:
    """Where a blob lies in an OCI layout."""
    return "blobs/" + digest.replace(":", "/")


def digest_of(name: str) -> str:
    """The digest of the blob at such a place."""
    return name.removeprefix("blobs/").replace("/", ":")


def _full_name(name: str) -> str:
    """An OCI annotation's name when it is a whole one: a bare tag names no image."""
    return name if "/" in name or ":" in name else ""


def platform_of(config: Json) -> str:
    """What an image's configuration says it runs on, as "linux/amd64"."""
    variant = config.get("variant")
    return f"{config.get('os', 'linux')}/{config.get('architecture', '')}" + (
        f"/{variant}" if variant and config.get("architecture") == "arm" else ""
    )


def _compression(head: bytes) -> str:
    if head[:2] == b"\x1f\x8b":
        return "+gzip"
    if head == b"\x28\xb5\x2f\xfd":
        return "+zstd"
    return ""


def _plain(stream: IO[bytes]) -> IO[bytes]:
    """A layer's tar, decompressed. Raises ImageError for zstd, which this Python cannot read."""
    head = stream.read(4)
    stream.seek(0)
    if head[:2] == b"\x1f\x8b":
        return gzip.open(stream)  # type: ignore[return-value]
    if head == b"\x28\xb5\x2f\xfd":
        raise ImageError("a layer of the base image is compressed with zstd; save it anew with: docker save")
    return stream


def _drop(seen: dict[str, tuple[int, tarfile.TarInfo]], folder: str, *, keep: int | None = None) -> None:
    gone = [
        p for p, (layer, _) in seen.items() if (p == folder and keep is None) or p.startswith(folder + "/")
    ]
    for path in gone:
        if seen[path][0] != keep:
            del seen[path]


def _merged(images: Iterable[Archived]) -> list[Archived]:
    """One entry an image: an OCI index names it anew for each of its references."""
    found: dict[str, Archived] = {}
    for image in images:
        known = found.get(image.digest)
        names = (*known.references, *image.references) if known else image.references
        found[image.digest] = Archived(
            tuple(dict.fromkeys(names)),
            image.digest,
            image.platform,
            image.config,
            image.layers,
            image.size,
        )
    return list(found.values())
