"""TrafficGraph: who can talk to whom, drawn. A World in; a widget, an SVG, a matplotlib figure and a text out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from labkit.widgets.answers import Answers, as_matrix
from labkit.widgets.display import Viewable, pre
from labkit.widgets.matrix import Matrix, from_observations, from_truth_table, port_key, port_label
from labkit.widgets.picture import View, default_view, graph_picture
from labkit.widgets.reasons import Reason
from labkit.widgets.subjects import namespace_labels, subjects
from labkit.widgets.svg import data_uri, graph_svg
from labkit.widgets.text import change_lines, count_text, difference_lines, differences, matrix_text

if TYPE_CHECKING:
    from labkit.policy import Profile, World


class TrafficGraph(Viewable):
    """The traffic graph of a world.

    world: a `labkit.policy.World`. ports: 80, "53/UDP", (80, "TCP"), or several of them; None takes the ports that pods declare.
    observations: what was measured, a mapping from Flow to Observation; `observed_note` says why there are none. previous: an
    earlier TrafficGraph, TruthTable, World or Matrix; verdicts that differ from it are lit. externals: addresses outside the
    cluster to draw, besides the world's own. namespaces: draw only these. Any further keyword is a field of `View`
    (port="81/TCP", focus="shop/web", mode="pods", denied=True, changes=True, layer="observed", ...).

    Raises `labkit.policy.WorldError` for names that are not in the world.
    """

    def __init__(
        self,
        world: World,
        ports: Any = None,
        observations: Mapping[Any, Any] | None = None,
        previous: Any = None,
        *,
        externals: Iterable[str] = (),
        namespaces: Iterable[str] | None = None,
        title: str = "",
        observed_note: str = "",
        profile: Profile | None = None,
        **view: Any,
    ) -> None:
        super().__init__()
        self._ports, self._externals, self._title = ports, tuple(externals), title
        self._namespaces = None if namespaces is None else tuple(namespaces)
        self._profile = profile
        self._load(world, observations, previous, observed_note)
        self.view: View = default_view(self.picture, **_view_fields(view))

    def _load(self, world: World, observations: Mapping[Any, Any] | None, previous: Any, note: str) -> None:
        self.world = world
        self._who = subjects(world, dict.fromkeys((*world.externals, *self._externals)), self._namespaces)
        ids = [subject.id for subject in self._who]
        on_network = [name for name in ids if name not in world.pods or world.pods[name].on_network]
        self.answers = Answers(world, self._ports, on_network, on_network, observations, self._profile)
        self.engine: Matrix = from_truth_table(self.answers.table)
        self.observed: Matrix | None = from_observations(observations, self.engine) if observations else None
        self.observed_note = note
        self.previous: Matrix | None = as_matrix(previous, self.engine, self._profile)
        shown = namespace_labels(world)
        if self._namespaces is not None:
            shown = {name: labels for name, labels in shown.items() if name in self._namespaces}
        else:
            # A namespace without a pod to draw (kube-node-lease and its like) would only be an empty box.
            used = {subject.namespace for subject in self._who}
            shown = {name: labels for name, labels in shown.items() if name in used}
        self.picture = graph_picture(
            self._who,
            self.engine,
            observed=self.observed,
            previous=self.previous,
            namespaces=shown,
            title=self._title,
            observed_note=note,
        )

    def update(
        self,
        world: World,
        observations: Mapping[Any, Any] | None = None,
        *,
        previous: Any = None,
        observed_note: str = "",
    ) -> None:
        """Show a newer world in the same place. What differs from the world shown until now (or from `previous`) is lit."""
        self._load(world, observations, self.engine if previous is None else previous, observed_note)
        ports = [port["key"] for port in self.picture["ports"]]
        ids = {node["id"] for node in self.picture["nodes"]}
        changes: dict[str, Any] = {}
        if self.view.port not in ports:
            changes["port"] = ports[0] if ports else ""
        if self.view.focus is not None and self.view.focus not in ids:
            changes["focus"] = None
        if self.view.layer == "observed" and self.observed is None:
            changes["layer"] = "engine"
        self.look(**changes)
        if self._live is not None:
            with self._live.hold_sync():
                self._live.reasons = self.answers.few_reasons()
                self._live.view = self.view.to_json()
                self._live.picture = self.picture
        self._refresh_still()

    def look(self, **view: Any) -> TrafficGraph:
        """Change what is shown (the fields of `View`); returns itself, so that `graph.look(focus="shop/web")` shows it."""
        self.view = View(**{**self.view.to_json(), **_view_fields(view)})
        if self._live is not None and self._live.view != self.view.to_json():
            self._live.view = self.view.to_json()
        return self

    def reason(self, source: str, destination: str, port: Any = None) -> Reason:
        """The reason record of one flow (reasons.py); `port` None is the port shown."""
        return self.answers.reason(source, destination, self.view.port if port is None else port)

    def to_svg(self) -> str:
        """The picture as SVG text, with a title and a description."""
        return graph_svg(self.picture, self.view, self._summary_line())

    def to_html(self) -> str:
        """The picture as an image that also an untrusted notebook shows, and the text below it."""
        alt = escape(self._summary_line(), quote=True)
        image = f'<img alt="{alt}" src="{data_uri(self.to_svg())}" style="max-width:100%">'
        return image + pre(self.to_text())

    def to_matplotlib(self, ax: Any = None) -> Any:
        """Draw into matplotlib axes (new ones when None); returns the axes. Raises ImportError without matplotlib."""
        from labkit.widgets.drawing import draw_graph

        return draw_graph(self.picture, self.view, ax)

    def to_text(self) -> str:
        """Every verdict on every port, who is isolated, what changed, and where cluster and engine differ."""
        parts = [self._title] if self._title else []
        for port in self.engine.ports:
            parts.append(count_text(self.engine, port))
            parts.append(matrix_text(self.engine, port, f"What the policies say, port {port_label(port)}:"))
            if self.observed is not None:
                parts.append(
                    matrix_text(self.observed, port, f"What the cluster did, port {port_label(port)}:")
                )
                found = differences(self.engine, self.observed, port)
                if found:
                    lines = difference_lines(found, port, "the engine says", "the cluster did")
                    parts.append("\n".join(["The cluster does not do what the policies say:", *lines]))
            if self.previous is not None:
                changes = change_lines(self.engine, self.previous, port)
                parts.append("\n".join(["Changed since last time:", *(changes or ["  nothing"])]))
        if self.observed is None and self.observed_note:
            parts.append(self.observed_note)
        parts.append(self._isolation_text())
        return "\n\n".join(parts)

    def _isolation_text(self) -> str:
        lines = []
        for subject in self._who:
            ways = [
                w
                for w, on in (("ingress", subject.ingress_isolated), ("egress", subject.egress_isolated))
                if on
            ]
            if ways:
                lines.append(f"  {subject.id}: isolated for {' and '.join(ways)}")
        return (
            "\n".join(["Isolated pods:", *lines])
            if lines
            else "No pod is isolated: no policy selects any of them."
        )

    def _summary_line(self) -> str:
        return (
            f"Traffic graph. {count_text(self.engine, self.view.port)}."
            if self.engine.ports
            else "Traffic graph."
        )

    def _make_widget(self) -> Any:
        from labkit.widgets.live import graph_widget

        live = graph_widget()(
            picture=self.picture,
            view=self.view.to_json(),
            reasons=self.answers.few_reasons(),
            still=self.still_id,
        )
        live.on_msg(lambda widget, message, _buffers: self.answers.on_message(widget, message))
        live.observe(self._on_view, "view")
        return live

    def _on_view(self, change: Any) -> None:
        fields = {key: change["new"][key] for key in View.__dataclass_fields__ if key in change["new"]}
        view = View(**fields)
        if view != self.view:
            self.view = view
            self._refresh_still()


def _view_fields(view: Mapping[str, Any]) -> dict[str, Any]:
    unknown = set(view) - set(View.__dataclass_fields__)
    if unknown:
        known = ", ".join(View.__dataclass_fields__)
        raise TypeError(f"a graph has no {', '.join(sorted(unknown))} to set; it has {known}")
    return {key: port_key(value) if key == "port" else value for key, value in view.items()}
