"""Where the lab's tables and manifests are, and where downloads are kept."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import ClusterError


def clusters_folder() -> Path:
    """The folder `clusters`: $LABKIT_CLUSTERS, else that of $LABKIT_ROOT, else the nearest at or above here, else the checkout's.

    Raises ClusterError.
    """
    if given := os.environ.get("LABKIT_CLUSTERS"):
        return _checked(Path(given).expanduser(), "LABKIT_CLUSTERS")
    if root := os.environ.get("LABKIT_ROOT"):
        return _checked(Path(root).expanduser() / "clusters", "LABKIT_ROOT")
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[2]):
        if _is_it(folder / "clusters"):
            return folder / "clusters"
    raise ClusterError(
        f"No folder `clusters` with components.toml at or above {here}."
        " Work in the lab's folder, or set LABKIT_CLUSTERS."
    )


def cache_folder() -> Path:
    """Where downloaded tools, manifests and a loaded box are kept: $LABKIT_CACHE, or the user's cache directory. Not created."""
    if given := os.environ.get("LABKIT_CACHE"):
        return Path(given).expanduser().absolute()
    import platformdirs  # only here: most of what imports this module never asks

    return Path(platformdirs.user_cache_dir("labkit"))


def _is_it(folder: Path) -> bool:
    return (folder / "components.toml").is_file()


def _checked(folder: Path, variable: str) -> Path:
    if not _is_it(folder):
        raise ClusterError(f"{variable} leads to {folder}, where there is no components.toml.")
    return folder.absolute()
