"""One container of a pod on this node: provide the image, start, watch over, restart with back-off, stop.

The reasons, messages and events are those of pkg/kubelet/kuberuntime and pkg/kubelet/images.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from labkit.pocket import images
from labkit.pocket.node import containerspec, environment, pulling
from labkit.pocket.node.backoff import Backoff, go_duration
from labkit.pocket.node.containerspec import Place
from labkit.pocket.node.context import Context, pod_log_folder
from labkit.pocket.node.hooks import run_hook
from labkit.pocket.node.logs import LogFile
from labkit.pocket.node.podstatus import ContainerRecord, State, now, waiting
from labkit.pocket.node.probing import Prober
from labkit.pocket.node.processes import Process, read
from labkit.pocket.node.sessions import Attachment
from labkit.pocket.node.spawner import StartError
from labkit.pocket.node.spec import ProcessSpec
from labkit.pocket.node.volumes import VolumeError

log = logging.getLogger(__name__)

_CONFIG_RETRY = 2.0  # seconds until a missing ConfigMap or Secret is looked for again
_START_FAILED = 128
_SECONDS_AFTER_KILL = 5.0
_CREATE_FAILED = (
    "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "
    "unable to start container process: "
)


class Container:
    """A container's life across its restarts. `changed` is called whenever its record is.

    `other` finds the pod's other containers, for an ephemeral one that targets one of them.
    """

    def __init__(
        self,
        context: Context,
        pod: Callable[[], Mapping[str, Any]],
        spec: Mapping[str, Any],
        record: ContainerRecord,
        place: Place,
        changed: Callable[[], None],
        other: Callable[[str], Container | None] = lambda _: None,
    ) -> None:
        self._other = other
        self.context = context
        self._pod = pod
        self.spec = spec
        self.record = record
        self.name: str = spec["name"]
        self.place = place
        self.address = place.address
        self.changed = changed
        self.process: Process | None = None
        self.process_spec: ProcessSpec | None = None
        self.log: LogFile | None = None
        self.started = asyncio.Event()  # runs, and its startup probe (if any) has succeeded
        self._attached: set[Attachment] = set()
        self._backoff = Backoff()
        self._stopping = False
        self._stop_lock = asyncio.Lock()

    @property
    def pod(self) -> Mapping[str, Any]:
        """The Pod object as it is now."""
        return self._pod()

    @property
    def log_folder(self) -> Path:
        """Where the logs of its starts are."""
        return log_folder(self.context, self.pod, self.name)

    def event(self, kind: str, reason: str, message: str) -> None:
        """Record an event about this container."""
        self.context.event(self.pod, kind, reason, message, self.name)

    # ---- life ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run it, and again as the restart policy says, until it has ended for good or `stop` is called."""
        while not self.record.finished and not self._stopping:
            image = await self._provide()
            if not await self._wait_back_off():
                return
            await self._one_run(image)
            if not self._stopping and not self._again():
                self.record.finished = True
            self.changed()

    def _again(self) -> bool:
        if self.record.ephemeral:
            return False
        policy = "Always" if self.record.sidecar else self.pod["spec"].get("restartPolicy", "Always")
        if self.record.init and not self.record.sidecar:
            # An init container that has succeeded is done; one that failed is tried again unless Never.
            return policy != "Never" and self.record.exit_code != 0
        return policy == "Always" or (policy == "OnFailure" and self.record.exit_code != 0)

    async def _provide(self) -> images.Image:
        image = await pulling.provide(self.spec, self.event, self._wait_state)
        self.record.image_id = f"stand-in/{image.name}"
        return image

    async def _wait_back_off(self) -> bool:
        """Wait before a restart as long as upstream would; False when the container is not to start any more."""
        ended = self.record.state.get("terminated")
        if ended is None:
            return not self._stopping
        left = self._backoff.wait(self._ended_at, time.monotonic())
        if left > 0:
            meta = self.pod["metadata"]
            about = f"pod={meta['name']}_{meta['namespace']}({meta['uid']})"
            self.event(
                "Warning", "BackOff",
                f"Back-off restarting failed container {self.name} in pod {meta['name']}_{meta['namespace']}({meta['uid']})",
            )  # fmt: skip
            self.record.last_state = self.record.state
            self._wait_state(
                "CrashLoopBackOff",
                f"back-off {go_duration(self._backoff.delay)} restarting failed container={self.name} {about}",
            )
            await asyncio.sleep(left)
        self._backoff.tried(time.monotonic())
        return not self._stopping

    _ended_at = 0.0

    def _wait_state(self, reason: str, message: str = "") -> None:
        self.record.state = waiting(reason, message)
        self.changed()

    async def _one_run(self, image: images.Image) -> None:
        spec = await self._configure(image)
        if "terminated" in self.record.state:
            self.record.last_state = self.record.state
        if self.record.container_id:
            self.record.restarts += 1
        self.record.container_id = f"pocket://{secrets.token_hex(32)}"
        number = self.record.restarts
        log_file = self.log = LogFile(self.log_folder, number)
        self.event("Normal", "Created", f"Created container: {self.name}")
        began = now()
        try:
            process = await self.context.spawner.container(
                self.pod["metadata"]["uid"], spec, stdin=bool(self.spec.get("stdin")), beside=self._target()
            )
        except StartError as problem:
            message = _CREATE_FAILED + f"{problem}: unknown"
            self.event("Warning", "Failed", f"Error: {message}")
            log_file.close()
            self._ended(_START_FAILED, "StartError", began="1970-01-01T00:00:00Z", message=message)
            return
        self.process, self.process_spec = process, spec
        self.record.state = {"running": {"startedAt": began}}
        pumps = [asyncio.create_task(self._pump(process, name)) for name in ("stdout", "stderr")]
        self.event("Normal", "Started", f"Started container {self.name}")
        prober = Prober(self)
        prober.start()
        self.changed()
        try:
            if not await self._after_start():
                await self.kill(self._grace())
            code = await process.wait()
            await asyncio.wait(pumps, timeout=2)
        finally:
            prober.stop()
            self.process = None
            process.signal(signal.SIGKILL)
            for pump in pumps:
                pump.cancel()
            process.release()
            log_file.close()
            self.record.ready = self.record.started = False
            self.started.clear()
        self._ended(code, "Completed" if code == 0 else "Error", began=began, message=self._last_words(code))

    def _ended(self, code: int, reason: str, *, began: str, message: str = "") -> None:
        ended: dict[str, Any] = {"exitCode": code, "reason": reason}
        if message:
            ended["message"] = message
        ended |= {"startedAt": began, "finishedAt": now(), "containerID": self.record.container_id}
        self.record.state = {"terminated": ended}
        self._ended_at = time.monotonic()
        self.changed()

    # ---- starting ------------------------------------------------------------------------------------------

    async def _configure(self, image: images.Image) -> ProcessSpec:
        """What to start; waits while something that it refers to does not exist."""
        told = ""
        while True:
            try:
                return containerspec.process(self.context, self.pod, self.spec, image, self.place)
            except (environment.ConfigError, VolumeError) as problem:
                if told != str(problem):
                    told = str(problem)
                    before: State = self.record.state
                    if "terminated" in before:
                        self.record.last_state = before
                    self.event("Warning", "Failed", f"Error: {problem}")
                    self._wait_state("CreateContainerConfigError", told)
            await asyncio.sleep(_CONFIG_RETRY)

    def _target(self) -> Process | None:
        """The process whose PID namespace an ephemeral container shares. Raises StartError when it does not run."""
        name = self.spec.get("targetContainerName")
        if not name:
            return None
        other = self._other(name)
        if other is None or other.process is None or other.process.ended:
            raise StartError(f"unable to find target container {name}")
        return other.process

    def _last_words(self, code: int) -> str:
        log_path = self.log.path if self.log is not None else None
        return containerspec.termination_message(self.spec, self.place, code, log_path)

    async def _pump(self, process: Process, stream: str) -> None:
        """Copy output to the log and to whoever is attached."""
        reader = process.stdout if stream == "stdout" else process.stderr
        while True:
            data = await read(reader)
            if data and self.log is not None:
                self.log.write(stream, data)
            for attachment in list(self._attached):
                await attachment.feed(stream, data)
            if not data:
                return

    async def _after_start(self) -> bool:
        """The postStart hook; False when it failed, which ends the container."""
        hook = (self.spec.get("lifecycle") or {}).get("postStart")
        if not hook:
            return True
        problem = await run_hook(hook, self.spec, self.address, self.run_command)
        if problem:
            self.event("Warning", "FailedPostStartHook", f"PostStartHook failed: {problem}")
        return not problem

    # ---- what others ask of it -----------------------------------------------------------------------------

    def attach(self, *, stdin: bool, missed: bytes = b"") -> Attachment | None:
        """Join its streams, beginning with what was `missed`; None when it does not run."""
        if self.process is None:
            return None
        attachment = Attachment(self.process, stdin=stdin, detach=self._detached, missed=missed)
        self._attached.add(attachment)
        return attachment

    def _detached(self, attachment: Attachment) -> None:
        self._attached.discard(attachment)
        if attachment.stdin and self.spec.get("stdinOnce"):
            attachment.close_stdin()  # nobody can give it input any more: upstream ends it after the first client

    async def exec(self, command: list[str], *, stdin: bool = False, tty: bool = False) -> Process | None:
        """Start another process in it; None when it does not run. Raises StartError."""
        if self.process is None or self.process_spec is None or self.process.ended:
            return None
        env = dict(self.process_spec.env)
        if tty:
            env["TERM"] = "xterm"
        spec = ProcessSpec(
            tuple(command), env, self.process_spec.image, self.process_spec.working_dir, tty,
            self.process_spec.capabilities,
        )  # fmt: skip
        return await self.context.spawner.exec(self.process, spec, stdin=stdin)

    async def run_command(self, command: list[str]) -> tuple[int, str]:
        """Run a command to its end, for probes and hooks: exit code and output. Raises StartError, OSError."""
        process = await self.exec(command)
        if process is None:
            raise OSError("container is not running")
        try:
            out, err = await asyncio.gather(_read_all(process.stdout), _read_all(process.stderr))
            return await process.wait(), (out + err).decode("utf-8", "replace")
        finally:
            process.signal(signal.SIGKILL)
            process.release()

    async def stop(self, grace: float) -> None:
        """End it for good: preStop hook, SIGTERM, after `grace` seconds SIGKILL. May be called again with less."""
        self._stopping = True
        await self.kill(grace)

    async def kill(self, grace: float) -> None:
        """End the process that runs now."""
        process = self.process
        if process is None:
            return
        deadline = time.monotonic() + grace
        hook = (self.spec.get("lifecycle") or {}).get("preStop")
        if hook and grace > 0 and not self._stop_lock.locked():
            async with self._stop_lock:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(grace):
                        problem = await run_hook(hook, self.spec, self.address, self.run_command)
                        if problem:
                            self.event("Warning", "FailedPreStopHook", f"PreStopHook failed: {problem}")
        if grace > 0:
            process.signal(signal.SIGTERM)
            # Upstream gives two seconds even when the hook has used up the time.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), max(2.0, deadline - time.monotonic()))
        process.signal(signal.SIGKILL)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _SECONDS_AFTER_KILL)

    async def fail_liveness(self, what: str, grace: float | None) -> None:
        """A liveness or startup probe has failed for good: end this run; the restart policy decides what follows."""
        self.event("Normal", "Killing", f"Container {self.name} failed {what} probe, will be restarted")
        await self.kill(self._grace() if grace is None else grace)

    def _grace(self) -> float:
        return float(self.pod["spec"].get("terminationGracePeriodSeconds", 30))


def log_folder(context: Context, pod: Mapping[str, Any], container: str) -> Path:
    """Where the logs of a container's starts are."""
    return pod_log_folder(context.logs, pod) / container


async def _read_all(reader: asyncio.StreamReader | None) -> bytes:
    parts = []
    while data := await read(reader):
        parts.append(data)
    return b"".join(parts)
