"""Generate notebooks from each chapter's `lesson.py` (jupytext py:percent), the one source.

A cell tagged "solution" is left out of the learner's notebook; a cell tagged "starter" is left out of the solved one. From one
source come notebooks/CHAPTER/CHAPTER.ipynb, solutions/CHAPTER/CHAPTER.ipynb, and each step's answer as
solutions/CHAPTER/STEP.yaml
(a manifest) or STEP.py (a prediction or a reply). `--check` writes nothing and fails where a generated file is not current.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import jupytext
import nbformat
from nbformat.notebooknode import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def read(source: Path) -> NotebookNode:
    """The lesson as a notebook. In a cell that begins with a cell magic every line is a comment in lesson.py; here it is not."""
    lesson = jupytext.read(source, fmt="py:percent")
    for cell in lesson.cells:
        if cell.cell_type == "code" and cell.source.startswith("%%"):
            cell.source = re.sub(r"^# ?", "", cell.source, flags=re.MULTILINE)
    return lesson


def variant(lesson: NotebookNode, chapter: str, leave_out: str) -> str:
    """One notebook of the lesson without the cells of one tag, with stable cell ids, as the text of an .ipynb file."""
    cells = []
    for index, cell in enumerate(lesson.cells):
        if leave_out in cell.metadata.get("tags", ()):
            continue
        make = nbformat.v4.new_code_cell if cell.cell_type == "code" else nbformat.v4.new_markdown_cell
        cells.append(make(cell.source, id=f"{chapter}-{index:02}"))
    notebook = nbformat.v4.new_notebook(
        cells=cells, metadata={"kernelspec": KERNEL, "language_info": {"name": "python"}}
    )
    nbformat.validate(notebook)
    return str(nbformat.writes(notebook, indent=1)) + "\n"


def answers(lesson: NotebookNode) -> Iterator[tuple[str, str]]:
    """Each step's solution as (file name, content)."""
    for cell in lesson.cells:
        if "solution" not in cell.metadata.get("tags", ()) or "step" not in cell.metadata:
            continue
        magic, _, manifest = cell.source.partition("\n")
        if magic.startswith("%%apply"):
            yield f"{cell.metadata['step']}.yaml", manifest.rstrip() + "\n"
        else:
            yield f"{cell.metadata['step']}.py", cell.source.rstrip() + "\n"


def generated() -> dict[Path, str]:
    """Every generated file and what it must hold."""
    files: dict[Path, str] = {}
    for source in sorted(ROOT.glob("notebooks/*/lesson.py")):
        chapter = source.parent.name
        lesson = read(source)
        files[source.parent / f"{chapter}.ipynb"] = variant(lesson, chapter, "solution")
        solved = ROOT / "solutions" / chapter
        files[solved / f"{chapter}.ipynb"] = variant(lesson, chapter, "starter")
        for name, content in answers(lesson):
            files[solved / name] = content
    return files


def main() -> None:
    """Write what is not current, or with --check say so and fail."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 where a generated file is not current"
    )
    check = parser.parse_args().check
    wanted = generated()
    existing = {path for path in ROOT.glob("solutions/*/*") if re.search(r"\.(ipynb|yaml|py)$", path.name)}
    stale = [
        path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    orphans = sorted(existing - set(wanted))
    if check:
        for path in [*stale, *orphans]:
            print(
                f"{path.relative_to(ROOT)}: not what lesson.py generates; run `make notebooks`",
                file=sys.stderr,
            )
        sys.exit(1 if stale or orphans else 0)
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[path], encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
    for path in orphans:
        path.unlink()
        print(f"removed {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
