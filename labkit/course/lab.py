"""`Lab`: the face of a chapter in a notebook. Each method is one thing that a learner does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labkit.course import display
from labkit.course.answers import Reply, cells, reply
from labkit.course.asking import flows_between, port_number, predicted, words_of
from labkit.course.checking import Subject, check_step, current_digest, policies_elsewhere
from labkit.course.connect import connect, default_namespaces
from labkit.course.demands import Scope
from labkit.course.enforcement import Finding
from labkit.course.ground import Ground
from labkit.course.learner_errors import LearnerError, for_learner
from labkit.course.load import load_chapter
from labkit.course.notice import show_notice
from labkit.course.places import chapter_folder, home, root
from labkit.course.progress import Progress
from labkit.course.requiring import require
from labkit.course.results import Status, StepResult
from labkit.course.stage import Stage
from labkit.course.steps import Kind, Step
from labkit.course.unenforced import named, refusal, told, whole_message
from labkit.policy import Flow, World, decide


class Lab:
    """A chapter on the learner's cluster.

    chapter: the name of its folder, for example "02-and-or". cluster: anything like `labkit.cluster.Cluster`; by default
    the one that KUBECONFIG or the running lab names, and a cluster on paper where this machine can run none.
    """

    current: Lab | None = None  # what the %%apply magic works on

    def __init__(
        self, chapter: str, *, cluster: Subject | None = None, progress: Progress | None = None
    ) -> None:
        try:
            self.chapter = load_chapter(chapter_folder(chapter))
            self.cluster: Any = cluster if cluster is not None else connect()
            self._finds_its_cluster = cluster is None
        except Exception as error:
            raise for_learner(error) from None
        self._progress = progress or Progress.of(home())
        self._answers: dict[str, Reply] = {}
        self._predictions: dict[str, dict[Flow, bool]] = {}
        self._tables: dict[str, Any] = {}
        self._last_drawn: World | None = None
        self._step_in_hand: str | None = None
        self._ground = self._new_ground()
        Lab.current = self

    # -- beginning ---------------------------------------------------------------------------------------------------------------

    def setup(self) -> None:
        """Install the chapter's demo and wait until it runs, with no policy in the chapter's namespaces."""
        if self._finds_its_cluster:  # it may have been started anew, at another address
            with self._learner_errors():
                self.cluster = connect()
                self._ground = self._new_ground()
        display.say(
            f"{self.chapter.title}: about {self.chapter.minutes} minutes, {len(self.chapter.steps)} steps."
        )
        display.say(self.cluster.describe() if self.cluster.live else self.cluster.why)
        with self._learner_errors():
            if self.chapter.requires:
                require(self.cluster, self.chapter.requires, display.say)
            stage = self._stage()
            finding = self._ground.install(stage, display.say)
            stage.restore_labels()
            stage.remove_policies()
            pods = self._scope().pods
            display.say(f"Ready: {len(pods)} pods in {', '.join(self.chapter.namespaces)}.")
            self._tell(finding)

    def require(self, *names: str) -> None:
        """See to it that components such as "istio" are in the cluster, and install what is missing. It may take minutes.

        Without a name: those that the chapter needs. Where they are there and work, nothing is changed.
        """
        with self._learner_errors():
            another_network = require(self.cluster, names or self.chapter.requires, display.say)
        if another_network:
            self.network()  # that it is there does not say that it enforces anything

    def network(self) -> None:
        """Say which network the cluster has, and prove anew, with two pods of the lab's own, whether it enforces policies."""
        with self._learner_errors():
            if self._ground.network is None:
                display.say(self.cluster.why)
            else:
                self._tell(self._ground.network.prove(display.say))

    def start(self, step_id: str | None = None) -> Any:
        """Put a step's starting state in force, and show its task. Your own policies of this chapter's namespaces are removed."""
        step = self._step(step_id)
        self._step_in_hand = step.id
        with self._learner_errors():
            self._begin(step)
        return display.task(self.chapter, step, self._progress.step(self.chapter.id, step.id))

    def reset(self, step_id: str | None = None, *, quiet: bool = False) -> None:
        """Put a step back to its beginning: its demo, its policies, and none of yours."""
        step = self._step(step_id)
        with self._learner_errors():
            stage = self._stage()
            stage.take_away_what_was_made(step)
            stage.install()
            stage.restore_labels()
            self._begin(step)
        self._answers.pop(step.id, None)
        self._predictions.pop(step.id, None)
        self._tables.pop(step.id, None)
        if not quiet:
            display.say(f"Step {step.id} is at its beginning again.")

    # -- doing -------------------------------------------------------------------------------------------------------------------

    def apply(self, text: str, source: str = "<yaml>", *, namespace: str | None = None) -> None:
        """Apply YAML as `kubectl apply` does, and say what was created or changed. The %%apply magic calls this."""
        with self._learner_errors():
            done = list(self.cluster.apply(text, source, namespace=namespace))
            display.applied(done, self.cluster.snapshot())

    def predict(self, step_id: str | None = None, said: Mapping[str, str | bool] | None = None) -> Any:
        """Fill in a step's table before you look. In a notebook, click; or give a mapping such as
        {"shop/front -> office/laptop": "allow"}."""
        step = self._step(step_id)
        if step.kind is not Kind.PREDICT:
            raise LearnerError(f"Step {step.id} asks for no prediction.")
        world = self._snapshot()
        asked = cells(self.chapter, step, world)
        kept = self._predictions.setdefault(step.id, {})
        try:
            kept.update(predicted(Scope(world, self.chapter.namespaces), asked, said or {}))
        except ValueError as error:
            raise LearnerError(str(error)) from None
        view = display.prediction(world, asked, kept, lambda view: kept.update(display.predictions_of(view)))
        self._tables[step.id] = view
        return view

    def answer(self, step_id: str, value: Any = "?") -> None:
        """Reply to a step's question: one value, or a list of names."""
        step = self._step(step_id)
        if step.kind is not Kind.ANSWER:
            raise LearnerError(f"Step {step.id} asks no question.")
        given = reply(value)
        self._answers[step.id] = frozenset() if given <= {"?", "..."} else given
        display.say(f"Your answer: {', '.join(sorted(given)) or 'nothing yet'}")

    def check(self, step_id: str | None = None) -> None:
        """Check a step now: what your cluster does, against what the step asks for. A check changes nothing.

        Without a name: the step that was started last; so for `hint` and `reset`.
        """
        step = self._step(step_id)
        panel = display.check_panel(self, step, self._progress.step(self.chapter.id, step.id)["hints"])
        display.run_check_panel(panel)

    def run_check(self, step_id: str, say: display.Say = lambda _: None) -> StepResult:
        """The check itself, as data; `say` is told how it goes on."""
        step = self._step(step_id)
        result = check_step(
            self.chapter,
            step,
            self.cluster,
            self._progress,
            prober=self._ground.probe_once if self.cluster.live else None,
            network=self._ground.network,
            answer=self._answers.get(step.id),
            prediction=self._predictions.get(step.id),
            say=say,
        )
        if (
            step.id in self._tables
            and result.status in (Status.PASS, Status.FAIL)
            and result.reason != "unfinished"
        ):
            self._reveal(step)
        return result

    def hint(self, step_id: str | None = None) -> Any:
        """The next hint of a step. They come one at a time, from a nudge to a manifest with blanks; none costs points."""
        step = self._step(step_id)
        level = min(self._progress.step(self.chapter.id, step.id)["hints"] + 1, len(step.hints))
        self.hints_taken(step.id, level)
        return display.hint(step, level)

    def hints_taken(self, step_id: str, level: int) -> None:
        """Record how many hints of a step are open."""
        self._progress.record(self.chapter.id, step_id, hints=level)

    def solve(self, step_id: str) -> None:
        """Carry out the solution of a step. The solutions lie in the folder `solutions`, if your instructor left them there."""
        step = self._step(step_id)
        folder = root() / "solutions" / self.chapter.id
        manifest_file, code_file = folder / f"{step.id}.yaml", folder / f"{step.id}.py"
        if manifest_file.exists():
            self.apply(manifest_file.read_text(encoding="utf-8"), f"solutions/{step.id}.yaml")
        elif code_file.exists():
            display.say(code_file.read_text(encoding="utf-8"))
        else:
            raise LearnerError(f"There is no solution of {step.id} in {folder}.")

    def progress(self) -> Any:
        """Which steps are done, with their points."""
        return display.progress(
            self.chapter,
            {step.id: self._progress.step(self.chapter.id, step.id) for step in self.chapter.steps},
        )

    # -- looking -----------------------------------------------------------------------------------------------------------------

    def graph(
        self, *, port: int | str | None = None, focus: str | None = None, everything: bool = False
    ) -> Any:
        """Draw who may talk to whom, as the policies say. What differs from the last picture is marked.

        port: only this one. focus: only the connections of one pod. everything: all namespaces, not just this chapter's.
        """
        whole, ports = self._snapshot(everything=True), self._ports(port)
        world = whole if everything else default_namespaces(whole, self.chapter.namespaces)
        if focus is not None and focus not in world.pods:
            raise LearnerError(f"There is no pod {focus}. The pods are: {words_of(world.pods)}.")
        before, self._last_drawn = self._last_drawn, whole
        if before is not None and not everything:
            before = default_namespaces(before, self.chapter.namespaces)
        return display.graph(world, ports, previous=before, focus=focus)

    def table(self, *, port: int | str | None = None, probe: bool = True) -> Any:
        """The truth table: what the policies say and what the cluster did, side by side. Trying takes a few seconds."""
        world = self._snapshot()
        pods = [pod.key for pod in Scope(world, self.chapter.namespaces).pods]
        ports = self._ports(port)
        served = {(pod.key, p.port, p.protocol) for pod in world.pods.values() for p in pod.ports}
        flows = [Flow(a, b, *p) for a in pods for b in pods for p in ports if a != b and (b, *p) in served]
        observed = self._ground.probe(flows) if probe else {}
        if observed:
            self._remark_on_the_network()
        return display.table(world, ports, observed, note="" if self.cluster.live else self.cluster.why)

    def why(self, source: str, destination: str, port: int | str | None = None, protocol: str = "TCP") -> Any:
        """Why a connection is allowed or not: both halves, every policy that had a say, and the line that decided.

        The ends are "namespace/pod", "namespace/label=value", an address or "service:namespace/name". port: by
        default the chapter's first.
        """
        world = self._snapshot(everything=True)
        with self._learner_errors():
            flows = self._one_flow(world, source, destination, port, protocol)
            return display.why([decide(world, flow) for flow in flows])

    def observe(
        self, source: str, destination: str, port: int | str | None = None, protocol: str = "TCP"
    ) -> Any:
        """Try a connection on the cluster, from the source pod itself, and show what came back. Arguments as for `why`."""
        world = self._snapshot(everything=True)
        if not self.cluster.live:
            display.say(self.cluster.why)
            return None
        with self._learner_errors():
            flows = self._one_flow(world, source, destination, port, protocol)
            found = self._ground.probe(flows)
            self._remark_on_the_network()
            return display.observed(found)

    # -- inside ------------------------------------------------------------------------------------------------------------------

    def _step(self, step_id: str | None) -> Step:
        if step_id is None and (step_id := self._step_in_hand) is None:
            raise LearnerError(
                f"Which step? Write its name between the parentheses: {', '.join(s.id for s in self.chapter.steps)}."
            )
        try:
            return self.chapter.step(step_id)
        except KeyError as error:
            raise LearnerError(str(error.args[0])) from None

    def _scope(self) -> Scope:
        return Scope(self.cluster.snapshot(), self.chapter.namespaces)

    def _snapshot(self, everything: bool = False) -> World:
        with self._learner_errors():
            world: World = self.cluster.snapshot()
        if everything:
            return world
        return default_namespaces(world, self.chapter.namespaces)

    def _reveal(self, step: Step) -> None:
        """Show the engine's answer and what the cluster does beside what was predicted."""
        world = self._snapshot()
        finding = self._ground.unenforced
        observed = {} if finding is not None else self._ground.probe(cells(self.chapter, step, world))
        note = refusal(finding) if finding is not None else self.cluster.why
        self._tables[step.id].update(world, observed, observed_note=note)
        self._tables[step.id].reveal()

    def _ports(self, port: int | str | None) -> list[tuple[int, str]]:
        number = None if port is None else self._port(port)
        return [item for item in self.chapter.ports if number in (None, item[0])] or [(number or 0, "TCP")]

    def _port(self, port: int | str | None) -> int:
        try:
            return self.chapter.ports[0][0] if port is None else port_number(port)
        except ValueError as error:
            raise LearnerError(str(error)) from None

    def _one_flow(
        self, world: World, source: str, destination: str, port: int | str | None, protocol: str
    ) -> list[Flow]:
        scope = Scope(world, self.chapter.namespaces)
        try:
            return flows_between(scope, source, destination, self._port(port), protocol)
        except ValueError as error:
            raise LearnerError(str(error)) from None

    def _new_ground(self) -> Ground:
        return Ground(self.cluster, self._progress.path.parent.parent / "networks.json")

    def _tell(self, finding: Finding | None) -> None:
        if finding is not None and finding.open:
            show_notice("Policies cannot be checked on this cluster", whole_message(finding, self.chapter))
        elif finding is not None:
            display.say(told(finding))

    def _remark_on_the_network(self) -> None:
        if (finding := self._ground.unenforced) is not None:
            display.say(
                f"{named(finding)} does not enforce NetworkPolicy; lab.network() says more."
                " What follows is what it did, whatever the policies say."
            )

    def _stage(self) -> Stage:
        return Stage(self.chapter, self.cluster, display.say)

    def _begin(self, step: Step) -> None:
        """Put the step's start in force, and remember it, to tell later whether anything was done."""
        self._stage().begin(step)
        digest = current_digest(self.cluster, self.chapter)
        elsewhere = policies_elsewhere(self.cluster, self.chapter)  # a cluster may have some of its own
        self._progress.record(self.chapter.id, step.id, start_digest=digest, start_elsewhere=elsewhere)

    def _learner_errors(self) -> display.LearnerErrors:
        return display.LearnerErrors(for_learner)
