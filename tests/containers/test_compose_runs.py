"""docker-compose.yml as it is, brought up by podman-compose with the images of compose.yaml."""

import json
import ssl
import urllib.parse
import urllib.request

import pytest
from conftest import STAND_INS
from podman import ROOT, ask, eventually

FILES = ["--file", "docker-compose.yml", "--file", "tests/containers/compose.yaml"]
PROJECT = "tagsweep-demo"
WORKERS = [f"{PROJECT}_tagsweep_1", f"{PROJECT}_tagsweep_2"]


def compose(podman, *arguments):
    return podman.run("podman-compose", "--project-name", PROJECT, *FILES, *arguments)


@pytest.fixture(scope="module")
def demo(podman, images):
    """The demo, up and healthy."""
    compose(podman, "build")
    try:
        compose(podman, "up", "--detach")
        for service in ("rabbitmq", "im-simulator", "prometheus"):
            container = f"{PROJECT}_{service}_1"
            eventually(f"{service} is healthy", lambda container=container: podman.healthy(container))
        for worker in WORKERS:
            eventually(f"{worker} is healthy", lambda worker=worker: podman.healthy(worker))
        yield podman
    finally:
        compose(podman, "--profile", "demo", "down", "--volumes")


def cleared(podman):
    """Users that the simulator cleared."""
    unverified = ssl._create_unverified_context()
    url = f"https://{podman.address(f'{PROJECT}_im-simulator_1')}:8443/_sim/stats"
    with urllib.request.urlopen(url, timeout=10, context=unverified) as answer:
        return json.load(answer)["distinct_users_cleared"]


def publish(podman):
    """A thousand users, each of whom is another one for the simulator only the first time."""
    compose(podman, "--profile", "demo", "up", "--detach", "publisher")
    container = f"{PROJECT}_publisher_1"
    code = podman("wait", container)
    assert code == "0", podman.logs(container)
    podman("rm", container)


def states(podman):
    """Which worker is in which state, by what each says itself."""
    found = {}
    for worker in WORKERS:
        status, text = ask(f"http://{podman.address(worker)}:9464/metrics")
        if status == 200:
            lines = [line for line in text.splitlines() if line.startswith("tagsweep_state{") and line.endswith(" 1")]
            found[worker] = [line.split('"')[1] for line in lines]
    return found


def consuming(podman):
    return [worker for worker, state in states(podman).items() if "consuming" in state]


def settled(podman):
    """Whether the queues are empty: everything is acknowledged, and nothing is a dead letter."""
    left = podman("exec", f"{PROJECT}_rabbitmq_1", "rabbitmqctl", "-q", "list_queues", "name", "messages")
    return all(line.endswith("\t0") for line in left.splitlines() if line.startswith("tagsweep."))


def test_the_demo_clears_its_users_and_prometheus_sees_both_workers(demo):
    publish(demo)
    eventually("all users are cleared", lambda: cleared(demo) == 1000)
    eventually("all is acknowledged and no letter is there", lambda: settled(demo))
    prometheus = f"http://{demo.address(f'{PROJECT}_prometheus_1')}:9090/api/v1/query?"

    def value(query):
        _, text = ask(prometheus + urllib.parse.urlencode({"query": query}))
        result = json.loads(text)["data"]["result"]
        return float(result[0]["value"][1]) if result else None

    eventually("both workers are scraped", lambda: value('sum(up{job="tagsweep"})') == 2)
    eventually("what they did is seen", lambda: value('sum(tagsweep_users_total{outcome="cleared"})') >= 1000)
    status, text = ask(prometheus.replace("query?", "rules"))
    assert status == 200 and "TagsweepPaused" in text, "the alert rules are loaded"


def test_the_standby_takes_over_when_the_active_worker_is_killed_and_it_comes_back(demo):
    publish(demo)
    (active,) = eventually("one works", lambda: consuming(demo))
    killed = demo.inspect(active)["State"]["Pid"]
    # As the machine would: podman itself would take it for the wish of its user, and not start it again.
    demo.run("kill", "-KILL", killed)
    # Which of the two works shows only in a delivery.
    publish(demo)
    eventually("all is acknowledged", lambda: settled(demo))
    assert consuming(demo) == [worker for worker in WORKERS if worker != active]
    eventually("it is back", lambda: demo.inspect(active)["State"]["Pid"] not in (0, killed) and demo.healthy(active))


def test_workers_stop_in_good_order_within_their_grace_period(demo):
    compose(demo, "stop", "tagsweep")
    for worker in WORKERS:
        state = demo.inspect(worker)["State"]
        assert state["ExitCode"] == 0, demo.logs(worker)


def test_only_images_and_ports_are_not_those_of_the_demo():
    """Else another file than the one that users have would be tested."""
    import yaml

    laid_over = yaml.safe_load((ROOT / "tests/containers/compose.yaml").read_text().replace("!override ", ""))
    for service, keys in laid_over["services"].items():
        assert keys.keys() <= {"image", "ports", "build", "profiles"}
        assert "profiles" not in keys or service == "grafana"
        assert keys.get("build", {"args": STAND_INS}) == {"args": STAND_INS}
