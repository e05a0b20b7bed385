"""Service accounts' tokens: signed, bound, expiring."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from labkit.pocket.api import Api
from labkit.pocket.api.tokens import InvalidToken, Tokens
from labkit.pocket.pki import Pki
from tests.pocket.api.conftest import pod


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki.load_or_create(tmp_path_factory.mktemp("keys") / "pki")


@pytest.fixture
def tokens(pki: Pki) -> Tokens:
    return Tokens(pki.service_account_key)


def test_a_token_speaks_for_its_account_and_names_its_pod(api: Api, tokens: Tokens) -> None:
    running = api.create("pods", pod("a"))
    account = api.get("serviceaccounts", "default", "shop")
    token, _ = tokens.issue(account, pod=running)
    user = tokens.authenticate(token, api.find)
    assert user.name == "system:serviceaccount:shop:default"
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated")
    assert user.extra["authentication.kubernetes.io/pod-name"] == ["a"]


def test_a_token_ends_with_its_pod(api: Api, tokens: Tokens) -> None:
    running = api.create("pods", pod("a"))
    token, _ = tokens.issue(api.get("serviceaccounts", "default", "shop"), pod=running)
    api.delete("pods", "a", "shop")
    api.create("pods", pod("a"))
    with pytest.raises(InvalidToken, match="pod a is gone"):
        tokens.authenticate(token, api.find)


def test_a_token_ends_with_its_time(api: Api, tokens: Tokens) -> None:
    account = api.create("serviceaccounts", {"metadata": {"name": "robot"}}, "shop")
    token, expires = tokens.issue(account, seconds=600, now=1000)
    assert expires == 1600
    assert tokens.claims(token, now=1599)["sub"] == "system:serviceaccount:shop:robot"
    with pytest.raises(InvalidToken, match="expired"):
        tokens.claims(token, now=1600)


def test_a_token_is_for_its_audience(api: Api, tokens: Tokens) -> None:
    account = api.create("serviceaccounts", {"metadata": {"name": "robot"}}, "shop")
    token, _ = tokens.issue(account, audiences=["vault"])
    with pytest.raises(InvalidToken, match="another audience"):
        tokens.authenticate(token, api.find)
    assert tokens.authenticate(token, api.find, "vault").name.endswith(":robot")


def test_a_changed_token_or_another_clusters_is_refused(api: Api, tokens: Tokens, tmp_path: Path) -> None:
    account = api.create("serviceaccounts", {"metadata": {"name": "robot"}}, "shop")
    token, _ = tokens.issue(account)
    head, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    claims["sub"] = "system:serviceaccount:kube-system:default"
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    other = Tokens(Pki.load_or_create(tmp_path / "pki").service_account_key)
    for wrong in (f"{head}.{forged}.{signature}", other.issue(account)[0], "x", "a.b.c", f"{head}.{body}."):
        with pytest.raises(InvalidToken):
            tokens.authenticate(wrong, api.find)


def test_keys_are_kept_for_the_owner_alone_and_found_again(tmp_path: Path) -> None:
    first = Pki.load_or_create(tmp_path / "pki")
    assert Pki.load_or_create(tmp_path / "pki").ca == first.ca
    assert {path.stat().st_mode & 0o777 for path in first.directory.iterdir()} == {0o600}
    assert first.directory.stat().st_mode & 0o777 == 0o700
