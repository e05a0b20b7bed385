"""How a kind cluster comes to be: found, started again, or made; and taken away again when that fails or is interrupted."""

from __future__ import annotations

import time

from labkit.cluster.errors import ClusterError, ClusterUnreachable, Interrupted, WaitTimeout
from labkit.cluster.providers import Options
from labkit.cluster.providers.engine import Engine, find_engine
from labkit.cluster.steps import Steps

from . import binary, config, kubeconfig, nodes, output, preflight, reports
from .binary import Kind
from .config import KindConfig
from .ending import end
from .nodes import Node
from .places import Places
from .readiness import until_ready
from .running import stream, terminations_interrupt, undisturbed

_PREPARING = "Preparing nodes"
#: Seconds for nodes to become ready. A node image has all that it needs; so this is for slow machines, not for pulls.
WAIT = 300.0


def make(where: Places, options: Options, steps: Steps) -> list[Node]:
    """The nodes of the cluster, running and (as far as its network allows) ready. Raises ClusterError; see `reports`."""
    chosen = config.read(options.config)
    steps.begin("Looking at this machine")
    engine = find_engine()
    with where.changing(), terminations_interrupt():
        found = nodes.nodes(engine, where.kind_name)
        if found and where.remembered().get("state", "ready") != "ready":
            steps.begin("Removing what an earlier try left")
            end(where, engine, found)
            found = []
        kind = binary.find_kind(steps)
        if found:
            _wake(where, found, engine, kind, options, steps)
            _load_box(where, steps)
        else:
            _create(where, chosen, engine, kind, options, steps)
        if options.offline:
            from labkit.cluster.images import offline

            steps.begin("Stand-ins for images that would have to be pulled")
            offline.provide(where.kind_name, steps.note)
        if options.export_kubeconfig:
            path = kubeconfig.put_in(where, kind, engine)
            steps.warn(f"{path} now has the context {where.context}, and it is the current one there.")
        return nodes.nodes(engine, where.kind_name)


def _create(
    where: Places, chosen: KindConfig, engine: Engine, kind: Kind, options: Options, steps: Steps
) -> None:
    image = options.image or preflight.default_image(engine, chosen)
    for finding in preflight.checked(engine, kind, chosen, image):
        steps.warn(f"{finding.title}: {finding.explanation}")
    made = False
    try:
        where.remember(state="creating", image=image, config=chosen.name, kind=kind.version)
        where.config.write_text(chosen.text, encoding="utf-8")
        where.log.unlink(missing_ok=True)
        _mark_network(where, engine)
        _run_kind(where, engine, kind, image, steps)
        where.kubeconfig.chmod(0o600)
        made = True
        where.remember(state="ready", started=time.time())
        try:
            _wait(where, chosen, options, steps)
        except WaitTimeout as late:
            raise reports.too_late(where, engine, late) from None
        _load_box(where, steps)
    except KeyboardInterrupt:
        with undisturbed():
            _clean(where, engine, steps, interrupted=True)
        raise Interrupted(f"Interrupted. Nothing of the cluster {where.name} is left.") from None
    except BaseException:
        # A whole cluster that is slow to become ready is kept: its owner may want to look, or to wait longer.
        if not made:
            with undisturbed():
                if options.retain:
                    where.remember(state="failed")
                else:
                    _clean(where, engine, steps, interrupted=False)
        raise


def _load_box(where: Places, steps: Steps) -> None:
    """Put the images that a box brought onto the nodes; without a box, and where they are there, nothing happens."""
    from labkit.cluster import bundle  # no other cluster needs all that

    bundle.load_into(where.kind_name, progress=steps)


def _run_kind(where: Places, engine: Engine, kind: Kind, image: str, steps: Steps) -> None:
    """Run `kind create cluster`. It keeps the nodes of a failure, so that their own logs can be read before they go."""
    command = [str(kind.path), "create", "cluster", "--name", where.kind_name, "--retain"]
    command += ["--config", str(where.config), "--kubeconfig", str(where.kubeconfig)]
    command += ["--image", image] if image else []

    def preparing() -> bool:
        return steps.running is not None and steps.running.title.startswith(_PREPARING)

    pulls = bool(image) and not preflight.has_image(engine, image)
    said: list[str] = []

    def told(line: str) -> None:
        said.append(line)
        output.tell(line, steps, pulls=pulls)

    code = stream(command, engine.environment, where.log, told, in_flight=preparing)
    if code:
        steps.fail()
        with undisturbed():
            raise reports.failure(where, engine, image, "".join(said))


def _clean(where: Places, engine: Engine, steps: Steps, interrupted: bool) -> None:
    """Take away what there is of a cluster; kind's log stays after a failure, and goes with an interrupt."""
    if interrupted:
        steps.fail("interrupted")
    steps.begin("Removing what was made so far")
    kept = where.log.read_bytes() if where.log.exists() and not interrupted else None
    end(where, engine, nodes.nodes(engine, where.kind_name))
    if kept is not None:
        where.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # it went with the last cluster
        where.log.write_bytes(kept)
    steps.end()


def _wake(
    where: Places, found: list[Node], engine: Engine, kind: Kind, options: Options, steps: Steps
) -> None:
    """A cluster that is there: start its stopped nodes, as after a reboot."""
    stopped = [node for node in found if not node.running]
    if stopped:
        steps.begin(f"Starting {len(stopped)} stopped node{'s' if len(stopped) > 1 else ''}")
        nodes.start(engine, found)
    if stopped or not where.kubeconfig.exists():
        kubeconfig.write_own(where, kind, engine)
        where.remember(state="ready", image=found[0].image, started=time.time())
    if not stopped:
        return
    try:
        chosen = config.read(str(where.config)) if where.config.exists() else None
        _wait(where, chosen, options, steps, woken=True)
    except (ClusterUnreachable, WaitTimeout) as problem:
        if len(found) == 1:
            raise
        raise ClusterError(
            f"The nodes of {where.name} run again, and do not come together: {problem}\n"
            "A cluster of several nodes seldom survives a restart of its engine: the nodes get other addresses than they had\n"
            "(https://github.com/kubernetes-sigs/kind/issues/2045). What helps is a new one:\n"
            f"  labkit down {where.name} --provider kind && labkit up {where.name} --provider kind"
        ) from None


def _wait(
    where: Places, chosen: KindConfig | None, options: Options, steps: Steps, *, woken: bool = False
) -> None:
    timeout = WAIT if options.wait is None else options.wait
    if timeout > 0:
        until_ready(
            where.kubeconfig, where.context, chosen.nodes if chosen else 1, timeout, steps,
            own_network=chosen is None or chosen.own_network, woken=woken,
        )  # fmt: skip


def _mark_network(where: Places, engine: Engine) -> None:
    """Remember that kind's network came with us, to take it away with our last cluster."""
    if not nodes.network_is_there(engine):
        where.network_mark.touch()
