"""Record anew what a real cluster answers: `python -m tests.parity.record --kubeconfig FILE [--context NAME] [PART ...]`.

The cluster shall be a fresh one with a single node that can run the images named in the calls (a kind cluster does).
Everything is made in namespaces of the recording's own, which are deleted at the end.
"""

from __future__ import annotations

import argparse
import datetime
import json
import tempfile
import time
from pathlib import Path

from tests.parity.asked import Asked, asked
from tests.parity.parts import RECORDED
from tests.parity.recording import keep


def origin(cluster: Asked) -> dict[str, str]:
    """Where a recording comes from."""
    _, out, _ = cluster.kubectl("version", "-o", "json")
    versions = json.loads(out)
    _, nodes = cluster.http("GET", "/api/v1/nodes")
    node = nodes["items"][0]["status"]["nodeInfo"]
    return {
        "kubernetes": versions["serverVersion"]["gitVersion"],
        "kubectl": versions["clientVersion"]["gitVersion"],
        "node": f"{node['osImage']}, {node['containerRuntimeVersion']}",
        "recorded": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def main() -> None:
    """Ask the cluster for each part and write its recording."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--context", default="")
    parser.add_argument(
        "parts", nargs="*", choices=[*RECORDED, []], metavar="PART", help=f"of {', '.join(RECORDED)}"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cluster = asked(given.kubeconfig, Path(folder), given.context)
        source = origin(cluster)
        for part in given.parts or RECORDED:
            clock = time.monotonic()
            answers = RECORDED[part](cluster)
            file = keep(part, source, answers)
            print(  # noqa: T201 - a command may speak
                f"{part}: {len(answers)} answers in {time.monotonic() - clock:.0f} s, {file.stat().st_size} bytes"
            )


if __name__ == "__main__":
    main()
