"""Protobuf bodies, as kubectl's typed clients send them."""

from __future__ import annotations

import pytest

from labkit.pocket.api.http.protobuf import Decoder, Unreadable


def field(number: int, value: bytes | str | int) -> bytes:
    def varint(rest: int) -> bytes:
        parts = bytearray()
        while rest > 0x7F:
            parts.append(rest & 0x7F | 0x80)
            rest >>= 7
        return bytes([*parts, rest])

    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def envelope(api_version: str, kind: str, raw: bytes) -> bytes:
    return b"k8s\x00" + field(1, field(1, api_version) + field(2, kind)) + field(2, raw)


def test_a_deployment_is_read() -> None:
    port = field(3, 8080) + field(4, "TCP")
    probe = field(1, field(2, field(1, "/ready") + field(2, field(1, 1) + field(3, "http")))) + field(2, 300)
    container = field(1, "web") + field(2, "nginx") + field(6, port) + field(11, probe)
    template = field(1, field(11, field(1, "app") + field(2, "web"))) + field(2, field(2, container))
    spec = field(1, 2) + field(2, field(1, field(1, "app") + field(2, "web"))) + field(3, template)
    body = envelope("apps/v1", "Deployment", field(1, field(1, "web")) + field(2, spec))
    assert Decoder().decode(body) == {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "containers": [
                        {
                            "name": "web",
                            "image": "nginx",
                            "ports": [{"containerPort": 8080, "protocol": "TCP"}],
                            # The handler's fields stand beside the probe's own.
                            "readinessProbe": {
                                "httpGet": {"path": "/ready", "port": "http"},
                                "initialDelaySeconds": 300,
                            },
                        }
                    ]
                },
            },
        },
    }


def test_bytes_times_and_quantities_become_text() -> None:
    secret = field(1, field(1, "s") + field(8, field(1, 1_700_000_000))) + field(
        2, field(1, "k") + field(2, b"\x00\xff")
    )
    assert Decoder().decode(envelope("v1", "Secret", secret)) == {
        "kind": "Secret",
        "apiVersion": "v1",
        "metadata": {"name": "s", "creationTimestamp": "2023-11-14T22:13:20Z"},
        "data": {"k": "AP8="},
    }


def test_options_of_a_deletion_are_read_in_every_group() -> None:
    body = envelope("apps/v1", "DeleteOptions", field(1, 0) + field(4, "Background"))
    read = Decoder().decode(body)
    assert (read["gracePeriodSeconds"], read["propagationPolicy"]) == (0, "Background")


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"k8s\x00\x0a\xff", envelope("zoo/v1", "Unicorn", b""), envelope("v1", "Pod", b"\x0a\x7f")],
)
def test_other_bytes_are_refused(body: bytes) -> None:
    with pytest.raises(Unreadable):
        Decoder().decode(body)
