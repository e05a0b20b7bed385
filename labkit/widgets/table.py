"""TruthTableView: what I said, what the engine says, what the cluster did, cell by cell.

Traits of the widget, all JSON:
    table      {"title", "sources": [ids], "destinations": [ids], "ports": [{"key", "label"}], "predict": bool,
                "asked": {"80/TCP": [[source, destination], ...]} or null, "observed_note", "can_reveal": bool}
    layers     {"engine": {"80/TCP": ["#.X", ...]}, "observed": {...} or null, "changed": {"80/TCP": ["010", ...]},
                "previous": {...} or null}; empty as long as a prediction is not revealed
    predicted  predictions.py;  revealed  bool;  view  {"port", "changes": bool, "apart": bool};  reasons  as for the graph
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from labkit.policy import TruthTable
from labkit.widgets import predictions
from labkit.widgets.answers import Answers, as_matrix
from labkit.widgets.display import Viewable, pre
from labkit.widgets.marks import Kind
from labkit.widgets.matrix import Matrix, changed, from_observations, from_truth_table, port_key, port_label
from labkit.widgets.predictions import Predictions
from labkit.widgets.reasons import Reason
from labkit.widgets.table_html import table_html
from labkit.widgets.text import change_lines, count_text, difference_lines, differences, matrix_text

if TYPE_CHECKING:
    from labkit.policy import Profile, World


class TruthTableView(Viewable):
    """The truth table of a world: rows are sources, columns are destinations, one port at a time.

    world: a World, or a TruthTable (whose rows, columns and ports are then shown). ports, sources, destinations: as for
    `labkit.policy.truth_table`. observed: a mapping from Flow to Observation; `observed_note` says why there are none.
    predict: the learner fills in the cells; what the engine and the cluster say stays hidden until `reveal()` (or the button,
    unless can_reveal is False). predicted: predictions to begin with (predictions.read says in which forms). asked: only these
    cells are to be predicted. previous: earlier verdicts, as for TrafficGraph. on_predict, on_reveal: called with this view.
    """

    def __init__(
        self,
        world: World | TruthTable,
        ports: Any = None,
        *,
        sources: Iterable[str] | None = None,
        destinations: Iterable[str] | None = None,
        predicted: Any = None,
        observed: Mapping[Any, Any] | None = None,
        observed_note: str = "",
        previous: Any = None,
        predict: bool = False,
        asked: Iterable[Any] | None = None,
        can_reveal: bool = True,
        title: str = "",
        profile: Profile | None = None,
        on_predict: Callable[[TruthTableView], object] | None = None,
        on_reveal: Callable[[TruthTableView], object] | None = None,
    ) -> None:
        super().__init__()
        if isinstance(world, TruthTable):
            ports = list(world.ports) if ports is None else ports
            sources = world.sources if sources is None else sources
            destinations = world.destinations if destinations is None else destinations
            profile, world = profile or world.profile, world.world
        self._ports, self._profile = ports, profile
        self._sources = None if sources is None else tuple(sources)
        self._destinations = None if destinations is None else tuple(destinations)
        self.title, self.observed_note, self.predicting = title, observed_note, predict
        self.can_reveal, self.revealed = can_reveal, not predict
        self.on_predict, self.on_reveal = on_predict, on_reveal
        self._load(world, observed, previous)
        self.predicted: Predictions = predictions.read(predicted, self.engine.ports)
        self.asked = predictions.asked_cells(asked, self.engine)
        ports_shown = self.engine.ports
        self._view = {"port": ports_shown[0] if ports_shown else "", "changes": False, "apart": False}

    def _load(self, world: World, observed: Mapping[Any, Any] | None, previous: Any) -> None:
        self.world = world
        self.answers = Answers(world, self._ports, self._sources, self._destinations, observed, self._profile)
        self.engine: Matrix = from_truth_table(self.answers.table)
        self.observed: Matrix | None = from_observations(observed, self.engine) if observed else None
        self.previous: Matrix | None = as_matrix(previous, self.engine, self._profile)

    # -- what a caller can do

    def update(
        self,
        world: World,
        observed: Mapping[Any, Any] | None = None,
        *,
        previous: Any = None,
        observed_note: str = "",
    ) -> None:
        """Show a newer world; predictions stay. Changes are against the world shown until now, or `previous`."""
        self.observed_note = observed_note
        self._load(world, observed, self.engine if previous is None else previous)
        self._push()

    def reveal(self) -> None:
        """End the prediction: show what the engine and the cluster say beside what the learner said."""
        if self.revealed:
            return
        self.revealed = True
        self._push()
        if self.on_reveal is not None:
            self.on_reveal(self)

    def show(
        self, *, port: Any = None, changes: bool | None = None, apart: bool | None = None
    ) -> TruthTableView:
        """Choose the port, only what changed, or three tables apart instead of three signs in a cell; returns itself."""
        if port is not None:
            self._view = {**self._view, "port": port_key(port)}
        if changes is not None:
            self._view = {**self._view, "changes": changes}
        if apart is not None:
            self._view = {**self._view, "apart": apart}
        if self._live is not None:
            self._live.view = self._view
        return self

    def predict(self, source: str, destination: str, word: str | bool | None, port: Any = None) -> None:
        """Write one prediction ("allow", "deny", True, False; None blanks the cell), as clicking the cell does."""
        key = self._view["port"] if port is None else port_key(port)
        if not self.engine.kind(str(key), source, destination).value.strip():
            raise ValueError(f"the table has no cell from {source} to {destination} on port {key}")
        cells: dict[Any, Any] = {
            (s, d, p): word
            for p, rows in self.predicted.items()
            for s, row in rows.items()
            for d, word in row.items()
        }
        cells[source, destination, key] = word
        self._set_predicted(predictions.read(cells, self.engine.ports))
        if self._live is not None:
            self._live.predicted = self.predicted

    def prediction_differences(self) -> dict[str, list[tuple[str, str, Kind, Kind]]]:
        """Per port, the cells that were predicted otherwise than the engine decides: (source, destination, predicted, engine)."""
        said = predictions.as_matrix(self.predicted, self.engine)
        return {port: found for port in self.engine.ports if (found := differences(said, self.engine, port))}

    def missing_predictions(self) -> list[tuple[str, str, str]]:
        """Cells that are asked for and still blank: (port key, source, destination). A pod's flow to itself is not asked for."""
        said = predictions.as_matrix(self.predicted, self.engine)
        missing = []
        for port in self.engine.ports:
            wanted = None if self.asked is None else {tuple(pair) for pair in self.asked.get(port, ())}
            for source, destination, kind in self.engine.flows(port):
                # What implementations may decide as they like is never asked for.
                if kind in (Kind.SELF, Kind.NONE, Kind.UNKNOWN):
                    continue
                if wanted is not None and (source, destination) not in wanted:
                    continue
                if said.kind(port, source, destination) is Kind.NONE:
                    missing.append((port, source, destination))
        return missing

    def reason(self, source: str, destination: str, port: Any = None) -> Reason:
        """The reason record of one flow (reasons.py); `port` None is the port shown."""
        return self.answers.reason(source, destination, self._view["port"] if port is None else port)

    # -- the twins

    def layers(self) -> list[tuple[str, Matrix]]:
        """What may be shown now, in reading order: (heading, matrix)."""
        shown: list[tuple[str, Matrix]] = []
        if self.predicting or self.predicted:
            shown.append(("you said", predictions.as_matrix(self.predicted, self.engine)))
        if self.revealed:
            shown.append(("engine", self.engine))
            if self.observed is not None:
                shown.append(("cluster", self.observed))
        return shown

    def to_text(self) -> str:
        """Every layer that is not hidden, on every port, with the differences spelled out."""
        parts = [self.title] if self.title else []
        headings = {
            "you said": "What you said",
            "engine": "What the policies say",
            "cluster": "What the cluster did",
        }
        for port in self.engine.ports:
            layers = self.layers()
            if self.revealed:
                parts.append(count_text(self.engine, port))
            parts += [
                matrix_text(matrix, port, f"{headings[name]}, port {port_label(port)}:")
                for name, matrix in layers
            ]
            for (one, left), (other, right) in pairwise(layers):
                found = differences(left, right, port)
                if found:
                    verb = {"you said": "you said", "engine": "the engine says", "cluster": "the cluster did"}
                    parts.append(
                        "\n".join(["These differ:", *difference_lines(found, port, verb[one], verb[other])])
                    )
            if self.previous is not None and self.revealed:
                lines = change_lines(self.engine, self.previous, port)
                parts.append("\n".join(["Changed since last time:", *(lines or ["  nothing"])]))
        if not self.revealed:
            count = len(self.missing_predictions())
            parts.append(f"The engine's answers are hidden until you compare. Cells still blank: {count}.")
        elif self.observed is None and self.observed_note:
            parts.append(f"Observed: nothing. {self.observed_note}")
        return "\n\n".join(parts)

    def to_html(self) -> str:
        """The port shown as an HTML table, and the text with all ports below it."""
        port = str(self._view["port"])
        note = self.observed_note if self.revealed and self.observed is None else ""
        return table_html(self.layers(), port, self.title, note, self._changed().get(port)) + pre(
            self.to_text()
        )

    def to_matplotlib(self, ax: Any = None) -> Any:
        """Draw the port shown into matplotlib axes (new ones when None); returns them. ImportError without matplotlib."""
        from labkit.widgets.drawing import draw_table

        return draw_table(self.layers(), str(self._view["port"]), self.title, ax)

    # -- the widget

    def _make_widget(self) -> Any:
        from labkit.widgets.live import table_widget

        live = table_widget()(
            table=self._table_json(),
            layers=self._layers_json(),
            predicted=self.predicted,
            revealed=self.revealed,
            view=self._view,
            reasons=self._reasons_json(),
            still=self.still_id,
        )
        live.on_msg(self._on_message)
        live.observe(self._on_predicted, "predicted")
        live.observe(self._on_revealed, "revealed")
        live.observe(self._on_view, "view")
        return live

    def _table_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "sources": list(self.engine.sources),
            "destinations": list(self.engine.destinations),
            "ports": [{"key": port, "label": port_label(port)} for port in self.engine.ports],
            "predict": self.predicting,
            "asked": self.asked,
            "observed_note": self.observed_note,
            "can_reveal": self.can_reveal,
            # Where nothing is to be filled in: no flow at all, or one that implementations may treat as they like.
            "blank": {
                port: ["".join(c if c in "# ?" else "." for c in row) for row in rows]
                for port, rows in self.engine.cells.items()
            },
        }

    def _changed(self) -> dict[str, list[str]]:
        return changed(self.engine, self.previous) if self.revealed else {}

    def _layers_json(self) -> dict[str, Any]:
        # As long as the learner predicts, the answers are not even in the page.
        if not self.revealed:
            return {}
        return {
            "engine": self.engine.to_json(),
            "observed": self.observed.to_json() if self.observed else None,
            "changed": self._changed(),
            "previous": self.previous.aligned(self.engine).to_json() if self.previous else None,
        }

    def _reasons_json(self) -> dict[str, Reason]:
        return self.answers.few_reasons() if self.revealed else {}

    def _push(self) -> None:
        ports = self.engine.ports
        if self._view["port"] not in ports:
            self._view = {**self._view, "port": ports[0] if ports else ""}
        if self._live is not None:
            with self._live.hold_sync():
                self._live.view = self._view
                self._live.reasons = self._reasons_json()
                self._live.layers = self._layers_json()
                self._live.table = self._table_json()
                self._live.revealed = self.revealed
        self._refresh_still()

    def _set_predicted(self, predicted: Predictions) -> None:
        if predicted == self.predicted:
            return
        self.predicted = predicted
        self._refresh_still()
        if self.on_predict is not None:
            self.on_predict(self)

    def _on_predicted(self, change: Any) -> None:
        self._set_predicted(predictions.read(change["new"], self.engine.ports))

    def _on_revealed(self, change: Any) -> None:
        if change["new"] and (self.can_reveal or not self.predicting):
            self.reveal()

    def _on_view(self, change: Any) -> None:
        if change["new"] != self._view:
            self._view = dict(change["new"])
            self._refresh_still()

    def _on_message(self, widget: Any, message: Mapping[str, Any], _buffers: Any) -> None:
        if self.revealed:  # a reason would tell the answer
            self.answers.on_message(widget, message)
