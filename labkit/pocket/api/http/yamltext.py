"""YAML as Go's encoder writes it: what could be taken for something else is in double quotes."""

from __future__ import annotations

from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the base class's signature
        return True


def _resolve(dumper: Any, value: str) -> str:
    return str(dumper.resolve(yaml.ScalarNode, value, (True, False)))


def _text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    if "\n" in value:
        style: str | None = "|"
    elif _resolve(dumper, value) != "tag:yaml.org,2002:str":
        style = '"'
    else:
        style = None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def dump(value: Any) -> str:
    """An object as YAML, its keys sorted."""
    return str(yaml.dump(value, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, width=2**20))
