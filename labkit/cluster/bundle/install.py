"""Set the lab up on a laptop without internet, out of a box. It is in every box that has Python packages, and needs only Python:

    tar xf box.tar install.py
    python3 install.py box.tar FOLDER

FOLDER gets an environment (.venv), the notebooks and the tables; tools and images go into labkit's cache. Run it again after an
interruption.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

_WHEELS = "wheels/"


def main(arguments: list[str]) -> int:
    """Unpack the wheels, make the environment, and let labkit load the rest; the exit code."""
    if len(arguments) != 2 or sys.version_info < (3, 11):
        _say(
            str(__doc__)
            if len(arguments) != 2
            else f"The lab needs Python 3.11 or later; this is {sys.version}."
        )
        return 2
    box, folder = Path(arguments[0]).absolute(), Path(arguments[1]).absolute()
    environment, wheels = folder / ".venv", folder / ".wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    _say(f"Unpacking the Python packages into {wheels}")
    if wrong := unpack(box, wheels):
        _say(f"{box}: {wrong} is damaged; the box was not copied whole. Copy it again.")
        return 1
    pip = next(iter(sorted(wheels.glob("pip-*.whl"))), None)
    if pip is None:
        _say(f"{box} has no Python packages: it was made with --without-wheels.")
        return 1
    python = environment / "bin" / "python"
    if not python.exists():
        venv.create(environment, with_pip=False, symlinks=True)
    _say(f"Installing them into {environment}")
    find = ["install", "--quiet", "--disable-pip-version-check", "--no-index", "--find-links", str(wheels)]
    requirements = ["--require-hashes", "--no-deps", "--requirement", str(wheels / "requirements.txt")]
    for what in (requirements, ["--no-deps", "labkit"]):
        code = subprocess.run([python, str(pip / "pip"), *find, *what], check=False).returncode
        if code:
            _say("pip's own message is above. Is this Python the one that the box was made for?")
            return code
    lab = [] if (folder / "notebooks").exists() else ["--lab", str(folder)]
    code = subprocess.run(
        [environment / "bin" / "labkit", "bundle", "load", str(box), *lab], check=False
    ).returncode
    if code == 0:
        shutil.rmtree(wheels)  # labkit's cache has them now
        _say(f"Ready:  cd {folder} && .venv/bin/labkit lab")
    return code


def unpack(box: Path, wheels: Path) -> str:
    """The packages of a box into a folder, each checked; the name of the first that is damaged, "" when all are good."""
    with tarfile.open(box) as tar:
        listing = tar.extractfile("manifest.json")
        parts = json.load(listing)["parts"] if listing else []
        for part in parts:
            path = str(part["path"])
            name = path.removeprefix(_WHEELS)
            if name == path or "/" in name:
                continue
            try:
                member = tar.extractfile(path)
                content = member.read() if member else b""
            except (KeyError, tarfile.TarError, OSError):
                return path
            if hashlib.sha256(content).hexdigest() != part["sha256"]:
                return path
            (wheels / name).write_bytes(content)
    return ""


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
