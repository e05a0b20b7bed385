"""Build the lab's environment in a folder: a venv, the locked packages, labkit itself. Needs Python 3.11 or later, no root.

Debian and Ubuntu ship a python3 that has neither pip nor ensurepip unless root installs python3-venv. So pip comes with this
repository (scripts/vendor, MIT licence): the same way on every machine.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
PIP_WHEEL = next((ROOT / "scripts" / "vendor").glob("pip-*.whl"))
MINIMUM = (3, 11)


def fingerprint() -> str:
    """What the environment is built from: the lock file, the project's metadata, the interpreter and the folder."""
    parts = [
        LOCK.read_bytes(),
        (ROOT / "pyproject.toml").read_bytes(),
        sys.version.encode(),
        str(ROOT).encode(),
    ]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def pip(python: Path, *arguments: str) -> None:
    """Run pip for the venv's python; ends the program with pip's own words when it fails."""
    command = [python, PIP_WHEEL / "pip", "--disable-pip-version-check", *arguments]
    if subprocess.run([str(part) for part in command], check=False, cwd=ROOT).returncode:
        sys.exit(
            "\nThe environment could not be built; pip's own message is above."
            "\nIf it speaks of a connection, check that this machine reaches a Python package registry (or set PIP_INDEX_URL),"
            "\nthen run the same command again: what was installed so far is kept."
        )


def main() -> None:
    """Build or renew the environment; does nothing when it is up to date."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where the environment goes, for example .venv")
    folder: Path = parser.parse_args().folder.absolute()
    if sys.version_info < MINIMUM:
        sys.exit(
            f"The lab needs Python 3.11 or later; {sys.executable} is {sys.version.split()[0]}."
            "\nIf another one is installed, name it: make PYTHON=python3.12 lab"
        )
    stamp = folder / ".built-from"
    if stamp.exists() and stamp.read_text() == fingerprint():
        return
    print(f"Building the environment in {folder} (about a minute or two) ...", flush=True)
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=False, symlinks=True)
    pip(python, "install", "--quiet", "--require-hashes", "--requirement", str(LOCK))
    pip(python, "install", "--quiet", "--no-deps", "--editable", str(ROOT))
    stamp.write_text(fingerprint())


if __name__ == "__main__":
    main()
