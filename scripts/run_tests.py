"""Run the tests: groups side by side, each with its own log, and one summary at the end.

`python scripts/run_tests.py [GROUP ...]`: lint, unit, cluster, notebooks, browser, kind; `all` (the default) is all of them;
`quick` is the part of unit that the inner loop runs. Groups that need what this machine lacks (user namespaces, a browser,
a container engine) skip, and the summary says loudly what and why.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
# Cheap and quick to fail first; what waits on the network beside what computes.
LANES = (("lint", "unit", "notebooks"), ("cluster", "browser"), ("kind",))
GROUPS = [group for lane in LANES for group in lane]
QUICK = "quick"  # part of unit: the engine, the course and the controllers, on both cores
LINT = {
    "ruff": [BIN / "ruff", "check", "--quiet", "."],
    "format": [BIN / "ruff", "format", "--check", "--quiet", "."],
    "types": [BIN / "mypy"],
    "imports": [BIN / "lint-imports"],
    "notebooks": [sys.executable, "scripts/build_notebooks.py", "--check"],
}
PLAIN = "not cluster and not notebooks and not browser and not kind"
# What each group runs: pytest's mark expression, and the folders to collect from (collecting all of them takes its time).
TESTS = {
    "quick": (
        PLAIN,
        [
            "-n",
            "2",
            "tests/policy",
            "tests/conformance",
            "tests/course",
            "tests/widgets",
            "tests/pocket/controllers",
        ],
    ),
    "unit": (PLAIN, ["tests"]),
    "cluster": (
        "cluster",
        [
            "tests/pocket",
            "tests/parity",
            "tests/cluster",
            "tests/traffic",
            "tests/course",
            "tests/test_cli.py",
        ],
    ),
    "notebooks": ("notebooks", ["tests/notebooks"]),
    "browser": ("browser", ["tests/browser"]),
    "kind": ("kind", ["tests/kind"]),
}


@dataclass
class Outcome:
    """What a group gave: counts of tests by outcome, why some were skipped, and its whole output."""

    group: str
    ok: bool = True
    counts: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    output: str = ""
    seconds: float = 0


def run(command: list[object]) -> subprocess.CompletedProcess[str]:
    """Run a command in the repository with the environment's tools first on PATH; its output is kept, errors with it."""
    environment = os.environ | {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def lint() -> Outcome:
    """Lint, types, the import rule, and whether generated files are current."""
    outcome = Outcome("lint")
    for name, command in LINT.items():
        done = run(command)
        outcome.counts["passed" if done.returncode == 0 else "failed"] += 1
        if done.returncode:
            outcome.ok = False
            outcome.output += f"-- {name}: {' '.join(map(str, command))}\n{done.stdout}\n"
    return outcome


def tests(group: str) -> Callable[[], Outcome]:
    """The pytest run of one group."""

    def run_group() -> Outcome:
        outcome = Outcome(group)
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.xml"
            marks, folders = TESTS[group]
            command = [sys.executable, "-m", "pytest", "-q", "-m", marks, f"--junit-xml={report}", *folders]
            done = run([*command, "-p", "no:cacheprovider"])
            outcome.output = done.stdout
            # 5: no test has this mark, which is no failure of a group.
            outcome.ok = done.returncode in (0, 5)
            if report.exists():
                for case in ET.parse(report).getroot().iter("testcase"):
                    tags = {child.tag: child for child in case}
                    result = (
                        "failed"
                        if tags.keys() & {"failure", "error"}
                        else "skipped"
                        if "skipped" in tags
                        else "passed"
                    )
                    outcome.counts[result] += 1
                    if result == "skipped":
                        outcome.skipped[tags["skipped"].get("message") or "no reason given"] += 1
        return outcome

    return run_group


def main() -> None:
    """Run the groups asked for and exit 1 when any of them failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "groups", nargs="*", choices=[*GROUPS, QUICK, "all"], default=["all"], metavar="GROUP"
    )
    wanted = parser.parse_args().groups
    wanted = GROUPS if "all" in wanted else wanted
    outcomes: list[Outcome] = []
    printing = threading.Lock()

    def work(lane: tuple[str, ...]) -> None:
        for group in lane:
            if group not in wanted:
                continue
            clock = time.monotonic()
            outcome = lint() if group == "lint" else tests(group)()
            outcome.seconds = time.monotonic() - clock
            with printing:
                outcomes.append(outcome)
                print(
                    f"===== {group}: {'ok' if outcome.ok else 'FAILED'} in {outcome.seconds:.0f} s\n{outcome.output}",
                    flush=True,
                )

    lanes = [threading.Thread(target=work, args=(lane,)) for lane in (*LANES, (QUICK,))]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()
    summary(outcomes)
    sys.exit(0 if all(outcome.ok for outcome in outcomes) else 1)


def summary(outcomes: list[Outcome]) -> None:
    """Print what each group gave, what was skipped and why, and the closing line."""
    total: Counter[str] = Counter()
    print("===== summary")
    for outcome in outcomes:
        total += outcome.counts
        counts = (
            ", ".join(f"{number} {word}" for word, number in sorted(outcome.counts.items())) or "no tests"
        )
        print(f"{'ok    ' if outcome.ok else 'FAILED'} {outcome.group:10} {counts} ({outcome.seconds:.0f} s)")
    for outcome in outcomes:
        for reason, number in outcome.skipped.items():
            print(f"SKIPPED in {outcome.group}: {number} x {reason}")
    print(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")


if __name__ == "__main__":
    main()
