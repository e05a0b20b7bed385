"""`Lab` on a running cluster: a step begins clean whatever was done before, and a learner's mistake is one clear message."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.course.lab import Lab
from labkit.course.learner_errors import LearnerError
from labkit.course.progress import Progress
from labkit.course.results import Status
from tests.course.conftest import ROOT
from tests.pocket.running import RunningCluster

pytestmark = pytest.mark.cluster
MISSPELT = (
    "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: x}\nspec: {podSelektor: {}}\n"
)
POLICIES = ROOT / "notebooks" / "02-and-or" / "policies"


@pytest.fixture(scope="module")
def lab(machine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    from labkit.cluster import Cluster
    from labkit.pocket import lifecycle

    home = tmp_path_factory.mktemp("home")
    info = lifecycle.up("course", home=home)
    lab = Lab("02-and-or", cluster=Cluster.connect(info.kubeconfig), progress=Progress.of(home, "tester"))
    lab.setup()
    lab.running = RunningCluster("course", home)  # type: ignore[attr-defined]
    yield lab
    lifecycle.down("course", home=home)


def kubectl(lab: Lab, *words: str) -> subprocess.CompletedProcess[str]:
    return lab.running.kubectl(*words)  # type: ignore[attr-defined, no-any-return]


def test_what_was_changed_by_hand_is_gone_when_a_step_begins_again(lab: Lab) -> None:
    lab.start("mend-or")
    kubectl(lab, "label", "pod", "stranger", "-n", "other", "role=frontend", "--overwrite")
    kubectl(lab, "label", "namespace", "other", "project=myproject")
    change = '{"spec":{"policyTypes":["Ingress","Egress"]}}'
    kubectl(lab, "patch", "networkpolicy", "helidon-callers", "-n", "helidon", "--type=merge", "-p", change)
    kubectl(lab, "create", "-f", str(write(lab, "another")))
    lab.reset("mend-or")
    world = lab.cluster.snapshot()
    assert world.pods["other/stranger"].labels == {"role": "stranger"}
    assert "project" not in world.namespaces["other"].labels
    assert [policy for policy in world.policies if policy.startswith("helidon/")] == [
        "helidon/helidon-callers"
    ]
    assert len(world.policies["helidon/helidon-callers"].directions) == 1
    assert lab.run_check("mend-or").status is Status.NOT_ATTEMPTED


def write(lab: Lab, name: str) -> Path:
    path = lab._progress.path.parent / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = (POLICIES / "closed.yaml").read_text().replace("helidon-closed", name)
    path.write_text(text)
    return path


def test_an_answer_given_with_kubectl_counts_like_one_given_in_a_cell(lab: Lab) -> None:
    lab.start("mend-or")
    kubectl(lab, "apply", "-f", str(ROOT / "solutions" / "02-and-or" / "mend-or.yaml"))
    result = lab.run_check("mend-or")
    assert result.passed
    assert result.score == result.max_score == 3


def test_a_failed_check_names_the_flow_what_was_seen_and_the_deciding_line(lab: Lab) -> None:
    lab.start("mend-or")
    lab.apply(
        (POLICIES / "callers-with-a-dash.yaml").read_text().replace("role: frontend", "role: batch"),
        "cell [7]",
    )
    result = lab.run_check("mend-or")
    assert result.status is Status.FAIL
    evidence = [item for check in result.checks for item in check.evidence]
    batch = next(item for item in evidence if item["source"] == "helidon/batch")
    assert (batch["must"], batch["verdict"], batch["observed"]) == ("fail", "OK", "OK")
    assert (
        "helidon/batch → helidon/helidon, port 8080/TCP: must not work; tried on the cluster: it got through"
        in result.to_text()
    )
    assert "cell [7]" in str(batch["decision"]) or '"line"' in str(batch["decision"]).replace("'", '"')


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        (lambda lab: lab.check("mend-orr"), "its steps are: read-and, predict-or"),
        (lambda lab: lab.answer("mend-or", "x"), "asks no question"),
        (lambda lab: lab.predict("mend-or"), "asks for no prediction"),
        (lambda lab: lab.predict("predict-or", {"helidon/batch": "allow"}), "namespace/pod -> namespace/pod"),
        (lambda lab: lab.predict("predict-or", {"a/b -> c/d": "allow"}), "there are no such pods"),
        (lambda lab: lab.predict("predict-or", {"helidon/batch -> helidon/helidon": "perhaps"}), '"allow" or "deny"'),
        (lambda lab: lab.apply("kind: [", "cell [3]"), "cell [3]"),
        (lambda lab: lab.apply("apiVersion: v1\nkind: Podd\nmetadata: {name: x}\n"), "Podd"),
        (lambda lab: lab.apply(MISSPELT), "podSelektor"),
        (lambda lab: lab.why("helidon/nobody", "helidon/helidon", 8080), "there is no helidon/nobody"),
        (lambda lab: lab.why("frontend", "helidon/helidon", 8080), "Is it one of helidon/frontend"),
        (lambda lab: lab.why("helidon/frontend", "helidon/helidon", "web"), "A port is a number"),
        (lambda lab: lab.observe("helidon/frontend", "helidon/helidon", 8080, "HTTP"), "A protocol is one of"),
        (lambda lab: lab.graph(focus="helidon/nobody"), "There is no pod helidon/nobody"),
        (lambda lab: lab.predict("predict-or", ["helidon/batch"]), "click into the table"),
        (lambda lab: lab.predict("predict-or", {"other/frontend -> other/stranger": "allow"}), "none of the connections"),
        (lambda lab: Lab("99-nowhere"), "There is no chapter '99-nowhere'"),
    ],
)  # fmt: skip
def test_a_learners_mistake_is_one_message_without_a_traceback(lab: Lab, mistake: object, told: str) -> None:
    with pytest.raises(LearnerError) as caught:
        mistake(lab)  # type: ignore[operator]
    assert told in str(caught.value)
    assert caught.value._render_traceback_() == [f"✗ {caught.value}"]


def test_without_a_name_the_step_that_was_started_last_is_meant(lab: Lab) -> None:
    lab.start("read-empty")
    assert "Hint 1 of 3" in str(lab.hint())
    lab.check()
    lab.start("mend-or")
    lab.reset()
    assert lab.run_check("mend-or").status is Status.NOT_ATTEMPTED
    unbegun = Lab("02-and-or", cluster=lab.cluster, progress=lab._progress)
    with pytest.raises(LearnerError, match="Which step"):
        unbegun.check()


def test_a_pod_of_the_demo_that_was_made_anew_by_hand_does_not_stop_the_setup(lab: Lab) -> None:
    kubectl(lab, "delete", "pod", "stranger", "-n", "other", "--now")
    other = ("--image=nginx", "--labels=role=stranger", "--port=8080")
    kubectl(lab, "run", "stranger", "-n", "other", *other)
    lab.setup()
    container = lab.cluster.get("Pod", "stranger", "other")["spec"]["containers"][0]
    assert "agnhost" in container["image"]


def test_a_policy_that_landed_in_the_wrong_namespace_is_pointed_out(lab: Lab) -> None:
    lab.start("mend-or")
    lab.apply((POLICIES / "closed.yaml").read_text().replace("namespace: helidon", "namespace: default"))
    try:
        assert "default/helidon-closed" in lab.run_check("mend-or").to_text()
    finally:
        lab.cluster.delete("NetworkPolicy", "helidon-closed", "default")


def test_a_policy_that_was_elsewhere_before_the_step_began_is_not_pointed_out(lab: Lab) -> None:
    """Some clusters come with policies of their own in kube-system."""
    text = (POLICIES / "closed.yaml").read_text()
    lab.apply(text.replace("namespace: helidon", "namespace: default").replace("app: helidon", "app: other"))
    try:
        lab.start("mend-or")
        assert "default/helidon-closed" not in lab.run_check("mend-or").to_text()
    finally:
        lab.cluster.delete("NetworkPolicy", "helidon-closed", "default")


def test_a_cluster_that_is_down_is_never_the_learners_fault(lab: Lab) -> None:
    from labkit.pocket import lifecycle

    running = lab.running  # type: ignore[attr-defined]
    lab.start("mend-or")
    lifecycle.stop(running.name, home=running.home)
    try:
        result = lab.run_check("mend-or")
        assert result.status is Status.CANNOT_CHECK
        assert lab._progress.step("02-and-or", "mend-or")["last"]["status"] == "cannot_check"
        lab.check("mend-or")  # shows that it cannot check, and raises nothing
        with pytest.raises(LearnerError, match="labkit up"):
            lab.start("mend-or")
        with pytest.raises(LearnerError) as caught:
            lab.reset("mend-or")
        assert str(caught.value).count("cannot reach") == 1
    finally:
        lifecycle.up(running.name, home=running.home)
    lab.reset("mend-or")
    assert lab.run_check("mend-or").status is Status.NOT_ATTEMPTED
