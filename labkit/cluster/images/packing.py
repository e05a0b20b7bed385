"""Writing an image archive that every engine and kind can load: an OCI image layout that also has Docker's manifest.json.

(`kind load` hands an archive to containerd, which prefers the OCI index; `docker load` before release 25 knows only
manifest.json.) Each blob is in it once, and the same images give the same bytes.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .archives import CONFIG, INDEX, MANIFEST, NAME, TAG, Json, blob_name, platform_of
from .layers import Layer, sha256
from .reference import Reference, canonical


@dataclass(frozen=True, slots=True)
class Image:
    """An image to write: its names, its configuration, and its layers from the bottom up."""

    references: tuple[str, ...]
    config: Json = field(hash=False)
    layers: tuple[Layer, ...]


def write(images: Sequence[Image], file: Path) -> dict[str, str]:
    """Write an archive, whole or not at all; gives reference (in full) → digest of its manifest."""
    blobs: dict[str, bytes | Path] = {}
    index: list[Json] = []
    docker: list[Json] = []
    digests: dict[str, str] = {}
    for image in images:
        config = _dump(image.config)
        manifest = _dump(
            {
                "schemaVersion": 2, "mediaType": MANIFEST,
                "config": {"mediaType": CONFIG, "digest": sha256(config), "size": len(config)},
                "layers": [{"mediaType": x.media_type, "digest": x.digest, "size": x.size} for x in image.layers],
            }
        )  # fmt: skip
        blobs |= {sha256(config): config, sha256(manifest): manifest}
        blobs |= {layer.digest: layer.file for layer in image.layers}
        names = sorted(canonical(name) for name in image.references)
        for name in names:
            digests[name] = sha256(manifest)
            index.append(descriptor(name, sha256(manifest), len(manifest), platform_of(image.config)))
        layers = [blob_name(layer.digest) for layer in image.layers]
        docker.append({"Config": blob_name(sha256(config)), "RepoTags": names, "Layers": layers})
    files: dict[str, bytes | Path] = {
        "index.json": _dump({"schemaVersion": 2, "mediaType": INDEX, "manifests": index}),
        "manifest.json": _dump(docker),
        "oci-layout": _dump({"imageLayoutVersion": "1.0.0"}),
        **{blob_name(digest): blob for digest, blob in blobs.items()},
    }
    part = file.with_name(f"{file.name}.part")
    try:
        with tarfile.open(part, "w", format=tarfile.PAX_FORMAT) as tar:
            for name in sorted(files):
                put(tar, name, files[name])
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    return digests


def put(tar: tarfile.TarFile, name: str, content: bytes | Path) -> None:
    """Add a file to a tar, without a time or an owner."""
    info = tarfile.TarInfo(name)
    if isinstance(content, bytes):
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    else:
        info.size = content.stat().st_size
        with content.open("rb") as file:
            tar.addfile(info, file)


def descriptor(name: str, digest: str, size: int, platform: str, media_type: str = MANIFEST) -> Json:
    """An entry of the index: one reference to an image."""
    system, architecture, *variant = platform.split("/")
    where = {"architecture": architecture, "os": system, **({"variant": variant[0]} if variant else {})}
    annotations = {NAME: name, TAG: Reference.parse(name).tag}
    return {
        "mediaType": media_type,
        "digest": digest,
        "size": size,
        "platform": where,
        "annotations": annotations,
    }


def _dump(what: object) -> bytes:
    return json.dumps(what, sort_keys=True, separators=(",", ":")).encode()
