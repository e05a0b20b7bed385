"""Paths are normalised as Envoy does it under Istio's settings (the rows of Istio's own integration test)."""

import pytest

from labkit.policy.mesh.meshconfig import Normalization
from labkit.policy.mesh.paths import normalize, without_query

NONE, BASE, MERGE, DECODE = (
    *(Normalization.NONE, Normalization.BASE),
    *(Normalization.MERGE_SLASHES, Normalization.DECODE_AND_MERGE_SLASHES),
)
ROWS = [
    # path, NONE, BASE, MERGE_SLASHES, DECODE_AND_MERGE_SLASHES
    ("/", "/", "/", "/", "/"),
    ("/app#foo", "/app", "/app", "/app", "/app"),
    ("/app/", "/app/", "/app/", "/app/", "/app/"),
    ("/app/../admin", "/app/../admin", "/admin", "/admin", "/admin"),
    ("/app//", "/app//", "/app//", "/app/", "/app/"),
    ("/app/%2f", "/app/%2f", "/app/%2f", "/app/%2f", "/app/"),
    ("/app%2f/", "/app%2f/", "/app%2f/", "/app%2f/", "/app/"),
    ("/xyz%30..//abc", "/xyz%30..//abc", "/xyz0..//abc", "/xyz0../abc", "/xyz0../abc"),
    ("/app/%2E./admin", "/app/%2E./admin", "/admin", "/admin", "/admin"),
    (r"/app\admin", r"/app\admin", "/app/admin", "/app/admin", "/app/admin"),
    (r"/app/\/\/\admin", r"/app/\/\/\admin", "/app//////admin", "/app/admin", "/app/admin"),
    (
        "/%2Fapp%5cadmin%5Cabc",
        "/%2Fapp%5cadmin%5Cabc",
        "/%2Fapp%5cadmin%5Cabc",
        "/%2Fapp%5cadmin%5Cabc",
        "/app/admin/abc",
    ),
    ("/app//../admin", "/app//../admin", "/app/admin", "/app/admin", "/app/admin"),
    ("/app//../../admin", "/app//../../admin", "/admin", "/admin", "/admin"),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_path_under_each_setting(row):
    path, *expected = row
    assert [normalize(path, how) for how in (NONE, BASE, MERGE, DECODE)] == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (r"/%5Capp%2f%5c%2F%2e%2e%2fadmin%5c\abc", "/app/admin/abc"),
        ("/%c0%2e%c0%2e/admin", "/%c0.%c0./admin"),
        ("/%c0%2fadmin", "/%c0/admin"),
        ("/%252e%252e/admin", "/%252e%252e/admin"),
        ("/.../admin", "/.../admin"),
        ("/;/admin", "/;/admin"),
        ("/admin;a=b/xyz", "/admin;a=b/xyz"),
        ("/Admin", "/Admin"),
    ],
)
def test_what_decoding_does_and_what_it_leaves(path, expected):
    assert normalize(path, DECODE) == expected


def test_a_null_byte_is_refused():
    assert normalize("/admin%00", BASE) is None


def test_the_query_stays_and_is_no_part_of_what_is_compared():
    assert normalize("/a/../b?x=/../y", BASE) == "/b?x=/../y"
    assert without_query("/b?x=/../y") == "/b"
