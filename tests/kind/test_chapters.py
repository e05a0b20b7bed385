"""The chapters on real Kubernetes: refused where the network enforces no policies (but for those that need none), else whole.

The longer half (every catalogued answer, the untouched notebooks, an agent that takes its time) runs with LABKIT_TEST_LONG=1.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labkit.cluster.images import offline
from labkit.cluster.providers.engine import Engine
from labkit.course import Chapter
from labkit.course.connect import connect
from labkit.traffic.canary import Outcome, prove
from tests.course.conftest import chapters
from tests.notebooks.attempts import Attempt, attempts, judged, wanted
from tests.notebooks.conftest import ROOT, Classroom, read

from .conftest import KindCluster
from .enforcer import Enforcer

CHAPTERS = {chapter.id: chapter for chapter in chapters()}
FIRST, DOOR, DASH = CHAPTERS["00-find-your-way"], CHAPTERS["01-one-door"], CHAPTERS["02-and-or"]
long = pytest.mark.skipif(
    not os.environ.get("LABKIT_TEST_LONG"),
    reason="the long version of the chapters on kind: LABKIT_TEST_LONG=1",
)


@pytest.fixture(scope="module")
def classroom(kind_cluster: KindCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Classroom]:
    """A lab home on the kind cluster, whose nodes have all images of the demos."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        offline.provide(kind_cluster.kind_name)
    yield Classroom(tmp_path_factory.mktemp("classroom"), kind_cluster.kubeconfig)
    for namespace in {name for chapter in CHAPTERS.values() for name in chapter.namespaces}:
        kind_cluster.cluster.delete("namespaces", namespace, wait=None)


@pytest.fixture(scope="module")
def enforces(kind_cluster: KindCluster) -> bool:
    """Whether the cluster's own network enforces policies: kind's does, that of the offline node image does not."""
    return prove(kind_cluster.cluster).outcome is Outcome.ENFORCED


@contextlib.contextmanager
def enforcing(cluster: KindCluster, engine: Engine, *, by_itself: bool, delay: float = 0.0) -> Iterator[None]:
    """Policies are enforced meanwhile, by the cluster's own network or else by ours."""
    if by_itself:
        yield
        return
    nodes = [node["metadata"]["name"] for node in cluster.cluster.list("nodes")]
    with Enforcer(cluster.cluster, nodes, engine=engine.name, delay=delay):
        yield


@pytest.fixture(scope="module")
def enforced(
    kind_cluster: KindCluster, engine: Engine, enforces: bool, classroom: Classroom
) -> Iterator[Classroom]:
    """The classroom on a cluster whose network enforces policies."""
    with enforcing(kind_cluster, engine, by_itself=enforces):
        yield classroom


def solved(chapter: Chapter) -> Any:
    return read(ROOT / "solutions" / chapter.id / f"{chapter.id}.ipynb")


def assert_all_pass(chapter: Chapter, done: Any) -> None:
    for step in chapter.steps:
        last = done[step.id]["last"]
        assert last["status"] == "pass", json.dumps(last, indent=1)[:3000]


def shown(notebook: Any) -> str:
    return "\n".join(
        out.get("text", "") + out.get("data", {}).get("text/plain", "")
        for cell in notebook.cells
        for out in cell.get("outputs", ())
    )


def test_a_notebook_finds_the_kind_cluster_that_labkit_made(
    kind_cluster: KindCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.environ.get("LABKIT_TEST_KIND"):
        pytest.skip("LABKIT_TEST_KIND names a cluster that labkit did not make")
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("LABKIT_HOME", str(kind_cluster.home))
    monkeypatch.setenv("LABKIT_CLUSTER", kind_cluster.name)
    assert connect().client.context.name == kind_cluster.context


# -- where the network enforces nothing


def test_the_chapter_before_policies_is_done_on_any_network(classroom: Classroom) -> None:
    assert_all_pass(FIRST, classroom.execute(solved(FIRST), "solved-00"))


@pytest.fixture
def unenforced(enforces: bool, classroom: Classroom) -> Classroom:
    if enforces:
        pytest.skip("this cluster's own network enforces policies, so there is nothing to refuse")
    return classroom


def test_policy_steps_are_refused_where_nothing_is_enforced_and_the_rest_goes_on(
    unenforced: Classroom,
) -> None:
    notebook = solved(DOOR)
    second = next(i for i, cell in enumerate(notebook.cells) if 'lab.check("what-broke")' in cell.source)
    notebook.cells = notebook.cells[: second + 1]
    done = unenforced.execute(notebook, "refused-01")
    last = done["close-blog"]["last"]
    assert (last["status"], last["reason"], last["score"]) == ("cannot_check", "not-enforced", 0)
    assert done["close-blog"]["attempts"] == 0
    assert done["what-broke"]["last"]["status"] == "pass"  # judged by what the policies say
    text = shown(notebook)
    for said in (
        "Policies cannot be checked on this cluster",
        "offline-cni",
        "That is not your fault",
        "labkit lab 01-one-door",
        "--provider kind",
        "labkit install calico",
        "By the policies alone, this is as it should be.",
    ):
        assert said in text, said


# -- where it does


@pytest.mark.parametrize("chapter", [DOOR, DASH], ids=lambda chapter: chapter.id)
def test_the_solved_notebook_passes_every_step(chapter: Chapter, enforced: Classroom) -> None:
    assert_all_pass(chapter, enforced.execute(solved(chapter), f"solved-{chapter.id}"))


def every_attempt(chapter: Chapter, cluster: KindCluster) -> list[Attempt]:
    servers = cluster.cluster.list("pods", "kube-system", label_selector="k8s-app=kube-dns")
    addresses = [ip["ip"] for pod in servers for ip in pod["status"]["podIPs"]]
    return [one for step in chapter.steps for one in attempts(chapter, step, addresses)]


# One of each kind: the wrong namespace, a direction, a selector, a port, tomorrow's pods, names, addresses, a dash.
SAMPLE = {
    DOOR.id: {
        "in-the-street",
        "also-no-way-out",
        "only-wordpress",
        "labels-from-anywhere",
        "not-from-outside",
        "udp-only",
        "by-address",
    },
    DASH.id: {"still-the-dash", "by-name", "every-port", "own-namespace-only"},
}


@pytest.mark.parametrize("chapter", [DOOR, DASH], ids=lambda chapter: chapter.id)
def test_wrong_answers_fail_with_their_own_hints(
    chapter: Chapter, enforced: Classroom, kind_cluster: KindCluster
) -> None:
    first = {one.label: one for one in reversed(every_attempt(chapter, kind_cluster))}
    asked = [one for label, one in first.items() if label in SAMPLE[chapter.id]]
    assert len(asked) == len(SAMPLE[chapter.id])
    assert judged(chapter, asked, enforced, f"sample-{chapter.id}") == wanted(asked)


# -- the long version


@long
@pytest.mark.parametrize("chapter", CHAPTERS.values(), ids=CHAPTERS)
def test_every_other_answer_is_judged_on_the_cluster(
    chapter: Chapter, enforced: Classroom, kind_cluster: KindCluster
) -> None:
    asked = every_attempt(chapter, kind_cluster)
    assert judged(chapter, asked, enforced, f"others-{chapter.id}") == wanted(asked)


@long
@pytest.mark.parametrize("chapter", CHAPTERS.values(), ids=CHAPTERS)
def test_the_untouched_notebook_runs_and_passes_no_step(chapter: Chapter, enforced: Classroom) -> None:
    notebook = read(ROOT / "notebooks" / chapter.id / f"{chapter.id}.ipynb")
    done = enforced.execute(notebook, f"untouched-{chapter.id}")
    for step in chapter.steps:
        assert done[step.id]["last"]["status"] in ("fail", "not_attempted"), step.id
        assert not done[step.id]["passed_on"]


@long
@pytest.mark.parametrize("chapter", [DOOR, DASH], ids=lambda chapter: chapter.id)
def test_an_agent_that_takes_its_time_makes_no_right_answer_wrong(
    chapter: Chapter,
    kind_cluster: KindCluster,
    engine: Engine,
    enforces: bool,
    classroom: Classroom,
) -> None:
    with enforcing(kind_cluster, engine, by_itself=enforces, delay=1.5):
        assert_all_pass(chapter, classroom.execute(solved(chapter), f"late-{chapter.id}"))


@long
def test_the_chapters_are_done_on_three_nodes(another_cluster: Any, engine: Engine, tmp_path: Path) -> None:
    nodes: KindCluster = another_cluster(config="three-nodes")
    offline.provide(nodes.kind_name)
    room = Classroom(tmp_path / "classroom", nodes.kubeconfig)
    by_itself = prove(nodes.cluster).outcome is Outcome.ENFORCED
    with enforcing(nodes, engine, by_itself=by_itself):
        for chapter in CHAPTERS.values():
            assert_all_pass(chapter, room.execute(solved(chapter), f"three-{chapter.id}"))
