"""`labkit doctor`: which kinds of clusters this machine can run, and what would help."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from labkit.cli.shared import OUTPUT, all_providers, indented

if TYPE_CHECKING:
    from labkit.cluster.providers import Finding


@click.command()
@click.option("--fix", is_flag=True, help="Run the commands that would help, after asking about each.")
@click.option("--yes", is_flag=True, help="With --fix: do not ask.")
@OUTPUT
def doctor(fix: bool, yes: bool, output: str) -> None:
    """Say for each kind of cluster whether this machine can run it, and what to do if not. Changes nothing unless told to."""
    reports = [(provider.name, list(provider.doctor())) for provider in all_providers()]
    if output == "json":
        data = [
            {"provider": name, "ok": _all_ok(findings), "findings": [_finding(item) for item in findings]}
            for name, findings in reports
        ]
        click.echo(json.dumps(data, indent=2))
    else:
        for name, findings in reports:
            click.secho(f"{'✓' if _all_ok(findings) else '✗'} {name}", bold=True)
            for item in findings:
                click.echo(f"  {_mark(item)} {item.title}")
                if not item.ok or item.explanation:
                    click.echo(indented(item.explanation))
                if item.remedy and not item.ok:
                    click.echo(indented(f"What helps:\n{item.remedy}"))
    if fix:
        _run_remedies(
            [item for _, findings in reports for item in findings if _broken(item) and item.remedy], yes
        )


def _finding(item: Finding) -> dict[str, Any]:
    return {
        "title": item.title, "ok": item.ok, "advice": item.advice,
        "explanation": item.explanation, "remedy": item.remedy,
    }  # fmt: skip


def _mark(item: Finding) -> str:
    return "✓" if item.ok else "!" if item.advice else "✗"


def _broken(item: Finding) -> bool:
    return not item.ok and not item.advice


def _all_ok(findings: Sequence[Finding]) -> bool:
    """Whether a cluster can run; what is only advice does not stand in its way."""
    return not any(map(_broken, findings))


def _run_remedies(findings: Sequence[Finding], yes: bool) -> None:
    if not findings:
        click.echo("Nothing to fix.")
    for item in findings:
        if yes or click.confirm(f"Run this?\n{indented(item.remedy)}\n"):
            subprocess.run(["sh", "-ec", item.remedy], check=False)
