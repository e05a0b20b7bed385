"""How long to wait before trying again: kubelet's rule for crashing containers and failing image pulls.

Upstream: pkg/kubelet (`backOffPeriod` 10 s, `MaxContainerBackOff` 300 s) over client-go's flowcontrol.Backoff: the first
retry is immediate, then 10 s, 20 s, ... counted from the moment of the failure; forgotten after ten quiet minutes.
"""

from __future__ import annotations

from dataclasses import dataclass

INITIAL = 10.0
MAXIMUM = 300.0


@dataclass
class Backoff:
    """The memory of one thing that is tried again and again. Times are seconds of one monotonic clock."""

    initial: float = INITIAL
    maximum: float = MAXIMUM
    delay: float = 0.0
    updated: float = 0.0

    def wait(self, failed_at: float, now: float) -> float:
        """Seconds still to wait before the next try; 0 means try now (and `tried` is to be called)."""
        if self.delay == 0.0 or now - self.updated > 2 * self.maximum:
            return 0.0
        return max(0.0, failed_at + self.delay - now)

    def tried(self, now: float) -> None:
        """A new try begins: the next wait is twice as long."""
        if self.delay == 0.0 or now - self.updated > 2 * self.maximum:
            self.delay = self.initial
        else:
            self.delay = min(self.delay * 2, self.maximum)
        self.updated = now


def go_duration(seconds: float) -> str:
    """Whole seconds as Go prints them: `10s`, `1m20s`, `5m0s`."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
