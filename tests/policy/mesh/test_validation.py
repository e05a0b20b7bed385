"""Refusals and warnings are worded as the API server and Istio's webhook word them."""

import pytest

from labkit.policy import ObjectKey
from labkit.policy.mesh.validation import review


def policy(spec, kind="AuthorizationPolicy"):
    return {"kind": kind, "metadata": {"namespace": "foo", "name": "p"}, "spec": spec}


def said(spec, kind="AuthorizationPolicy"):
    return [problem.message for problem in review(policy(spec, kind)).problems]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {"action": "DENY"},
            [
                (
                    "DENY action without `rules` is meaningless as it will never be triggered, add an empty rule `{}` "
                    "if you want it be triggered for every request"
                )
            ],
        ),
        (
            {"rules": [{"from": [{}]}, {"when": [{"key": "foo", "values": ["a"]}]}]},
            [
                "`from.source` must not be nil, found at rule 0",
                "invalid `value` for `key` foo: unknown attribute: foo",
                "invalid `notValue` for `key` foo: unknown attribute: foo",
            ],
        ),
        (
            {"rules": [{"to": [{"operation": {"ports": ["x", "70000"]}}]}]},
            ['bad port (x): strconv.ParseUint: parsing "x": invalid syntax', "bad port (70000): <nil>"],
        ),
        (
            {"rules": [{"from": [{"source": {"ipBlocks": ["10.0.0.300", "10.0.0.0/99"]}}]}]},
            [
                "bad IP address (10.0.0.300)",
                'bad CIDR range (10.0.0.0/99): netip.ParsePrefix("10.0.0.0/99"): prefix length out of range',
            ],
        ),
        (
            {"rules": [{"when": [{"key": "source.ip", "values": ["1.2.3", "x/8", "1.2.3.4/x"]}]}]},
            [
                (
                    "invalid `value` for `key` source.ip: 3 errors occurred:\n\t* bad IP address (1.2.3)\n"
                    '\t* bad CIDR range (x/8): netip.ParsePrefix("x/8"): ParseAddr("x"): unable to parse IP\n'
                    '\t* bad CIDR range (1.2.3.4/x): netip.ParsePrefix("1.2.3.4/x"): bad bits after slash: "x"\n\n'
                )
            ],
        ),
        (
            {"rules": [{"to": [{"operation": {"paths": ["/a/{*}/{**}/{*}"]}}]}]},
            ["invalid or unsupported path a/{*}/{**}/{*}, found in Paths. {**} is not the last operator"],
        ),
    ],
)
def test_what_the_webhook_says(spec, expected):
    # The texts are those that `istioctl validate` of Istio 1.31 prints.
    assert said(spec) == expected


def test_a_refusal_of_the_webhook_as_kubectl_prints_it():
    message = review(policy({"action": "DENY"})).message(ObjectKey("AuthorizationPolicy", "foo", "p"))
    assert message.startswith(
        'admission webhook "validation.istio.io" denied the request: configuration is invalid: 1 error occurred:\n'
        "\t* invalid policy p.foo: DENY action without `rules`"
    )


def test_a_refusal_of_the_schema_as_kubectl_prints_it():
    message = review(policy({"action": "BLOCK"})).message(ObjectKey("AuthorizationPolicy", "foo", "p"))
    assert message == (
        'The AuthorizationPolicy "p" is invalid: spec.action: Unsupported value: "BLOCK": supported values: "ALLOW", "DENY", '
        '"AUDIT", "CUSTOM"'
    )


def test_what_is_null_is_not_written():
    assert said({"selector": None, "rules": None, "action": None}) == []


@pytest.mark.parametrize("value", [5, "text", [1]])
def test_a_wrong_kind_of_value_is_no_crash(value):
    assert said({"rules": value})[0:1] != [] or value == []
    assert said({"rules": [{"from": value}]}) != []
    assert said({"rules": [{"from": [{"source": {"principals": value}}]}]}) != []


def test_key_sets_with_private_keys_are_warned_about():
    spec = {"jwtRules": [{"issuer": "a", "jwks": '{"keys": [{"kty": "oct", "k": "abc"}]}'}]}
    (warning,) = review(policy(spec, "RequestAuthentication")).warnings
    assert "contains private key material" in warning.message
