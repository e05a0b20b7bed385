"""What a container finds around it, and what becomes of it, on a running pocket cluster."""

from __future__ import annotations

import time

import pytest

from tests.pocket.running import Room, reason_of, state_of

pytestmark = pytest.mark.cluster

PATCH = '[{"op": "replace", "path": "/data/a", "value": "changed"}, {"op": "remove", "path": "/data/b"}]'
SLEEP = {"image": "busybox", "command": ["sleep", "1000"]}


def test_the_machine_is_out_of_sight(room: Room) -> None:
    room.pod("inside", SLEEP)
    room.ready("inside")

    seen = room.run("inside", "ls -A /home /root; ls /; cat /proc/1/comm; ps -e | wc -l")
    assert str(room.cluster.home) not in room.run("inside", "cat /proc/self/mountinfo; env")
    assert room.kubectl("exec", "inside", "--", "ls", str(room.cluster.home), check=False).returncode != 0
    assert "init" in seen
    assert int(seen.split()[-1]) < 10  # only its own processes
    assert room.kubectl("exec", "inside", "--", "touch", "/usr/bin/x", check=False).returncode != 0
    assert ".bashrc" not in seen


def test_a_container_cannot_change_its_network(room: Room) -> None:
    room.pod("inside", SLEEP)
    room.ready("inside")

    capabilities = int(room.run("inside", "grep CapEff /proc/self/status").split()[1], 16)

    assert not capabilities & 1 << 12  # NET_ADMIN
    assert not capabilities & 1 << 21  # SYS_ADMIN
    assert capabilities & 1 << 13  # NET_RAW, as by default


def test_files_can_be_written_where_an_image_lets_one_write(room: Room) -> None:
    room.pod("inside", SLEEP)
    room.ready("inside")

    room.run(
        "inside",
        "for d in /tmp /root /var/log /run /etc /opt /usr/local/bin; do echo x > $d/file || exit 1; done",
    )


def test_environment_from_everywhere(room: Room) -> None:
    room.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "settings"},
            "data": {"colour": "blue", "size": "9"},
        },
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "password"},
            "stringData": {"word": "sesame"},
        },
    )
    container = {
        **SLEEP,
        "envFrom": [{"configMapRef": {"name": "settings"}, "prefix": "SET_"}],
        "env": [
            {"name": "PLAIN", "value": "1"},
            {"name": "MADE_OF", "value": "$(PLAIN)-$(SET_size)-$(NOBODY)-$$(PLAIN)"},
            {"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "password", "key": "word"}}},
            {"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "colour"}}},
            {"name": "WHERE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
            {"name": "ADDRESS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        ],
        "workingDir": "/srv/here",
    }
    room.pod("inside", container)
    room.ready("inside")

    env = dict(line.partition("=")[::2] for line in room.run("inside", "env").splitlines())
    address = room.get("pod", "inside")["status"]["podIP"]
    assert env["SET_colour"] == env["COLOUR"] == "blue"
    assert env["MADE_OF"] == "1-9-$(NOBODY)-$(PLAIN)"
    assert (env["WORD"], env["WHERE"], env["ADDRESS"]) == ("sesame", room.namespace, address)
    assert env["KUBERNETES_SERVICE_HOST"] == "10.96.0.1"
    assert env["PWD"] == "/srv/here"


def test_a_missing_config_map_holds_the_container_back_until_it_comes(room: Room) -> None:
    room.pod("waits", {**SLEEP, "envFrom": [{"configMapRef": {"name": "later"}}]})
    pod = room.until("waits", lambda pod: reason_of(pod) == "CreateContainerConfigError")
    assert state_of(pod)["waiting"]["message"] == 'configmap "later" not found'

    room.kubectl("create", "configmap", "later", "--from-literal=a=b")

    room.ready("waits")
    assert room.run("waits", "echo $a") == "b\n"


def test_volumes_of_every_kind_are_files(room: Room) -> None:
    room.kubectl("create", "configmap", "page", "--from-literal=index.html=hello")
    room.kubectl("create", "secret", "generic", "key", "--from-literal=word=sesame")
    volumes = [
        {"name": "page", "configMap": {"name": "page"}},
        {"name": "key", "secret": {"secretName": "key", "defaultMode": 0o400}},
        {"name": "shared", "emptyDir": {}},
        {
            "name": "about",
            "downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]},
        },
        {
            "name": "all",
            "projected": {"sources": [{"configMap": {"name": "page"}}, {"secret": {"name": "key"}}]},
        },
    ]
    mounts = [{"name": v["name"], "mountPath": f"/volumes/{v['name']}"} for v in volumes]
    mounts.append({"name": "page", "mountPath": "/etc/one.html", "subPath": "index.html"})
    second = {"name": "d", **SLEEP, "volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}
    first = {"name": "c", **SLEEP, "volumeMounts": mounts}
    room.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "files"},
            "spec": {"containers": [first, second], "volumes": volumes},
        }
    )
    room.ready("files")

    seen = room.run(
        "files", "cd /volumes; cat page/index.html key/word about/name all/index.html all/word /etc/one.html"
    )
    assert seen == "hello" + "sesame" + "files" + "hello" + "sesame" + "hello"
    room.run("files", "echo both > /volumes/shared/note")
    assert room.out("exec", "files", "-c", "d", "--", "cat", "/shared/note") == "both\n"


def test_a_volume_follows_its_config_map(room: Room) -> None:
    room.kubectl("create", "configmap", "page", "--from-literal=a=one", "--from-literal=b=two")
    mount = {"volumeMounts": [{"name": "page", "mountPath": "/page"}]}
    room.pod("reader", {**SLEEP, **mount}, volumes=[{"name": "page", "configMap": {"name": "page"}}])
    room.ready("reader")
    assert room.run("reader", "cat /page/*") == "onetwo"

    room.kubectl("patch", "configmap", "page", "--type=json", "-p", PATCH)

    assert room.run("reader", "cd /page; echo *; cat a") == "a\nchanged"


def test_containers_of_a_pod_share_the_network(room: Room) -> None:
    server = {"name": "c", "image": "agnhost", "args": ["netexec", "--http-port=8080"]}
    room.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "two"},
            "spec": {"containers": [server, {"name": "d", **SLEEP}]},
        }
    )
    room.ready("two")

    assert room.out("exec", "two", "-c", "d", "--", "wget", "-qO-", "http://127.0.0.1:8080/hostname") == "two"


def test_init_containers_run_in_order_and_before_the_others(room: Room) -> None:
    shared = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    init = [
        {"name": "one", "image": "busybox", "command": ["sh", "-c", "echo one >> /v/log"], **shared},
        {"name": "two", "image": "busybox", "command": ["sh", "-c", "echo two >> /v/log"], **shared},
    ]
    room.pod("ordered", {**SLEEP, **shared}, initContainers=init, volumes=[{"name": "v", "emptyDir": {}}])
    room.ready("ordered")

    assert room.run("ordered", "cat /v/log") == "one\ntwo\n"
    statuses = room.get("pod", "ordered")["status"]["initContainerStatuses"]
    assert [s["state"]["terminated"]["reason"] for s in statuses] == ["Completed", "Completed"]


def test_a_sidecar_runs_beside_and_a_failing_init_container_fails_the_pod(room: Room) -> None:
    sidecar = {"name": "side", **SLEEP, "restartPolicy": "Always"}
    done = {"image": "busybox", "command": ["true"]}
    room.pod("job", done, initContainers=[sidecar], restartPolicy="Never")
    room.pod(
        "broken",
        done,
        initContainers=[{"name": "bad", "image": "busybox", "command": ["false"]}],
        restartPolicy="Never",
    )

    room.until("job", lambda pod: pod["status"].get("phase") == "Succeeded")
    room.until("broken", lambda pod: pod["status"].get("phase") == "Failed")


@pytest.mark.parametrize(
    ("policy", "command", "phase"),
    [("Never", "true", "Succeeded"), ("Never", "false", "Failed"), ("OnFailure", "true", "Succeeded")],
)
def test_the_restart_policy_decides_how_a_pod_ends(room: Room, policy: str, command: str, phase: str) -> None:
    room.pod("ends", {"image": "busybox", "command": [command]}, restartPolicy=policy)

    pod = room.until("ends", lambda pod: pod["status"].get("phase") == phase)

    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
    ready = next(c for c in pod["status"]["conditions"] if c["type"] == "Ready")
    assert ready["status"] == "False"


def test_a_crashing_container_is_restarted_at_once_and_then_with_back_off(room: Room) -> None:
    room.pod("crash", {"image": "busybox", "command": ["sh", "-c", "echo dying; exit 3"]})

    pod = room.until("crash", lambda pod: reason_of(pod) == "CrashLoopBackOff")

    status = pod["status"]["containerStatuses"][0]
    assert status["lastState"]["terminated"]["exitCode"] == 3
    assert status["restartCount"] == 1
    assert status["state"]["waiting"]["message"].startswith(
        "back-off 10s restarting failed container=c pod=crash_"
    )
    assert room.out("logs", "crash", "--previous") == "dying\n"
    assert "BackOff" in dict(room.events("crash"))


def test_an_unknown_image_gives_the_real_symptom_and_names_the_known_ones(room: Room) -> None:
    room.pod("pull", {"image": "example/nobody-has-this:1"})

    room.until("pull", lambda pod: reason_of(pod) == "ErrImagePull")
    pod = room.until("pull", lambda pod: reason_of(pod) == "ImagePullBackOff")

    assert "Back-off pulling image" in state_of(pod)["waiting"]["message"]
    failures = [message for reason, message in room.events("pull") if reason == "Failed"]
    assert any("nginx" in message and "busybox" in message for message in failures)
    done = room.kubectl("logs", "pull", check=False)
    assert "is waiting to start: trying and failing to pull image" in done.stderr


def test_a_command_that_does_not_exist_is_a_start_error(room: Room) -> None:
    room.pod("typo", {"image": "busybox", "command": ["slep", "1"]})

    pod = room.until(
        "typo",
        lambda pod: (
            "lastState" in pod["status"]["containerStatuses"][0] and reason_of(pod) == "CrashLoopBackOff"
        ),
    )

    ended = pod["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("StartError", 128)
    assert 'exec: "slep": executable file not found in $PATH' in ended["message"]


def test_readiness_follows_the_probe(room: Room) -> None:
    probe = {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1}
    room.pod("probed", {**SLEEP, "readinessProbe": probe})
    room.until("probed", lambda pod: "running" in state_of(pod))
    assert not room.get("pod", "probed")["status"]["containerStatuses"][0]["ready"]

    room.run("probed", "touch /tmp/ready")
    room.ready("probed")
    room.run("probed", "rm /tmp/ready")

    room.until("probed", lambda pod: not pod["status"]["containerStatuses"][0]["ready"])
    assert any(
        reason == "Unhealthy" and message.startswith("Readiness probe failed")
        for reason, message in room.events("probed")
    )


def test_probes_come_from_the_node_and_pass_a_policy_that_denies_all(room: Room) -> None:
    deny = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    room.apply(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "deny"},
            "spec": deny,
        }
    )
    web = {
        "args": ["netexec", "--http-port=80"],
        "readinessProbe": {"httpGet": {"path": "/hostname", "port": 80}},
    }
    room.pod("web", web)

    room.ready("web")

    assert "GET /hostname" in room.out("logs", "web")


def test_a_failing_liveness_probe_restarts_the_container(room: Room) -> None:
    probe = {"httpGet": {"path": "/", "port": 1}, "periodSeconds": 1, "failureThreshold": 1}
    room.pod("sick", {**SLEEP, "livenessProbe": probe}, terminationGracePeriodSeconds=1)

    room.until(
        "sick", lambda pod: pod["status"].get("containerStatuses", [{}])[0].get("restartCount", 0) >= 1
    )

    events = room.events("sick")
    assert ("Killing", "Container c failed liveness probe, will be restarted") in events
    assert any(
        "connect: connection refused" in message for reason, message in events if reason == "Unhealthy"
    )


def test_a_startup_probe_holds_the_others_back(room: Room) -> None:
    startup = {
        "exec": {"command": ["test", "-e", "/tmp/started"]},
        "periodSeconds": 1,
        "failureThreshold": 30,
    }
    liveness = {
        "exec": {"command": ["test", "-e", "/tmp/started"]},
        "periodSeconds": 1,
        "failureThreshold": 1,
    }
    room.pod("slow", {**SLEEP, "startupProbe": startup, "livenessProbe": liveness})
    room.until("slow", lambda pod: "running" in state_of(pod))
    assert not room.get("pod", "slow")["status"]["containerStatuses"][0]["started"]

    room.run("slow", "touch /tmp/started")

    room.ready("slow")
    assert room.get("pod", "slow")["status"]["containerStatuses"][0]["restartCount"] == 0


def test_hooks_run_at_both_ends(room: Room) -> None:
    hooks = {
        "postStart": {"exec": {"command": ["sh", "-c", "echo began > /tmp/log"]}},
        "preStop": {"exec": {"command": ["sleep", "1.5"]}},
    }
    room.pod("hooked", {**SLEEP, "lifecycle": hooks})
    room.ready("hooked")
    assert room.run("hooked", "cat /tmp/log") == "began\n"

    began = time.monotonic()
    room.kubectl("delete", "pod", "hooked")

    assert 1.5 <= time.monotonic() - began < 6


def test_the_last_words_of_a_container_are_in_its_status(room: Room) -> None:
    room.pod(
        "ends",
        {"image": "busybox", "command": ["sh", "-c", "echo goodbye > /dev/termination-log; exit 1"]},
        restartPolicy="Never",
    )

    pod = room.until("ends", lambda pod: "terminated" in state_of(pod))

    assert state_of(pod)["terminated"]["message"] == "goodbye\n"


def test_host_names_and_hosts_files_are_as_a_kubelet_writes_them(room: Room) -> None:
    room.pod(
        "named",
        SLEEP,
        hostname="other",
        hostAliases=[{"ip": "10.1.2.3", "hostnames": ["a.example", "b.example"]}],
    )
    room.ready("named")

    address = room.get("pod", "named")["status"]["podIP"]
    assert room.run("named", "hostname") == "other\n"
    hosts = room.run("named", "cat /etc/hosts")
    assert f"{address}\tother\n" in hosts
    assert "10.1.2.3\ta.example\tb.example\n" in hosts
    assert f"search {room.namespace}.svc.cluster.local svc.cluster.local cluster.local\n" in room.run(
        "named", "cat /etc/resolv.conf"
    )


def test_a_claim_is_an_empty_directory_and_an_event_says_so(room: Room) -> None:
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "mysql"}}]
    room.pod("stores", {**SLEEP, "volumeMounts": [{"name": "data", "mountPath": "/data"}]}, volumes=volumes)
    room.ready("stores")

    room.run("stores", "echo kept > /data/file")
    assert any(reason == "NoPersistentStorage" for reason, _ in room.events("stores"))
