"""The compose file: read by the tools of both generations, and its worker's settings by the worker."""

import os
import re
import subprocess

import pytest
import yaml
from metric_names import ROOT
from test_image import arguments

FILE = ROOT / "docker-compose.yml"
COMPOSE = yaml.safe_load(FILE.read_text())
SERVICES = COMPOSE["services"]
OURS = ("tagsweep", "publisher", "im-simulator")


def mounts(service):
    """What is mounted where; the source is a path from the repository's root, or a volume's name."""
    found = {}
    for volume in SERVICES[service].get("volumes", []):
        source, target, *_ = volume.split(":")
        found[target] = source
    for secret in SERVICES[service].get("secrets", []):
        name, target = (secret["source"], secret["target"]) if isinstance(secret, dict) else (secret, secret)
        found[os.path.join("/run/secrets", target)] = COMPOSE["secrets"][name]["file"]
    return found


def run(*command, **environment):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, **environment})


def check_offline(environment):
    """`tagsweep check --offline` in nothing but this environment; warnings count."""
    command = [os.environ["TAGSWEEP"], "check", "--offline", "--deny-warnings"]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def worker_environment(service, folder):
    """The environment of the container, with its paths led to the files that are mounted there."""
    environment = dict([arguments("tagsweep", "ENV")[0].split("=", 1)]) | SERVICES[service]["environment"]
    # The simulator makes it; what is in it is looked at when a connection is opened.
    (folder / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n")
    for key, value in environment.items():
        if value.startswith("/"):
            [(target, source)] = [(t, s) for t, s in mounts(service).items() if value == t or value.startswith(f"{t}/")]
            inside = os.path.relpath(value, target)
            environment[key] = str(ROOT / source if inside == "." else folder / inside)
    return environment


def test_docker_compose_reads_it():
    end = run("docker-compose", "--file", str(FILE), "config", "--quiet")
    assert end.returncode == 0, end.stderr


def test_it_is_as_the_compose_specification_says():
    end = run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE))
    assert end.returncode == 0, end.stdout + end.stderr


@pytest.mark.parametrize("service", ["tagsweep", "publisher"])
def test_the_worker_takes_the_environment_and_the_files_that_it_gets(service, tmp_path):
    environment = worker_environment(service, tmp_path)
    end = check_offline(environment)
    assert end.returncode == 0, end.stdout + end.stderr
    for wrong in ("TAGSWEEP__IM__SDK_APP_ID", "TAGSWEEP__IM__SECRET_KEY_FILE"):
        without = {key: value for key, value in environment.items() if key != wrong}
        assert check_offline(without).returncode == 78, wrong


def test_no_secret_is_in_the_file_and_every_one_that_is_given_is_used():
    text = FILE.read_text()
    given = {secret["file"] for secret in COMPOSE["secrets"].values()}
    folder = ROOT / "deploy/demo/secrets"
    assert {(ROOT / path).resolve() for path in given} == set(folder.iterdir())
    secrets = [
        (folder / "im-secret-key").read_text().strip(),
        re.search(r"default_pass = (\S+)", (folder / "rabbitmq-user.conf").read_text())[1],
    ]
    for secret in secrets:
        assert len(secret) > 8 and secret not in text
    assert {path for service in SERVICES for path in mounts(service).values()} >= given


def test_broker_and_simulator_take_the_logins_that_the_worker_has():
    folder = ROOT / "deploy/demo/secrets"
    user = dict(line.split(" = ") for line in (folder / "rabbitmq-user.conf").read_text().splitlines())
    url = (folder / "rabbitmq-url").read_text().strip()
    assert url == f"amqp://{user['default_user']}:{user['default_pass']}@rabbitmq:5672/%2f"
    # The simulator's own key, unless it is given another.
    assert (folder / "im-secret-key").read_text().strip() in (ROOT / "simulator/src/options.rs").read_text()
    assert "IM_SIMULATOR_SECRET_KEY" not in SERVICES["im-simulator"].get("environment", {})


def test_the_worker_trusts_the_simulator_by_the_name_that_it_calls():
    simulator = SERVICES["im-simulator"]["command"]
    environment = SERVICES["tagsweep"]["environment"]
    assert environment["TAGSWEEP__IM__BASE_URL"] == "https://im-simulator:8443"
    assert {"--listen=0.0.0.0:8443", "--tls-name=im-simulator", "--tls-dir=/tls"} <= set(simulator)
    folder, file = os.path.split(environment["TAGSWEEP__IM__CA_FILE"])
    assert file == "ca.pem"
    assert mounts("tagsweep")[folder] == mounts("im-simulator")["/tls"]
    assert f"{mounts('tagsweep')[folder]}:{folder}:ro" in SERVICES["tagsweep"]["volumes"]


def test_everything_that_is_mounted_is_there():
    for service in SERVICES:
        for source in mounts(service).values():
            assert source in COMPOSE["volumes"] if "/" not in source else (ROOT / source).exists(), source
    used = {source for service in SERVICES for source in mounts(service).values()}
    assert set(COMPOSE["volumes"]) <= used


def test_prometheus_scrapes_the_port_of_the_image_and_finds_its_rules():
    [job] = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    [names] = job["dns_sd_configs"]
    assert job["job_name"] == "tagsweep" and names["names"] == ["tagsweep"] and "tagsweep" in SERVICES
    assert [str(names["port"])] == arguments("tagsweep", "EXPOSE")


@pytest.mark.parametrize("service", SERVICES)
def test_every_port_is_of_this_machine_alone(service):
    for port in SERVICES[service].get("ports", []):
        assert port.startswith("127.0.0.1:"), port


@pytest.mark.parametrize("service", OURS)
def test_our_containers_can_do_nothing_but_their_work(service):
    assert SERVICES[service]["read_only"] is True
    assert SERVICES[service]["cap_drop"] == ["ALL"]
    assert SERVICES[service]["security_opt"] == ["no-new-privileges:true"]
    assert "user" not in SERVICES[service], "the image's, which is not root"
    assert not {"privileged", "cap_add", "devices", "network_mode", "pid"} & set(SERVICES[service])


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_can_be_asked_starts_in_order_and_comes_back(service):
    one = SERVICES[service]
    once = one.get("profiles") == ["demo"]
    assert once or one["healthcheck"]["test"][0] == "CMD"
    assert one["restart"] == ("no" if once else "unless-stopped")
    for other, how in one.get("depends_on", {}).items():
        assert how == {"condition": "service_healthy"} and "test" in SERVICES[other]["healthcheck"]


@pytest.mark.parametrize("service", [name for name in SERVICES if name not in OURS])
def test_images_of_others_are_pinned_to_a_minor_version(service):
    name, tag = SERVICES[service]["image"].split(":")
    assert re.match(r"v?\d+\.\d+", tag), tag


def test_a_container_is_given_longer_to_end_than_the_worker_takes():
    default = re.search(r'grace_period = "(\d+)s"', (ROOT / "config/default.toml").read_text())[1]
    assert int(SERVICES["tagsweep"]["stop_grace_period"].removesuffix("s")) > int(default)


def test_the_demo_publishes_to_users_of_its_own_whom_the_api_takes():
    users = (ROOT / mounts("publisher")["/demo/users.txt"]).read_text().splitlines()
    assert len(set(users)) == len(users) == 1000
    assert all(re.fullmatch(r"demo-user-\d{4}", user) for user in users)
    assert SERVICES["publisher"]["command"] == ["publish", "--reason", "deleted", "--file", "/demo/users.txt"]
