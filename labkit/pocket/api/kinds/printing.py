"""What cells of tables have in common: ages, selectors, the placeholders for nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

Obj = dict[str, Any]

NONE = "<none>"
UNKNOWN = "<unknown>"
UNSET = "<unset>"


def moment(text: str) -> datetime | None:
    """A time from an object, or None."""
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None
    except ValueError:
        return None


def human_duration(seconds: float) -> str:
    """apimachinery's duration.HumanDuration: `45s`, `3m12s`, `5h`, `2d3h`."""
    total = int(seconds)
    if total < -1:
        return "<invalid>"
    if total < 0:
        return "0s"
    if total < 120:
        return f"{total}s"
    minutes = total // 60
    if minutes < 10:
        rest = total % 60
        return f"{minutes}m{rest}s" if rest else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    hours = total // 3600
    if hours < 8:
        rest = minutes % 60
        return f"{hours}h{rest}m" if rest else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if hours < 192:
        rest = hours % 24
        return f"{hours // 24}d{rest}h" if rest else f"{hours // 24}d"
    days = hours // 24
    if days < 365 * 2:
        return f"{days}d"
    if days < 365 * 8:
        rest = days % 365
        return f"{days // 365}y{rest}d" if rest else f"{days // 365}y"
    return f"{days // 365}y"


def since(text: str | None) -> str:
    """How long ago a time was."""
    then = moment(text or "")
    return UNKNOWN if then is None else human_duration((datetime.now(UTC) - then).total_seconds())


def age(obj: Obj) -> str:
    """The Age column."""
    return since(obj["metadata"].get("creationTimestamp"))


def selector_text(selector: Obj | None) -> str:
    """A label selector object as metav1.FormatLabelSelector writes it: `app=web,env in (a,b),!old`."""
    if selector is None:
        return NONE
    terms = [(key, f"{key}={value}") for key, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or []:
        key, values = expression.get("key", ""), ",".join(sorted(expression.get("values") or []))
        text = {
            "In": f"{key} in ({values})",
            "NotIn": f"{key} notin ({values})",
            "Exists": key,
            "DoesNotExist": f"!{key}",
        }.get(expression.get("operator", ""), key)
        terms.append((key, text))
    return ",".join(text for _, text in sorted(terms, key=lambda term: term[0])) or NONE


def labels_text(labels: Obj | None) -> str:
    """A map of labels as labels.FormatLabels writes it."""
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or NONE


def container_cells(template_spec: Obj) -> list[Any]:
    """The Containers and Images cells of a workload."""
    containers = template_spec.get("containers") or []
    return [
        ",".join(container.get("name", "") for container in containers),
        ",".join(container.get("image", "") for container in containers),
    ]
