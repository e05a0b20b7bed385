"""Issuer and ClusterIssuer: is what they sign with there? Upstream: pkg/issuer/{ca,selfsigned}/setup.go."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from labkit.pocket.api import Api
from labkit.pocket.components.certmanager import pki
from labkit.pocket.components.certmanager.conditions import (
    CLUSTER_ISSUERS,
    ISSUERS,
    NAMESPACE,
    Obj,
    condition,
    data_of,
    put_condition,
    secrets_namespace,
)
from labkit.pocket.controllers.reconcile import Key, Reconciler, Seen, itself

_OTHERS = ("acme", "vault", "venafi")
# Upstream tries again with a growing pause; a Secret that appears is seen at once.
_RETRY = 60.0


async def run(api: Api, resource: str) -> None:
    """Watch over one of the two kinds until cancelled."""
    reconciler = Reconciler(api, f"cert-manager {resource}", lambda key: reconcile(api, resource, key))
    reconciler.watch(resource, itself)
    reconciler.watch("secrets", _of_secret(api, resource))
    await reconciler.run()


def _of_secret(api: Api, resource: str) -> Callable[[Seen], Iterable[Key]]:
    def keys(seen: Seen) -> Iterable[Key]:
        metadata = seen.object["metadata"]
        if resource == CLUSTER_ISSUERS and metadata["namespace"] != NAMESPACE:
            return ()
        namespace = metadata["namespace"] if resource == ISSUERS else None
        return [
            (issuer["metadata"].get("namespace", ""), issuer["metadata"]["name"])
            for issuer in api.list(resource, namespace)
            if (issuer["spec"].get("ca") or {}).get("secretName") == metadata["name"]
        ]

    return keys


def reconcile(api: Api, resource: str, key: Key) -> float | None:
    """Bring one issuer's Ready condition into order."""
    namespace, name = key
    issuer = api.find(resource, name, namespace or None)
    if issuer is None or issuer["metadata"].get("deletionTimestamp"):
        return None
    status, reason, message = verdict(api, issuer)
    before = condition(issuer, "Ready")

    def change(copy: Obj) -> Obj:
        put_condition(copy, "Ready", status, reason, message)
        return copy

    written = api.modify(resource, name, namespace or None, change, subresource="status")
    news = before is None or (before["reason"], before.get("message", "")) != (reason, message)
    component = "cert-manager-issuers" if resource == ISSUERS else "cert-manager-clusterissuers"
    if status == "False":
        if news:
            api.record_event(written, "Warning", reason, message, component)
            words = message.partition(": ")[2] or message
            api.record_event(
                written, "Warning", "ErrInitIssuer", f"Error initializing issuer: {words}", component
            )
        return _RETRY
    if news and message:
        api.record_event(written, "Normal", reason, message, component)
    return None


def verdict(api: Api, issuer: Obj) -> tuple[str, str, str]:
    """(status, reason, message) of the Ready condition that an issuer deserves now."""
    spec = issuer["spec"]
    if "selfSigned" in spec:
        return "True", "IsReady", ""
    if "ca" in spec:
        try:
            signing_pair(api, issuer)
        except pki.Unreadable as error:
            reason = "ErrInvalidKeyPair" if str(error) == _NOT_A_CA else "ErrGetKeyPair"
            return "False", reason, f"Error getting keypair for CA issuer: {error}"
        return "True", "KeyPairVerified", "Signing CA verified"
    kind = next((one for one in _OTHERS if one in spec), "")
    words = "the embedded cert-manager has selfSigned and ca issuers; others need a real cluster"
    return "False", "NotAvailable", f"{kind or 'this'} issuer is not available here: {words}"


_NOT_A_CA = "certificate is not a CA"


class NoSecret(pki.Unreadable):
    """The Secret that an issuer names is not there."""


def signing_pair(api: Api, issuer: Obj) -> tuple[list, pki.Key]:  # type: ignore[type-arg]
    """The chain and the key that a CA issuer signs with. Raises Unreadable, NoSecret."""
    name = issuer["spec"]["ca"].get("secretName", "")
    namespace = secrets_namespace(issuer)
    secret = api.find("secrets", name, namespace)
    if secret is None:
        raise NoSecret(f'secret "{name}" not found')
    pair = {}
    for part in ("tls.crt", "tls.key"):
        pair[part] = data_of(secret, part)
        if not pair[part]:
            raise pki.Unreadable(f"no data for \"{part}\" in secret '{namespace}/{name}'")
    chain, key = pki.read_chain(pair["tls.crt"]), pki.read_key(pair["tls.key"])
    if not pki.is_ca(chain[0]):
        raise pki.Unreadable(_NOT_A_CA)
    return chain, key
