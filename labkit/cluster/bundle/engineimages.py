"""Images out of the container engine: pulled by digest, saved, and taken apart into a configuration and compressed layers."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from labkit.cluster.errors import ClusterError
from labkit.cluster.images.archives import Archive, Archived, opened
from labkit.cluster.images.layers import TAR
from labkit.cluster.images.reference import Reference, canonical
from labkit.cluster.providers.engine import Engine

from .errors import BoxError

Tell = Callable[[str], None]
_PULL_SECONDS = 3600.0
_SAVE_SECONDS = 1800.0
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class LayerFile:
    """A layer as a file: compressed, named after the digest of the tar within."""

    path: Path
    diff_id: str
    media_type: str


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """An image taken apart. `digest`: what it was pulled by, or the registry's as the engine knows it; "" when neither."""

    references: tuple[str, ...]
    digest: str
    origin: str
    config: bytes
    layers: tuple[LayerFile, ...]


def obtain(
    engine: Engine, reference: str, digest: str, platform: str, layers: Path, *, local: bool, tell: Tell
) -> ImageFiles:
    """An image for a platform ("linux/amd64"): by its digest where there is one, from the registry unless the engine has it.

    layers: folder for layer files; those that are there from before are used again. local: also take what the engine has under
    the tag, of whatever digest, without asking a registry. Raises BoxError with the engine's own words.
    """
    wanted = canonical(f"{reference}@{digest}" if digest else reference)
    origin = "registry"
    if local and (known := _here(engine, reference, platform)):
        wanted, origin = known, "engine"
    elif not (digest and _here(engine, _without_tag(wanted), platform)):
        tell(f"pulling {reference}")
        _pull(engine, wanted, platform, reference)
    name = wanted if origin == "engine" else _without_tag(wanted) if digest else wanted
    told = digest if origin == "registry" else ""
    told = told or _registry_digest(engine, name, reference)
    tell(f"saving {reference}")
    with tempfile.TemporaryDirectory(dir=layers) as work:
        archive = Path(work) / "image.tar"
        _save(engine, name, platform, archive)
        config, files = take_apart(archive, platform, layers)
    return ImageFiles((canonical(reference),), told, origin, config, files)


def take_apart(archive: Path, platform: str, layers: Path) -> tuple[bytes, tuple[LayerFile, ...]]:
    """The configuration and the compressed layers of an archive's image for one platform, whatever else is in the archive.

    Raises ImageError when there is none for that platform, BoxError when a layer is not what the configuration says.
    """
    with opened(archive) as saved:
        image = saved.chosen("", platform)
        numbers = range(len(image.layers))
        return packed(image.config), tuple(_layer(saved, image, number, layers) for number in numbers)


def _here(engine: Engine, name: str, platform: str) -> str:
    """The id by which the engine has an image of that platform; "" when it has not."""
    done = engine.run("image", "inspect", name, check=False)
    if done.returncode:
        return ""
    for one in json.loads(done.stdout):
        if f"{one.get('Os', 'linux')}/{one.get('Architecture', '')}" == platform:
            return str(one["Id"])
    return ""


def _pull(engine: Engine, wanted: str, platform: str, reference: str) -> None:
    # Docker takes a name with a tag and a digest, and forgets the tag; podman wants one of them.
    name = _without_tag(wanted)
    try:
        engine.run("pull", "--platform", platform, name, seconds=_PULL_SECONDS)
    except ClusterError as problem:
        raise BoxError(
            f"{reference} cannot be pulled: {problem}\n"
            "An image that this machine's engine has already, such as a stand-in, is taken with: --local"
        ) from None


def _registry_digest(engine: Engine, name: str, reference: str) -> str:
    """What the registry called it, where the engine remembers."""
    done = engine.run("image", "inspect", "--format", "{{json .RepoDigests}}", name, check=False)
    for known in json.loads(done.stdout or "null") or [] if done.returncode == 0 else []:
        repository, _, digest = str(known).partition("@")
        if Reference.parse(repository).name == Reference.parse(reference).name:
            return digest
    return ""


def _save(engine: Engine, name: str, platform: str, file: Path) -> None:
    """`save` in the form that has this platform alone; engines older than 2025 know no --platform, and need none."""
    for extra in (["--platform", platform], []):
        done = engine.run("save", *extra, "-o", str(file), name, check=False, seconds=_SAVE_SECONDS)
        if done.returncode == 0:
            return
        if not any(words in done.stderr for words in ("unknown flag", "API version", "not supported")):
            break
    raise BoxError(f"{engine.name} cannot save {name}: {done.stderr.strip() or done.returncode}")


def packed(config: dict[str, Any]) -> bytes:
    """A configuration as `images.archives` writes it; the digest of these bytes is the image's identity in an engine."""
    return json.dumps(config, sort_keys=True, separators=(",", ":")).encode()


def _layer(archive: Archive, image: Archived, number: int, folder: Path) -> LayerFile:
    """Copy a layer out, compressed; checked against the image's own configuration."""
    diff_id = str(image.config["rootfs"]["diff_ids"][number])
    target = folder / f"{diff_id.partition(':')[2]}.tar.gz"
    if target.exists():
        return LayerFile(target, diff_id, TAR + "+gzip")
    with archive.open(image.layers[number]) as source:
        head = source.read(4)
        source.seek(0)
        if head == b"\x28\xb5\x2f\xfd":
            raise BoxError(
                f"a layer of {' '.join(image.references) or image.digest} is compressed with zstd, which labkit does not read"
            )
        plain = cast("IO[bytes]", gzip.GzipFile(fileobj=source)) if head[:2] == b"\x1f\x8b" else source
        with tempfile.NamedTemporaryFile(dir=folder, prefix=f".{target.name}-", delete=False) as raw:
            new = Path(raw.name)
            try:
                got = _compress(plain, raw)
                if got != diff_id:
                    raise BoxError(
                        f"the engine gave a layer that is {got} and should be {diff_id}; pull the image anew"
                    )
                raw.close()
                new.replace(target)
            finally:
                new.unlink(missing_ok=True)
    return LayerFile(target, diff_id, TAR + "+gzip")


def _compress(source: IO[bytes], target: IO[bytes]) -> str:
    """Compress, always to the same bytes for the same layer; the digest of what went in."""
    digest = hashlib.sha256()
    # Level 1: a third of the time of the usual level, for a tenth more bytes.
    with gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=target, mtime=0) as packed:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            packed.write(chunk)
    return f"sha256:{digest.hexdigest()}"


def _without_tag(name: str) -> str:
    """name:tag@digest → name@digest; a name without digest as it is."""
    reference = Reference.parse(name)
    return f"{reference.name}@{reference.digest}" if reference.digest else name


def load(engine: Engine, archive: Path) -> None:
    """Put an archive's images into the engine. Raises BoxError with its own words."""
    # Through standard input: an engine that was installed as a snap may not read the cache folder.
    with archive.open("rb") as file:
        done = subprocess.run(
            engine.command("load"), stdin=file, capture_output=True, text=True, errors="replace",
            env=engine.environment, check=False,
        )  # fmt: skip
    if done.returncode:
        raise BoxError(f"{engine.name} load: {done.stderr.strip() or done.returncode}")


def has(engine: Engine, reference: str, identity: str) -> bool:
    """Whether the engine has exactly that image under that name; `identity` is the digest of its configuration."""
    done = engine.run("image", "inspect", "--format", "{{.Id}}", reference, check=False)
    return done.returncode == 0 and identity.partition(":")[2] in done.stdout
