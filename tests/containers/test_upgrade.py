"""An upgrade and its rollback with events in flight: two versions of the worker on one queue."""

import json
import os
import pathlib
import ssl
import urllib.request

import pytest
from broker import Broker
from podman import ask, eventually

NETWORK = "upgrade"
EARLIER = pathlib.Path(os.environ["TAGSWEEP_EARLIER"])
# Enough for the workers to be busy while they are replaced: half a minute at this quota.
USERS = 6_000
CALLS_PER_SECOND = "2"


@pytest.fixture(scope="module")
def stage(podman, images, tmp_path_factory):
    podman("network", "create", NETWORK)
    stage = Stage(podman, tmp_path_factory.mktemp("upgrade"))
    yield stage
    for worker in stage.started:
        podman.run("podman", "rm", "--force", "--time", "0", worker, check=False)
    podman("rm", "--force", "--time", "0", "--volumes", stage.broker.container, stage.simulator)
    podman("network", "rm", "--force", NETWORK)


class Stage:
    def __init__(self, podman, folder):
        self.podman, self.folder, self.started = podman, folder, []
        self.broker = Broker(podman, NETWORK, folder)
        self.simulator = podman(
            "run", "--detach", "--name", "im-simulator", "--network", NETWORK, "localhost/im-simulator:demo",
            "--listen=0.0.0.0:8443", "--tls-dir=/tls", "--tls-name=im-simulator", "--latency=300ms",
            "--unknown-accounts=ignore",
        )  # fmt: skip
        eventually("the simulator listens", lambda: "listening" in podman.logs(self.simulator))
        podman("cp", f"{self.simulator}:/tls/ca.pem", folder / "ca.pem")
        (folder / "ca.pem").chmod(0o644)
        # The image, with another program in it.
        (folder / "earlier").write_bytes(EARLIER.read_bytes())
        (folder / "earlier").chmod(0o755)

    def container(self, *arguments, earlier=False, detached=()):
        variables = {
            "RABBITMQ__URL": "amqp://guest:guest@rabbitmq:5672/%2f",
            "IM__BASE_URL": "https://im-simulator:8443",
            "IM__CA_FILE": "/ca.pem",
            "IM__SDK_APP_ID": "1400000000",
            "IM__SECRET_KEY": "5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e",
            # One of the users, so that a control call counts nobody else as cleared.
            "IM__CONTROL_USER": "pii-000000",
            "IM__CALLS_PER_SECOND": CALLS_PER_SECOND,
        }
        environment = [f"--env=TAGSWEEP__{key}={value}" for key, value in variables.items()]
        mounts = [f"--volume={self.folder}/ca.pem:/ca.pem:ro", f"--volume={self.folder}:/users:ro"]
        if earlier:
            mounts.append(f"--volume={self.folder}/earlier:/usr/local/bin/tagsweep:ro")
        limits = ["--network", NETWORK, "--read-only", "--cap-drop=ALL"]
        return self.podman("run", *limits, *environment, *mounts, *detached, "localhost/tagsweep:demo", *arguments)

    def start(self, earlier):
        """A worker, once it is ready: it works, or stands by."""
        worker = self.container("run", earlier=earlier, detached=["--detach"])
        self.started.append(worker)
        eventually("it is ready", lambda: ask(f"http://{self.podman.address(worker)}:9464/readyz")[0] == 200)
        return worker

    def publish(self, users):
        (self.folder / "users.txt").write_text("".join(f"pii-{number:06}\n" for number in users))
        (self.folder / "users.txt").chmod(0o644)
        self.container("publish", "--file", "/users/users.txt", detached=["--rm"])

    def cleared(self):
        url = f"https://{self.podman.address(self.simulator)}:8443/_sim/stats"
        with urllib.request.urlopen(url, timeout=10, context=ssl._create_unverified_context()) as answer:
            return json.load(answer)["distinct_users_cleared"]

    def in_the_middle(self, of):
        """Waits until some of these users are cleared; there are many more."""
        seen = eventually("they are being cleared", lambda: self.cleared() > of + 300 and self.cleared())
        assert seen < of + USERS, "too late to replace a worker that has something to do"

    def messages(self, queue):
        queues = self.podman("exec", "rabbitmq", "rabbitmqctl", "-q", "list_queues", "name", "messages")
        return int(dict(line.split("\t") for line in queues.splitlines())[queue])

    def state(self, worker):
        return self.podman.inspect(worker)["State"]


def test_an_upgrade_under_load_and_back_loses_nothing(stage):
    assert EARLIER.read_bytes() != pathlib.Path(os.environ["TAGSWEEP"]).read_bytes(), "two versions are needed"
    old = stage.start(earlier=True)
    stage.publish(range(USERS))
    stage.in_the_middle(of=0)
    # The upgrade, as docs/OPERATIONS.md has it: the new one stands by before the old one drains.
    new = stage.start(earlier=False)
    stage.podman("stop", "--time", "35", old)
    assert stage.state(old)["ExitCode"] == 0, stage.podman.logs(old)
    stage.publish(range(USERS, 2 * USERS))
    eventually("the new one works", lambda: stage.cleared() >= USERS)
    stage.in_the_middle(of=USERS)
    # The rollback, in a hurry.
    again = stage.start(earlier=True)
    stage.podman("kill", "--signal", "KILL", new)
    seen = lambda: f"{stage.cleared()} cleared, {stage.podman.logs(again)}"
    eventually("everybody is cleared", lambda: stage.cleared() == 2 * USERS, why=seen)
    eventually("everything is acknowledged", lambda: stage.messages("tagsweep.events") == 0)
    assert stage.messages("tagsweep.dead-letters") == 0
    stage.podman("stop", "--time", "35", again)
    assert stage.state(again)["ExitCode"] == 0, stage.podman.logs(again)
    warned = [line for line in stage.podman.logs(again).splitlines() if "other settings than tagsweep declares" in line]
    assert not warned, "the two versions declare the same queues"
