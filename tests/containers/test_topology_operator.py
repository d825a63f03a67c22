"""The manifests for the Topology Operator make what the worker expects with `declare = false`."""

import copy
import json

import pytest
from broker import Broker, manifests

NETWORK = "topology"
PASSWORD = "pa55word"
QUEUES = ("tagsweep.events", "tagsweep.dead-letters")


@pytest.fixture(scope="module")
def broker(podman, images, tmp_path_factory):
    podman("network", "create", NETWORK)
    broker = Broker(podman, NETWORK, tmp_path_factory.mktemp("broker"))
    yield broker
    podman("rm", "--force", "--time", "0", "--volumes", broker.container)
    podman("network", "rm", NETWORK)


def check(podman, image, vhost, login, *arguments, declare=False):
    """What `tagsweep check` finds of the broker's parts: part, outcome and detail of each finding."""
    variables = {
        "RABBITMQ__URL": f"amqp://{login}@rabbitmq:5672/{vhost}",
        "RABBITMQ__DECLARE": str(declare).lower(),
        "RABBITMQ__DELIVERY_LIMIT": "1000",
        "IM__SDK_APP_ID": "1400000000",
        "IM__SECRET_KEY": "5ec2e7",
        # Nothing answers there; this is about the broker.
        "IM__BASE_URL": "http://127.0.0.1:1",
    }
    environment = [f"--env=TAGSWEEP__{key}={value}" for key, value in variables.items()]
    done = podman.run(
        "podman", "run", "--rm", "--network", NETWORK, *environment, image, "check", "--json", *arguments, check=False
    )
    found = json.loads(done.stdout)
    of_the_broker = [finding for finding in found if finding["what"] not in ("API and UserSig", "control user", "clock")]
    assert len({finding["what"] for finding in of_the_broker}) == 8, found
    return [(finding["what"], finding["outcome"], finding["detail"]) for finding in of_the_broker]


def not_ok(findings):
    """The parts about which it says something else than ok, each with all of it."""
    found = {}
    for what, outcome, detail in findings:
        if outcome != "ok":
            found.setdefault(what, []).append(detail)
    return found


def test_the_queues_have_the_arguments_with_which_the_worker_would_declare_them(podman, images, broker):
    broker.vhost("declared")
    check(podman, images["tagsweep"], "declared", "guest:guest", "--declare", declare=True)
    broker.vhost("applied")
    broker.apply(manifests(), "applied", PASSWORD)
    for queue in QUEUES:
        assert broker.arguments("applied", queue) == broker.arguments("declared", queue)
    bound = [
        sorted(
            (b["source"], b["destination"], b["routing_key"])
            for b in broker.ask("GET", f"/bindings/{vhost}")
            if b["source"]
        )
        for vhost in ("applied", "declared")
    ]
    assert bound[0] == bound[1]


def test_the_worker_finds_nothing_missing_and_its_user_needs_no_more_permissions(podman, images, broker):
    broker.vhost("checked")
    broker.apply(manifests(), "checked", PASSWORD)
    as_owner = check(podman, images["tagsweep"], "checked", "guest:guest")
    # AMQP does not show bindings.
    assert not_ok(as_owner).keys() <= {"bindings"}, as_owner
    as_worker = check(podman, images["tagsweep"], "checked", f"tagsweep:{PASSWORD}")
    assert "fail" not in [outcome for _, outcome, _ in as_worker], as_worker


def test_a_manifest_without_an_argument_would_be_noticed(podman, images, broker):
    documents = copy.deepcopy(manifests())
    (queue,) = [d for d in documents if d["kind"] == "Queue" and d["spec"]["name"] == QUEUES[0]]
    del queue["spec"]["arguments"]["x-dead-letter-exchange"]
    broker.vhost("wrong")
    broker.apply(documents, "wrong", PASSWORD)
    findings = check(podman, images["tagsweep"], "wrong", "guest:guest")
    assert any("dead-letter exchange" in detail for detail in not_ok(findings)["queue"]), findings
