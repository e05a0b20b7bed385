"""YAML becomes what kubectl would send, and every field keeps its line."""

import builtins
import textwrap

import pytest

from labkit.policy import YamlError, load, load_plain, yamlseam

POLICY = textwrap.dedent("""\
    # a comment first
    apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata:
      name: web
      labels: {app.kubernetes.io/name: web}
    spec:
      podSelector: {}
      ingress:
        - from:
            - namespaceSelector:
                matchLabels:
                  team: blue

            - podSelector: {matchLabels: {role: x}}
          ports:
            - port: 80
    ---
    kind: Pod
    metadata: {name: a}
    """)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("kind", 3),
        ("metadata", 4),
        ("metadata.labels[app.kubernetes.io/name]", 6),
        ("spec.podSelector", 8),
        ("spec.ingress", 9),
        ("spec.ingress[0]", 10),
        ("spec.ingress[0].from", 10),
        ("spec.ingress[0].from[0]", 11),
        ("spec.ingress[0].from[0].namespaceSelector.matchLabels.team", 13),
        ("spec.ingress[0].from[1].podSelector", 15),
        ("spec.ingress[0].ports[0].port", 17),
        ("spec.egress", None),
    ],
)
def test_each_field_knows_the_line_of_its_key(path, line):
    assert load(POLICY)[0].source.line(path) == line


def test_a_span_ends_with_the_last_line_of_the_field():
    source = load(POLICY)[0].source
    assert source.span("spec.ingress[0].from[0]") == (11, 13)
    assert source.span("spec.ingress[0].from") == (10, 15)
    assert source.span("spec") == (7, 17)


def test_a_field_that_is_not_written_has_the_line_of_what_is_around_it():
    source = load(POLICY)[0].source
    assert source.nearest("spec.policyTypes[0]") == 7
    assert source.nearest("metadata.labels[a.b/c]") == 6
    assert source.quote(13) == "team: blue"


def test_lines_of_later_documents_count_from_the_top_of_the_text():
    assert load(POLICY)[1].source.line("metadata.name") == 20


def test_empty_documents_are_skipped_and_lists_are_taken_apart():
    assert load("---\n# nothing\n---\n") == []
    items = load(
        "kind: List\nitems:\n- kind: Pod\n  metadata: {name: a}\n- kind: Pod\n  metadata: {name: b}\n"
    )
    assert [(item.object["metadata"]["name"], item.source.line("metadata.name")) for item in items] == [
        ("a", 4),
        ("b", 6),
    ]


def test_a_key_written_twice_is_reported_and_the_last_one_wins():
    (item,) = load("spec:\n  podSelector: {}\n  ingress: []\n  podSelector:\n    matchLabels: {a: b}\n")
    assert item.object["spec"]["podSelector"] == {"matchLabels": {"a": "b"}}
    (warning,) = item.warnings
    assert (warning.path, warning.line) == ("spec.podSelector", 4)
    assert "lines 2 and 4" in warning.message
    assert item.source.line("spec.podSelector") == 4


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 2024-01-01", "2024-01-01"),
        ("a: 10:30", "10:30"),
        ("a: 80", 80),
        ('a: "80"', "80"),
        ("a: yes", True),
        ("a: null", None),
        ("a:", None),
        ("a: 1.5", 1.5),
        ("a: |\n  one\n  two\n", "one\ntwo\n"),
    ],
)
def test_scalars_become_what_json_can_say(text, value):
    assert load_plain(text) == [{"a": value}]


def test_keys_become_strings():
    assert load_plain("1: a\ntrue: b\n") == [{"1": "a", "true": "b"}]


def test_anchors_and_merge_keys_work():
    (item,) = load("base: &b {x: 1, y: 2}\nuse:\n  <<: *b\n  y: 3\nsame: *b\n")
    assert item.object["use"] == {"x": 1, "y": 3}
    assert item.object["same"] == {"x": 1, "y": 2}
    assert item.warnings == ()


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: b: c\n", 1, "mapping values are not allowed"),
        ("a:\n\tb: c\n", 2, "spaces; this line has a tab"),
        ("a: [1, 2\nb: 3\n", 2, "expected"),
        ("- a\n", 1, "expected a Kubernetes object .* found a list"),
        ("kind: Pod\n---\nhello\n", 3, "found a single value"),
        ("a: !!python/object:os.system x\n", 1, "unknown tag"),
        ("a: *nobody\n", 1, "undefined alias"),
        ("? [a, b]\n: c\n", 1, "plain word"),
    ],
)
def test_what_is_no_object_is_refused_with_its_line(text, line, message):
    with pytest.raises(YamlError, match=message) as error:
        load(text, "lesson.yaml")
    assert error.value.line == line
    assert str(error.value).startswith(f"lesson.yaml, line {line}: ")


def test_an_alias_that_contains_itself_is_refused():
    with pytest.raises(YamlError, match="refers to itself"):
        load("a: &x {b: *x}\n")


def test_aliases_that_double_and_double_do_not_fill_the_memory():
    text = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40))
    with pytest.raises(YamlError, match="too large"):
        load(text)


def test_without_pyyaml_json_is_read(monkeypatch):
    real = builtins.__import__

    def without_yaml(name, *args, **kwargs):
        if name == "yaml":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_yaml)
    (item,) = load('{"kind": "Pod", "metadata": {"name": "a", "name": "b"}}')
    assert item.object["metadata"]["name"] == "b"
    assert "written twice" in item.warnings[0].message
    assert item.source.line("kind") is None
    assert len(load('{"kind": "List", "items": [{"kind": "Pod"}, {"kind": "Pod"}]}')) == 2
    with pytest.raises(YamlError, match="only JSON can be read"):
        load("kind: Pod")


def test_the_place_of_a_child_is_written_as_the_api_server_writes_it():
    assert yamlseam.child_path("spec", "ports") == "spec.ports"
    assert yamlseam.child_path("metadata.labels", "a.b/c") == "metadata.labels[a.b/c]"
    assert yamlseam.child_path("", "kind") == "kind"
