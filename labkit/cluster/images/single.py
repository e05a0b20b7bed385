"""An archive of one platform out of one of several: the form in which `kind load image-archive` works.

`docker save` of an engine that keeps images as registries do writes indexes of several platforms, of which only one was pulled,
and attestations beside them; containerd then refuses the whole ("content digest ... not found", kind's issue 3795).
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

from .archives import INDEX, Archive, blob_name, digest_of
from .errors import ImageError
from .packing import descriptor, put


def fitting(archive: Archive, platform: str, file: Path) -> Path:
    """The archive itself where it is of that form already, else what of it is for `platform`, written to `file`.

    The images keep their digests. Raises ImageError when nothing in it is for that platform.
    """
    images = [image for image in archive.images() if image.platform == platform]
    if not images:
        there = ", ".join(sorted({image.platform for image in archive.images()})) or "nothing"
        raise ImageError(f"{archive.file} has no image for {platform}, only {there}.")
    if archive.plain and len(images) == len(archive.images()):
        return archive.file
    index, docker, blobs = [], [], set()
    for image in images:
        manifest = archive.blob(image.digest)
        config = json.loads(manifest)["config"]["digest"]
        blobs |= {digest_of(name) for name in image.layers} | {image.digest, config}
        index += [
            descriptor(name, image.digest, len(manifest), image.platform, image.media_type)
            for name in image.references
        ]
        names = list(image.references)
        docker.append({"Config": blob_name(config), "RepoTags": names, "Layers": list(image.layers)})
    texts = {
        "index.json": {"schemaVersion": 2, "mediaType": INDEX, "manifests": index},
        "manifest.json": docker,
        "oci-layout": {"imageLayoutVersion": "1.0.0"},
    }
    with tarfile.open(file, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, text in texts.items():
            put(tar, name, json.dumps(text).encode())
        for digest in sorted(blobs):
            info = tarfile.TarInfo(blob_name(digest))
            info.size = archive.size(info.name)
            with archive.open(info.name) as stream:
                tar.addfile(info, stream)
    return file
