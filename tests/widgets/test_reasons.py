from types import SimpleNamespace

from labkit.policy import Flow, decide
from labkit.widgets.answers import policy_sources
from labkit.widgets.reasons import reason_record, reason_text


def record(world, source, destination, port=3306, observation=None, as_dict=False):
    decision = decide(world, Flow(source, destination, port))
    return reason_record(
        decision.to_dict() if as_dict else decision,
        source=source,
        destination=destination,
        port=port,
        observation=observation,
        sources=policy_sources(world),
    )


def hits(half):
    return [line["text"].strip() for policy in half["policies"] for line in policy["yaml"] if line["hit"]]


def test_both_halves_are_told_even_when_one_alone_decides(world):
    reason = record(world, "mail/web", "shop/db")
    assert [half["direction"] for half in reason["halves"]] == ["egress", "ingress"]
    assert [half["allowed"] for half in reason["halves"]] == [False, False]


def test_an_admitting_rule_lights_only_its_own_lines(world):
    egress, ingress = record(world, "shop/web", "shop/db")["halves"]
    assert not egress["isolated"]
    assert hits(ingress) == ["- podSelector:", "matchLabels: {app: web}"]


def test_an_empty_list_of_rules_lights_the_selection_and_the_list(world):
    egress, _ = record(world, "mail/web", "audit/db", 80)["halves"]
    assert "egress: []" in hits(egress)
    assert "podSelector: {}" in hits(egress)


def test_a_decision_that_travelled_as_json_gives_the_same_reason(world):
    live, travelled = record(world, "mail/web", "shop/db"), record(world, "mail/web", "shop/db", as_dict=True)
    assert travelled | {"text": ""} == live | {"text": ""}


def test_a_policy_without_text_has_no_lines_but_still_a_reason(open_world, world):
    from labkit.policy import load_plain

    from .conftest import POLICIES

    plain = open_world.replace(*load_plain(POLICIES))
    _, ingress = record(plain, "shop/mail", "shop/db")["halves"]
    assert ingress["policies"][0]["yaml"] == []
    assert ingress["policies"][0]["rules"][0]["reason"]


def test_what_was_measured_is_told_with_its_evidence_and_a_contradiction_is_marked(world):
    observation = SimpleNamespace(verdict="OK", evidence={"status": 200, "seconds": 0.01234, "error": ""})
    reason = record(world, "shop/mail", "shop/db", observation=observation)
    assert reason["disagrees"]
    assert reason["observed"]["evidence"] == "status: 200; seconds: 0.012 s"
    text = reason_text(reason)
    assert "Observed: ✓ connected (status: 200; seconds: 0.012 s)" in text
    assert "The cluster does not do what the policies say." in text


def test_a_reading_that_never_settled_contradicts_nothing(world):
    reason = record(world, "shop/mail", "shop/db", observation=SimpleNamespace(verdict=None, evidence={}))
    assert not reason["disagrees"]


def test_the_text_has_policy_path_line_and_the_deciding_yaml(world):
    text = reason_text(record(world, "shop/web", "shop/db"))
    assert "✓ Allowed: shop/web → shop/db, port 3306" in text
    assert "spec.ingress[0].from[0], line 10" in text
    assert "10 |     - podSelector:" in text


def test_what_kubernetes_leaves_open_is_never_a_plain_yes_or_no(open_world):
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"selector": {"app": "web"}, "clusterIP": "10.96.0.20", "ports": [{"port": 80}]},
    }
    from labkit.policy import load

    from .conftest import POLICIES

    world = open_world.replace(service, *load(POLICIES.replace("app: db", "app: web")))
    reason = record(world, "shop/web", "service:shop/web", 80)
    assert reason["kind"] == "?"
    assert reason["headline"].startswith("? Left to implementations")
    assert reason["note"]
