"""The barest image there is: one static program of a few instructions that sleeps, without shell, tools or libraries.

Distroless images are like that for whoever wants to run something in their containers.
"""

from __future__ import annotations

import platform
import struct
from pathlib import Path

from labkit.cluster.images import layers, packing

REFERENCE = "labkit.test/bare:1"

# pause(), for ever. x86-64: mov eax, 34; syscall; jmp back. arm64 has no pause: ppoll(0, 0, 0, 0, 0).
_PROGRAMS = {
    "x86_64": (62, bytes.fromhex("b822000000" "0f05" "ebf7")),  # noqa: ISC001 - an instruction each
    "aarch64": (183, struct.pack("<7I", 0xD2800000, 0xD2800001, 0xD2800002, 0xD2800003, 0xD2800928, 0xD4000001, 0x17FFFFFA)),
}  # fmt: skip
_PLATFORMS = {"x86_64": "amd64", "aarch64": "arm64"}
_BASE = 0x400000


def bare_image(folder: Path) -> Path:
    """Write an archive with the image REFERENCE, for this machine's architecture."""
    tree = {"/sleep": layers.Entry(mode=0o755, data=_elf(*_PROGRAMS[platform.machine()]))}
    layer = layers.write(tree, folder / "layer.tar")
    config = {
        "architecture": _PLATFORMS[platform.machine()],
        "os": "linux",
        "config": {"Entrypoint": ["/sleep"]},
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]},
    }
    packing.write([packing.Image((REFERENCE,), config, (layer,))], folder / "bare.tar")
    return folder / "bare.tar"


def _elf(machine: int, code: bytes) -> bytes:
    """A 64-bit ELF file of one segment: https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html"""
    start = 64 + 56  # behind the file's header and that of its segment
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01", 2, machine, 1, _BASE + start, 64, 0, 0, 64, 56, 1, 0, 0, 0,
    )  # fmt: skip
    size = start + len(code)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)
    return header + segment + code
