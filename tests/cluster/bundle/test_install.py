"""The script in a box that sets up a laptop which has nothing of the lab: Python and the box are all it needs."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from labkit.cluster.bundle import install
from labkit.cluster.places import clusters_folder

PIP = next((clusters_folder().parent / "scripts" / "vendor").glob("pip-*.whl"))
# Stands for labkit: a command that says how it was called.
COMMAND = "import sys\ndef main():\n    print('labkit', *sys.argv[1:])\n"


def wheel(name: str, module: str, content: str, entry: str = "") -> bytes:
    file = io.BytesIO()
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{module}.py", content)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/entry_points.txt", f"[console_scripts]\n{entry}\n" if entry else "")
        archive.writestr(f"{info}/RECORD", "")
    return file.getvalue()


@pytest.fixture
def box(tmp_path: Path) -> Path:
    one = wheel("one", "one", "")
    files = {
        "install.py": Path(install.__file__).read_bytes(),
        "wheels/requirements.txt": f"one==1.0 --hash=sha256:{hashlib.sha256(one).hexdigest()}\n".encode(),
        "wheels/one-1.0-py3-none-any.whl": one,
        "wheels/labkit-1.0-py3-none-any.whl": wheel("labkit", "fake", COMMAND, "labkit = fake:main"),
        f"wheels/{PIP.name}": PIP.read_bytes(),
    }
    parts = [{"path": path, "sha256": hashlib.sha256(content).hexdigest()} for path, content in files.items()]
    path = tmp_path / "box.tar"
    with tarfile.open(path, "w") as tar:
        for name, content in {"manifest.json": json.dumps({"parts": parts}).encode(), **files}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def run(box: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """As on the laptop: the script out of the box, another Python than that of these tests, and no way to any index."""
    subprocess.run(["tar", "xf", box, "install.py"], cwd=box.parent, check=True)
    python = Path(sys.base_prefix) / "bin" / "python3"  # no virtual environment: it has nothing installed
    environment = {
        "PATH": "/usr/bin:/bin",
        "PIP_INDEX_URL": "http://nowhere.invalid/simple",
        "HOME": str(box.parent),
    }
    return subprocess.run(
        [python, box.parent / "install.py", box, folder],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


def test_a_bare_python_and_the_box_are_enough(box: Path, tmp_path: Path) -> None:
    done = run(box, tmp_path / "lab")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"labkit bundle load {box} --lab {tmp_path / 'lab'}" in done.stdout
    assert f"Ready:  cd {tmp_path / 'lab'} && .venv/bin/labkit lab" in done.stdout
    python = tmp_path / "lab" / ".venv" / "bin" / "python"
    assert subprocess.run([python, "-c", "import one, fake"], check=False).returncode == 0
    assert not (tmp_path / "lab" / ".wheels").exists()
    (tmp_path / "lab" / "notebooks").mkdir()
    again = run(box, tmp_path / "lab")
    assert again.returncode == 0, again.stderr
    assert "--lab" not in again.stdout


def test_a_damaged_package_is_named_and_nothing_is_installed(box: Path, tmp_path: Path) -> None:
    content = box.read_bytes()
    box.write_bytes(content.replace(b"one-1.0.dist-info/WHEEL", b"one-1.0.dist-info/WHEAL"))
    done = run(box, tmp_path / "lab")
    assert done.returncode == 1
    assert "wheels/one-1.0-py3-none-any.whl is damaged" in done.stdout
    assert not (tmp_path / "lab" / ".venv").exists()


def test_without_arguments_it_says_how_it_is_used() -> None:
    done = subprocess.run([sys.executable, install.__file__], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "python3 install.py box.tar FOLDER" in done.stdout
