"""The private key of an issuance that is under way, in a temporary Secret.

Upstream: pkg/controller/certificates/keymanager.
"""

from __future__ import annotations

import asyncio
import base64

from labkit.pocket.api import Api
from labkit.pocket.components.certmanager import pki
from labkit.pocket.components.certmanager.belongings import NEXT_KEY, secret_of, tell, write_status
from labkit.pocket.components.certmanager.conditions import Obj, data_of
from labkit.pocket.components.certmanager.secretdata import FAO
from labkit.pocket.controllers.ownership import controller_reference
from labkit.pocket.controllers.reconcile import WorkQueue


class NextKeys:
    """Makes keys in a thread, since a large one takes seconds; the Certificate is looked at again when one is made."""

    def __init__(self, api: Api, queue: WorkQueue) -> None:
        self._api = api
        self._queue = queue
        self._making: dict[str, asyncio.Future[pki.Key]] = {}

    def forget(self, certificate: Obj) -> None:
        """No key is wanted any more."""
        self._making.pop(certificate["metadata"]["uid"], None)

    def next(self, certificate: Obj) -> pki.Key | None:
        """The key of the issuance that is under way, from its temporary Secret; made when there is none."""
        metadata, status = certificate["metadata"], certificate.get("status") or {}
        wish = certificate["spec"].get("privateKey") or {}
        name = status.get("nextPrivateKeySecretName")
        secret = self._api.find("secrets", name, metadata["namespace"]) if name else None
        if secret is not None:
            try:
                key = pki.read_key(data_of(secret, "tls.key"))
                violations = pki.key_violations(key, wish)
            except pki.Unreadable:
                violations = ["spec.privateKey"]
            if not violations:
                return key
            words = f"Regenerating private key due to change in fields: [{' '.join(violations)}]"
            tell(self._api, certificate, "Deleted", words, "key-manager")
            self._api.delete("secrets", secret["metadata"]["name"], metadata["namespace"])
        old = self._old_key(certificate) if wish.get("rotationPolicy") == "Never" else None
        if old is not None:
            return self._store(certificate, old, "Reused")
        key_now = self._generated(certificate, wish)
        return None if key_now is None else self._store(certificate, key_now, "Generated")

    def _old_key(self, certificate: Obj) -> pki.Key | None:
        secret = secret_of(self._api, certificate)
        if secret is None:
            return None
        try:
            key = pki.read_key(data_of(secret, "tls.key"))
        except pki.Unreadable:
            return None
        return None if pki.key_violations(key, certificate["spec"].get("privateKey") or {}) else key

    def _generated(self, certificate: Obj, wish: Obj) -> pki.Key | None:
        """A new key, or None while it is being made."""
        uid = certificate["metadata"]["uid"]
        future = self._making.pop(uid, None)
        if future is not None and future.done():
            key = future.result()
            if not pki.key_violations(key, wish):
                return key
            future = None
        if future is None:
            future = asyncio.get_running_loop().run_in_executor(None, pki.generate_key, dict(wish))
            metadata = certificate["metadata"]
            place = (metadata["namespace"], metadata["name"])
            future.add_done_callback(lambda _: self._queue.add(place))
        self._making[uid] = future
        return None

    def _store(self, certificate: Obj, key: pki.Key, how: str) -> pki.Key:
        metadata, name = (
            certificate["metadata"],
            (certificate.get("status") or {}).get("nextPrivateKeySecretName"),
        )
        labels = {NEXT_KEY: "true", FAO: "true"}
        called = {"name": name} if name else {"generateName": f"{metadata['name']}-"}
        meta = {**called, "labels": labels, "ownerReferences": [controller_reference(certificate)]}
        data = {"tls.key": base64.b64encode(pki.encode_key(key, "PKCS8")).decode()}
        secret = self._api.create("secrets", {"metadata": meta, "data": data}, metadata["namespace"])
        if how == "Reused":
            words = f'Reusing private key stored in existing Secret resource "{certificate["spec"]["secretName"]}"'
        else:
            words = f'Stored new private key in temporary Secret resource "{secret["metadata"]["name"]}"'
        tell(self._api, certificate, how, words, "key-manager")

        def change(copy: Obj) -> Obj:
            copy.setdefault("status", {})["nextPrivateKeySecretName"] = secret["metadata"]["name"]
            return copy

        write_status(self._api, certificate, change)
        return key
