"""Events are forgotten an hour after they were last seen, as kube-apiserver's --event-ttl does."""

from __future__ import annotations

import asyncio
import logging

from labkit.pocket.api.api import Api
from labkit.pocket.api.events import expire

log = logging.getLogger(__name__)

_EVERY = 60.0


async def run(api: Api) -> None:
    """Sweep once a minute until cancelled."""
    while True:
        try:
            expire(api)
        except Exception:
            log.exception("old events could not be removed")
        await asyncio.sleep(_EVERY)
