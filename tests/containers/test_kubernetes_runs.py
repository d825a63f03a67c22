"""The chart's Deployment as `podman kube play` runs it; this test does what else the kubelet would do."""

import json
import ssl
import time
import urllib.request

import pytest
import yaml
from broker import Broker
from podman import ROOT, ask, eventually

NETWORK = "cluster"
# The simulator's own default, Tencent's public demo key.
KEY = "5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e"
OPERATOR_SECRET = {"username": "default_user_x", "password": "pa55%2f:word", "host": "rabbitmq", "port": "5672"}
VALUES = {
    "replicaCount": 1,
    "image": {"repository": "localhost/tagsweep", "tag": "demo", "pullPolicy": "Never"},
    "config": {
        "im": {
            "sdk_app_id": 1400000000,
            "base_url": "https://im-simulator:8443",
            "ca_file": "/etc/simulator/ca.pem",
            # One of the users, so that a control call counts nobody else as cleared.
            "control_user": "pii-10000",
        }
    },
    "secrets": {"imSecretKey": {"name": "tencent", "key": "secret-key"}},
    "rabbitmq": {"defaultUserSecret": "mycluster-default-user"},
    "extraVolumes": [{"name": "simulator", "configMap": {"name": "simulator"}}],
    "extraVolumeMounts": [{"name": "simulator", "mountPath": "/etc/simulator", "readOnly": True}],
}


class Cluster:
    def __init__(self, podman, folder):
        self.podman, self.folder = podman, folder
        self.broker = Broker(podman, NETWORK, folder)
        user = OPERATOR_SECRET
        self.broker.ask("PUT", f"/users/{user['username']}", {"password": user["password"], "tags": "administrator"})
        self.broker.ask("PUT", f"/permissions/%2f/{user['username']}", dict.fromkeys(("configure", "write", "read"), ".*"))
        self.simulator = podman(
            "run", "--detach", "--name", "im-simulator", "--network", NETWORK, "localhost/im-simulator:demo",
            "--listen=0.0.0.0:8443", "--tls-dir=/tls", "--tls-name=im-simulator", "--latency=200ms",
            "--unknown-accounts=ignore",
        )  # fmt: skip
        eventually("the simulator listens", lambda: "listening" in podman.logs(self.simulator))
        podman("cp", f"{self.simulator}:/tls/ca.pem", folder / "ca.pem")

    def stats(self):
        url = f"https://{self.podman.address(self.simulator)}:8443/_sim/stats"
        with urllib.request.urlopen(url, timeout=10, context=ssl._create_unverified_context()) as answer:
            return json.load(answer)

    def cleared(self):
        return self.stats()["distinct_users_cleared"]

    def waiting(self):
        """Events in the queue, delivered or not. A quorum queue tells the broker's tools every five seconds."""
        queues = self.podman("exec", "rabbitmq", "rabbitmqctl", "-q", "list_queues", "name", "messages")
        return int(dict(line.split("\t") for line in queues.splitlines())["tagsweep.events"])

    def publish(self, users):
        lines = "".join(f"pii-{number:05}\n" for number in users)
        (self.folder / "users.txt").write_text(lines)
        (self.folder / "users.txt").chmod(0o644)
        self.podman(
            "run", "--rm", "--network", NETWORK, "--volume", f"{self.folder}/users.txt:/users.txt:ro",
            "--env", "TAGSWEEP__RABBITMQ__URL=amqp://guest:guest@rabbitmq:5672/%2f", "localhost/tagsweep:demo",
            "publish", "--file", "/users.txt",
        )  # fmt: skip

    def secret(self, name, values):
        # Not by `kube play`: podman 4.3 stores a Secret as it is, and mounts its values in base64.
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump({"data": values}))
        self.podman.run("podman", "secret", "rm", name, check=False)
        self.podman("secret", "create", name, file)

    def play(self, name, documents):
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump_all(documents))
        self.podman("kube", "play", "--network", NETWORK, file)

    def render(self, **values):
        file = self.folder / "values.yaml"
        file.write_text(yaml.safe_dump(VALUES | values))
        text = self.podman.run("helm", "template", "trial", ROOT / "helm/tagsweep", "--values", file).stdout
        return [document for document in yaml.safe_load_all(text) if document]

    def start(self, **secrets):
        """The worker's pod."""
        self.secret("tencent", {"secret-key": secrets.get("key", KEY)})
        self.secret("mycluster-default-user", OPERATOR_SECRET | {"password": secrets.get("password", OPERATOR_SECRET["password"])})
        simulator = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "simulator"}}
        simulator["data"] = {"ca.pem": (self.folder / "ca.pem").read_text()}
        rendered = [thing for thing in self.render() if thing["kind"] in ("ConfigMap", "Deployment")]
        (deployment,) = [thing for thing in rendered if thing["kind"] == "Deployment"]
        pod = Pod(self.podman, deployment)
        self.play("deployment", [simulator, *as_podman_takes_it(rendered)])
        return pod


def as_podman_takes_it(documents):
    """What podman 4.3 does in another way than Kubernetes."""
    documents = json.loads(json.dumps(documents))
    for spec in (thing["spec"]["template"]["spec"] for thing in documents if thing["kind"] == "Deployment"):
        for volume in spec["volumes"]:
            if "secret" in volume:
                # Without it podman crashes (VolumeFromSecret reads a null pointer).
                volume["secret"]["optional"] = False
        (container,) = spec["containers"]
        # It would open the port on every address of the machine.
        del container["ports"]
        # It asks a probe's URL with curl inside the container, which has none. `Pod.probe` does it from outside.
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            del container[probe]
        # It fills in no $(VARIABLES), and for a variable cannot read the Secret that it reads for a volume.
        for variable in container["env"]:
            if "valueFrom" in variable:
                variable["value"] = OPERATOR_SECRET[variable.pop("valueFrom")["secretKeyRef"]["key"]]
            for key in ("host", "port"):
                variable["value"] = variable["value"].replace(f"$(RABBITMQ_{key.upper()})", OPERATOR_SECRET[key])
    return documents


class Pod:
    def __init__(self, podman, deployment):
        self.podman = podman
        self.name = f"{deployment['metadata']['name']}-pod-0"
        self.spec = deployment["spec"]["template"]["spec"]
        (self.container,) = self.spec["containers"]

    @property
    def worker(self):
        return f"{self.name}-{self.container['name']}"

    def state(self):
        return self.podman.inspect(self.worker)

    def probe(self, kind):
        """Status and body of what the probe asks for."""
        get = self.container[f"{kind}Probe"]["httpGet"]
        (port,) = [port["containerPort"] for port in self.container["ports"] if port["name"] == get["port"]]
        infra = json.loads(self.podman("pod", "inspect", self.name))["InfraContainerID"]
        return ask(f"http://{self.podman.address(infra)}:{port}{get['path']}")

    def patience(self, kind):
        """Seconds until the kubelet acts on a probe that fails."""
        probe = self.container[f"{kind}Probe"]
        return probe["periodSeconds"] * probe["failureThreshold"]

    def becomes_ready(self):
        started = self.patience("startup")
        eventually("the startup probe succeeds", lambda: self.probe("startup")[0] == 200, started)
        eventually("it is ready", lambda: self.probe("readiness")[0] == 200)

    def stop(self):
        """As the kubelet: SIGTERM, then SIGKILL after the pod's grace period. Seconds that it took."""
        begin = time.monotonic()
        # Not `pod stop`: it stops the container that holds the network, too, which the kubelet does last.
        self.podman("stop", "--time", self.spec["terminationGracePeriodSeconds"], self.worker)
        return time.monotonic() - begin

    def remove(self):
        self.podman.run("podman", "pod", "rm", "--force", "--time", "0", self.name, check=False)


@pytest.fixture(scope="module")
def cluster(podman, images, tmp_path_factory):
    podman("network", "create", NETWORK)
    cluster = Cluster(podman, tmp_path_factory.mktemp("cluster"))
    yield cluster
    podman("rm", "--force", "--time", "0", "--volumes", cluster.broker.container, cluster.simulator)
    podman("network", "rm", "--force", NETWORK)


@pytest.fixture
def started(cluster):
    """Starts the pod, with other secrets if asked for; it is gone at the end."""
    pods = []

    def start(**secrets):
        pods.append(cluster.start(**secrets))
        return pods[-1]

    yield start
    for pod in pods:
        pod.remove()


def test_the_pod_is_confined_as_the_chart_says_and_becomes_ready(started):
    pod = started()
    pod.becomes_ready()
    state = pod.state()
    assert state["Config"]["User"].startswith("65532")
    assert state["HostConfig"]["ReadonlyRootfs"] is True
    assert not state["EffectiveCaps"]
    assert "no-new-privileges" in state["HostConfig"]["SecurityOpt"]
    assert all(not mount["RW"] for mount in state["Mounts"]), state["Mounts"]
    assert pod.probe("liveness")[0] == 200


def test_a_stopped_pod_drains_within_its_grace_period_and_loses_nothing(cluster, started):
    pod = started()
    pod.becomes_ready()
    assert cluster.cleared() <= 1, "nobody but the control user"
    # More than one answer of the simulator can clear, so that calls are out when the signal comes.
    cluster.publish(range(10_000, 16_000))
    eventually("it works", lambda: cluster.cleared() > 1)
    took = pod.stop()
    assert pod.state()["State"]["ExitCode"] == 0, cluster.podman.logs(pod.worker)
    assert took < pod.spec["terminationGracePeriodSeconds"]
    assert '"message":"ended"' in cluster.podman.logs(pod.worker)
    rest = 6_000 - cluster.cleared()
    eventually("what was cleared is acknowledged, and no more", lambda: cluster.waiting() == rest)
    pod.remove()
    again = started()
    eventually("the rest is done", lambda: cluster.cleared() == 6_000)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [({"key": KEY[::-1]}, "error code 70009"), ({"password": "pa55-wrong"}, "refused user or password")],
)
def test_a_wrong_secret_shows_in_readyz_and_is_no_crash_loop(cluster, started, wrong, told):
    pod = started(**wrong)
    if "key" in wrong:
        # The key is tried when there is something to do.
        eventually("it is connected", lambda: pod.probe("readiness")[0] == 200)
        cluster.publish(range(20_000, 20_001))

    def said():
        status, text = pod.probe("readiness")
        return text if status == 503 and told in text else None

    eventually(f"/readyz says {told}", said)
    # Longer than any probe would wait: nothing restarts it, it restarts nothing.
    until = time.monotonic() + min(pod.patience("startup"), 15)
    while time.monotonic() < until:
        assert pod.probe("liveness")[0] == 200
        state = pod.state()
        assert state["State"]["Running"] and state["RestartCount"] == 0
        time.sleep(1)
    assert pod.stop() < pod.spec["terminationGracePeriodSeconds"]
    assert pod.state()["State"]["ExitCode"] == 0
