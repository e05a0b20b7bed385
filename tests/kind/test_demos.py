"""The demos of the chapters run unchanged on real Kubernetes, and answer there as they do on the embedded cluster."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from labkit.cluster import Cluster
from labkit.cluster.images import offline, pinned
from labkit.cluster.providers.pocket import PocketProvider
from labkit.policy import yamlseam
from tests.pocket.running import unsupported

from .conftest import KindCluster

DEMOS = Path(__file__).parents[2] / "clusters" / "demos"
CURL = ["curl", "-s", "-m", "8", "-w", "\n%{http_code} %{content_type} %{redirect_url}"]


@dataclass(frozen=True)
class Question:
    """A command in a pod of a demo. {ip:NAMESPACE/NAME} in it is that pod's address. `body`: whether the text must agree, too."""

    source: str
    words: tuple[str, ...]
    body: bool = True

    def __str__(self) -> str:
        return f"{self.source}: {' '.join(self.words[-1:])}"


def get(source: str, address: str, *, body: bool = True) -> Question:
    return Question(source, (*CURL, address), body)


def connect(source: str, where: str) -> Question:
    return Question(source, ("/agnhost", "connect", where, "--timeout=3s"))


AGNHOST = ("/hostname", "/healthz", "/echo?msg=hello", "/echo?msg=gone&code=404", "/no-such-page")
CLIENTS = (
    "helidon/frontend",
    "helidon/batch",
    "myproject/frontend",
    "myproject/reports",
    "other/frontend",
    "other/stranger",
)
QUESTIONS = {
    "bookshop": [
        *(get("office/laptop", f"http://front.shop{path}") for path in AGNHOST),
        *(get("shop/front", f"http://catalog.shop{path}") for path in AGNHOST[1:]),
        get("shop/front", "http://{ip:office/laptop}:8080/hostname"),
        get("shop/front", "http://catalog/healthz"),
        get("office/laptop", "http://catalog/healthz"),  # a name of another namespace
        connect("office/laptop", "front.shop:80"),
        connect("office/laptop", "{ip:shop/front}:81"),
        connect("office/laptop", "no-such-name.shop:80"),
    ],
    "helidon": [
        *(get(client, "http://helidon.helidon/hostname") for client in CLIENTS),
        *(get(client, "http://{ip:helidon/helidon}:9090/hostname") for client in CLIENTS[:2]),
        connect("other/stranger", "{ip:helidon/helidon}:9090"),
    ],
    "wordpress": [
        get("street/visitor", "http://wordpress.blog/", body=False),
        get("street/visitor", "http://wordpress.blog/wp-admin/install.php", body=False),
        get("blog/backup", "http://wordpress/", body=False),
        connect("blog/backup", "wordpress-mysql:3306"),
        connect("street/visitor", "wordpress-mysql.blog:3306"),
        connect("street/visitor", "wordpress-mysql.blog:80"),
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def pocket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if why := unsupported():
        pytest.skip(why)
    provider = PocketProvider(tmp_path_factory.mktemp("pocket"))
    try:
        found = provider.create("demos")
        cluster = Cluster.connect(found.kubeconfig, found.context)
        yield cluster
        cluster.close()
    finally:
        provider.delete("demos")


@pytest.fixture(scope="module")
def kind(kind_cluster: KindCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The session's cluster with stand-ins for what it lacks; the demos' namespaces go afterwards, if they came with us."""
    before = {found["metadata"]["name"] for found in kind_cluster.cluster.list("namespaces")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        offline.provide(kind_cluster.kind_name)
    yield kind_cluster.cluster
    namespaces = {
        obj["metadata"]["name"]
        for path in DEMOS.glob("*/*.yaml")
        for obj in yamlseam.load_plain(path.read_text())
        if obj["kind"] == "Namespace"
    } - before
    for name in namespaces:
        kind_cluster.cluster.delete("namespaces", name, wait=None)
    for name in namespaces:
        kind_cluster.cluster.wait("namespaces", name, condition="gone", timeout=120)


@pytest.mark.parametrize("demo", sorted(QUESTIONS))
def test_a_demo_answers_alike_on_both_clusters(demo: str, kind: Cluster, pocket: Cluster) -> None:
    text = (DEMOS / demo / f"{demo}.yaml").read_text()
    for cluster in (pocket, kind):
        cluster.apply(pinned(text, cluster), f"{demo}.yaml")
    for cluster in (pocket, kind):
        cluster.wait_ready(text, timeout=120)
    different = [words for question in QUESTIONS[demo] if (words := _difference(question, pocket, kind))]
    assert not different, "\n".join(different)
    again = kind.apply(pinned(text, kind), f"{demo}.yaml")
    assert {applied.action for applied in again} == {"unchanged"}


def test_the_list_of_demos_is_whole() -> None:
    assert set(QUESTIONS) == {path.parent.name for path in DEMOS.glob("*/*.yaml")}


def _difference(question: Question, pocket: Cluster, kind: Cluster, patience: float = 20.0) -> str:
    """How the answers differ; "" when they do not. A node's proxy learns of a ready pod a moment later; no event says when."""
    deadline = time.monotonic() + patience
    while True:
        ours, theirs = _ask(pocket, question), _ask(kind, question)
        if ours == theirs:
            return ""
        if time.monotonic() > deadline:
            return f"{question}\n  pocket: {ours!r}\n  kind:   {theirs!r}"
        time.sleep(0.5)


def _ask(cluster: Cluster, question: Question) -> str:
    """Exit code and output, with the pods' addresses as their names."""
    addresses = {
        f"{pod['metadata']['namespace']}/{pod['metadata']['name']}": str(pod["status"].get("podIP", ""))
        for pod in cluster.list("pods")
    }
    words = [re.sub(r"\{ip:([^}]+)\}", lambda match: addresses[match[1]], word) for word in question.words]
    namespace, _, name = question.source.partition("/")
    done = cluster.exec(namespace, name, words, timeout=30)
    text = done.stdout if question.body else done.stdout.rpartition("\n")[2]
    text = re.sub(r"NOW: .*", "NOW: (a time)", text + done.stderr)
    for pod, address in addresses.items():
        text = text.replace(address, pod) if address else text
    return f"{done.exit_code} {text.strip()}"
