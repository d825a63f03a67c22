"""A broker in a container, and the manifests of the Topology Operator on it, by the HTTP API that the operator uses."""

import base64
import json
import urllib.parse
import urllib.request

import yaml
from podman import ROOT, eventually

MANIFESTS = ROOT / "deploy/kubernetes/topology.yaml"
VERSION = "rabbitmq.com/v1beta1"


class Broker:
    """For `guest`, whom it lets in from everywhere. Its name on the network is `rabbitmq`."""

    def __init__(self, podman, network, folder):
        (folder / "guest.conf").write_text("loopback_users = none\n")
        (folder / "guest.conf").chmod(0o644)
        folder.chmod(0o755)
        self.container = podman(
            "run", "--detach", "--name", "rabbitmq", "--hostname", "rabbitmq", "--network", network,
            "--volume", f"{folder}/guest.conf:/etc/rabbitmq/conf.d/10-guest.conf:ro", "localhost/stand-in/rabbitmq",
        )  # fmt: skip
        self.podman = podman
        self.api = f"http://{podman.address(self.container)}:15672/api"
        eventually("the broker answers", self.answers)

    def answers(self):
        try:
            return self.ask("GET", "/overview")
        except OSError:
            return None

    def ask(self, method, path, body=None):
        login = base64.b64encode(b"guest:guest").decode()
        headers = {"authorization": f"Basic {login}", "content-type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.api + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def vhost(self, name):
        self.ask("PUT", f"/vhosts/{name}", {})
        self.ask("PUT", f"/permissions/{name}/guest", {"configure": ".*", "write": ".*", "read": ".*"})

    def arguments(self, vhost, queue):
        there = self.ask("GET", f"/queues/{vhost}/{queue}")
        return there["durable"], there["auto_delete"], there["arguments"]

    def apply(self, documents, vhost, password):
        """What the Topology Operator sends for these manifests; a user gets this password."""
        for document in documents:
            assert document["apiVersion"] == VERSION
            name, spec = document["metadata"]["name"], document["spec"]
            assert spec["rabbitmqClusterReference"]["name"]
            at = f"{vhost}/{urllib.parse.quote(spec.get('name', name), safe='')}"
            kept = {"durable": spec.get("durable"), "auto_delete": spec.get("autoDelete")}
            match document["kind"]:
                case "User":
                    self.ask("PUT", f"/users/{name}", {"password": password, "tags": ""})
                case "Permission":
                    user = spec["userReference"]["name"]
                    self.ask("PUT", f"/permissions/{vhost}/{user}", spec["permissions"])
                case "Exchange":
                    self.ask("PUT", f"/exchanges/{at}", kept | {"type": spec["type"]})
                case "Queue":
                    arguments = spec.get("arguments", {}) | {"x-queue-type": spec["type"]}
                    self.ask("PUT", f"/queues/{at}", kept | {"arguments": arguments})
                case "Binding":
                    kind = {"queue": "q", "exchange": "e"}[spec["destinationType"]]
                    path = f"/bindings/{vhost}/e/{spec['source']}/{kind}/{spec['destination']}"
                    self.ask("POST", path, {"routing_key": spec["routingKey"]})
                case "Policy":
                    keys = {"pattern": spec["pattern"], "apply-to": spec["applyTo"], "definition": spec["definition"]}
                    self.ask("PUT", f"/policies/{at}", keys)


def manifests():
    """In the order in which they can be applied: the operator tries again until it succeeds."""
    order = ["User", "Exchange", "Queue", "Binding", "Policy", "Permission"]
    documents = yaml.safe_load_all(MANIFESTS.read_text())
    return sorted(documents, key=lambda document: order.index(document["kind"]))
