"""Who asks, and how: what accompanies a call into the API besides the object."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class User:
    """An authenticated identity."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: dict[str, list[str]] = field(default_factory=dict, hash=False)


SYSTEM = User("system:apiserver", ("system:masters",))


@dataclass
class Options:
    """The options of one request.

    `manager` is the field manager for managedFields; without one, ownership is not recorded (the cluster's own
    parts). `applied` says that server-side apply has written managedFields already. `validation` is
    fieldValidation: Strict, Warn or Ignore. `warnings` collects sentences for the client. `complaints` are what
    a strict reader has already said about the body: fields that stand twice.
    """

    user: User = SYSTEM
    manager: str = ""
    dry_run: bool = False
    applied: bool = False
    validation: str = "Ignore"
    warnings: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def warn(self, text: str) -> None:
        """Add a sentence for the client, once."""
        if text not in self.warnings:
            self.warnings.append(text)
