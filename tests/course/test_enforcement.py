"""Where nothing is enforced, policy steps are refused and nobody is judged; what was proved is remembered until it is doubted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from labkit.cluster.paper import PaperCluster
from labkit.course import Status, StepResult, load_chapter
from labkit.course.checking import check_step
from labkit.course.enforcement import Enforcement, Finding
from labkit.course.progress import Progress
from labkit.course.unenforced import refusal, told, whole_message
from labkit.policy import Flow, Verdict, decide
from labkit.traffic import canary, networks
from labkit.traffic.canary import Outcome, Proof
from labkit.traffic.networks import Network
from tests.course.conftest import ROOT, chapters
from tests.course.test_judging_on_a_cluster import Seen

CHAPTER = load_chapter(ROOT / "notebooks" / "02-and-or")
STRANGE = Network("offline-cni", False, ("DaemonSet kube-system/offline-cni, image some/thing:1",))
KINDNET = Network("kindnet", True, ("DaemonSet kube-system/kindnet, image kindest/kindnetd:v20240202-8f1494ea",))  # fmt: skip


class Running(PaperCluster):
    """A double of a running cluster: objects as on paper, and an identity."""

    live = True

    def __init__(self, uid: str = "uid-1") -> None:
        super().__init__("")
        kube_system: Any = {"name": "kube-system", "uid": uid}
        self._put({"apiVersion": "v1", "kind": "Namespace", "metadata": kube_system})


class Trials:
    """Doubles of the canary and of the look at the network: what they find next, and how often the canary flew."""

    def __init__(self) -> None:
        self.outcome, self.network = Outcome.ENFORCED, STRANGE
        self.flown = 0

    def proof(self) -> Proof:
        self.flown += 1
        return Proof(self.outcome, self.network, "that was seen")


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> Trials:
    double = Trials()

    class Canary:
        def __init__(self, cluster: Any) -> None:
            pass

        def __enter__(self) -> Canary:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def watch(self, *, say: Callable[[str], None]) -> Proof:
            return double.proof()

    monkeypatch.setattr(canary, "Canary", Canary)
    monkeypatch.setattr(canary, "prove", lambda cluster, *, say: double.proof())
    monkeypatch.setattr(networks, "network", lambda cluster: double.network)
    return double


def begun(memory: Path, uid: str = "uid-1") -> Finding:
    with Enforcement(Running(uid), memory).trial() as finding:
        return finding(lambda _: None)


def test_a_network_that_enforces_is_proved_once_for_a_cluster(trials: Trials, tmp_path: Path) -> None:
    memory = tmp_path / "networks.json"
    assert begun(memory).outcome == "enforced"
    assert begun(memory).outcome == "enforced"
    assert trials.flown == 1
    begun(memory, "uid-2")
    assert trials.flown == 2


def test_another_network_in_the_same_cluster_is_proved_anew(trials: Trials, tmp_path: Path) -> None:
    begun(tmp_path / "networks.json")
    trials.network, trials.outcome = KINDNET, Outcome.OPEN
    assert begun(tmp_path / "networks.json").open


def test_a_network_that_did_not_enforce_is_tried_again_each_time(trials: Trials, tmp_path: Path) -> None:
    trials.outcome = Outcome.OPEN
    assert begun(tmp_path / "networks.json").open
    trials.outcome = Outcome.ENFORCED
    assert not begun(tmp_path / "networks.json").open


def test_a_trial_that_could_not_be_made_is_not_remembered(trials: Trials, tmp_path: Path) -> None:
    trials.outcome = Outcome.UNKNOWN
    assert begun(tmp_path / "networks.json").outcome == "unknown"
    assert Enforcement(Running(), tmp_path / "networks.json").finding() is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"format": "labkit-networks/0"}',
        '{"format": "labkit-networks/1", "clusters": {"uid-1": {"outcome": 1}}}',
    ],
)
def test_a_memory_that_cannot_be_read_is_no_memory(trials: Trials, tmp_path: Path, text: str) -> None:
    memory = tmp_path / "networks.json"
    memory.write_text(text)
    assert Enforcement(Running(), memory).finding() is None
    begun(memory)
    assert json.loads(memory.read_text())["clusters"]["uid-1"]["outcome"] == "enforced"


# -- checks


def everything_passes(_cluster: Running) -> Callable[[Iterable[Flow]], Mapping[Flow, Any]]:
    return lambda flows: {flow: Seen(Verdict.OK) for flow in flows}


def enforces(cluster: Running) -> Callable[[Iterable[Flow]], Mapping[Flow, Any]]:
    def probe(flows: Iterable[Flow]) -> Mapping[Flow, Any]:
        world = cluster.snapshot()
        return {f: Seen(Verdict.OK if decide(world, f).allowed else Verdict.TIMEOUT) for f in flows}

    return probe


def checked(
    tmp_path: Path, step_id: str, network: Any, *, remembered: bool, solve: bool = True
) -> StepResult:
    cluster = Running()
    step = CHAPTER.step(step_id)
    for demo in CHAPTER.demo:
        cluster.apply((ROOT / "clusters" / "demos" / demo).read_text())
    for manifest in step.start:
        cluster.apply((CHAPTER.folder / manifest).read_text())
    if solve:
        cluster.apply((ROOT / "solutions" / CHAPTER.id / f"{step_id}.yaml").read_text())
    memory = tmp_path / "networks.json"
    if remembered:
        begun(memory)
    return check_step(
        CHAPTER,
        step,
        cluster,
        Progress.of(tmp_path, "ada"),
        prober=network(cluster),
        network=Enforcement(cluster, memory),
    )


def test_a_policy_step_is_refused_where_nothing_is_enforced_whatever_was_written(
    trials: Trials, tmp_path: Path
) -> None:
    trials.outcome = Outcome.OPEN
    for solve in (True, False):
        result = checked(tmp_path, "mend-or", everything_passes, remembered=True, solve=solve)
        assert (result.status, result.reason, result.score) == (Status.CANNOT_CHECK, "not-enforced", 0)
        assert {check.status for check in result.checks} == {Status.CANNOT_CHECK}
        assert result.max_score == 3
        text = result.to_text()
        assert "(offline-cni, which the lab does not know) does not enforce NetworkPolicy" in text
        assert "labkit up" in text


def test_what_the_policies_alone_say_is_shown_beside_the_refusal_and_not_judged(
    trials: Trials, tmp_path: Path
) -> None:
    trials.outcome = Outcome.OPEN
    right = checked(tmp_path, "mend-or", everything_passes, remembered=True)
    assert "By the policies alone, this is as it should be." in right.to_text()
    wrong = checked(tmp_path, "mend-or", everything_passes, remembered=True, solve=False)
    assert "other/frontend" in wrong.to_text() or "helidon/frontend" in wrong.to_text()
    assert not Progress.of(tmp_path, "ada").step(CHAPTER.id, "mend-or")["attempts"]


def test_a_check_that_contradicts_what_is_remembered_has_it_proved_anew(
    trials: Trials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labkit.course.checking.PATIENCE", 0.0)
    begun(tmp_path / "networks.json")
    trials.outcome = Outcome.OPEN
    result = checked(tmp_path, "mend-or", everything_passes, remembered=False)
    assert (result.status, result.reason) == (Status.CANNOT_CHECK, "not-enforced")
    assert "offline-cni" in result.to_text()
    assert trials.flown == 2


def test_where_the_network_does_enforce_a_check_asks_no_canary(trials: Trials, tmp_path: Path) -> None:
    result = checked(tmp_path, "mend-or", enforces, remembered=True)
    assert result.passed
    assert trials.flown == 1


# -- words


def finding(network: Network, outcome: str = "open") -> Finding:
    return Finding(outcome, network.name, network.known, network.traces, "that was seen", "2026-01-01")


def test_the_refusal_names_the_network_and_what_is_known_of_it() -> None:
    assert "(kindnet) does not enforce" in refusal(finding(KINDNET))
    assert "since kind 0.24" in refusal(finding(KINDNET))
    assert "The network of this cluster does not enforce" in refusal(finding(Network("", False, ())))
    assert "enforces NetworkPolicy: that was seen" in told(finding(KINDNET, "enforced"))
    assert "could not be proved: that was seen" in told(finding(KINDNET, "unknown"))


def test_what_to_do_offers_the_pocket_cluster_kind_and_calico() -> None:
    text = whole_message(finding(STRANGE), CHAPTER)
    for offer in ("labkit lab 02-and-or", "--provider kind", "labkit install calico", "lab.setup() again"):
        assert offer in text


def test_chapters_about_policies_need_a_network_that_enforces_and_others_do_not() -> None:
    needs = {chapter.id: chapter.needs_enforcement for chapter in chapters()}
    assert not needs["00-find-your-way"]
    assert needs["01-one-door"]
    assert needs["02-and-or"]
    judged_by_policies = [step.id for step in CHAPTER.steps if not step.needs_enforcement]
    assert judged_by_policies == ["read-and", "predict-or", "read-empty"]
