"""The engine on every case of the Istio corpus."""

import pytest
import yaml

from labkit.policy import Flow, HttpRequest, PolicyError, World, decide
from labkit.policy.mesh.validation import review
from tests.conformance.istio.loader import Case, Request, load_cases, minted

CASES = load_cases()


def world_of(case: Case) -> World:
    mesh = [
        {
            "kind": "ConfigMap",
            "metadata": {"namespace": "istio-system", "name": "istio"},
            "data": {"mesh": text(case)},
        }
    ]
    return World.from_objects([*(mesh if case.mesh else []), *case.objects, *case.policies])


def text(case: Case) -> str:
    return yaml.safe_dump(dict(case.mesh))


def flow_of(request: Request) -> Flow:
    kind, target, port = request.to
    http = HttpRequest.from_object(minted(request.http)) if request.http is not None else None
    return Flow(request.source, f"service:{target}" if kind == "service" else target, port, request=http)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.path.stem}-{case.name}")
def test_case(case):
    if case.refused:
        said = [problem for policy in case.policies for problem in review(policy).problems]
        assert case.refused in " | ".join(problem.message for problem in said)
        if case.only != "lab":
            with pytest.raises(PolicyError):
                world_of(case)
        return
    warnings = [problem.message for policy in case.policies for problem in review(policy).warnings]
    for words in case.warned:
        assert words in " | ".join(warnings)
    assert bool(warnings) == bool(case.warned)
    world = world_of(case)
    for request in case.requests:
        decision = decide(world, flow_of(request))
        seen = (decision.verdict.value, decision.status, decision.body)
        assert seen == (request.verdict, request.status, request.body), decision.explain()
        assert decision.defined, decision.explain()
        if request.matched is not None:
            assert decision.matched_policy == request.matched, decision.explain()
