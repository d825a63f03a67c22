"""The Helm chart: what it renders, what it refuses, and that the worker can start with it."""

import base64
import functools
import json
import os
import pathlib
import re
import subprocess
import tomllib

import pytest
import yaml

import config_schema
from metric_names import RUNBOOK

ROOT = pathlib.Path(__file__).parents[2]
CHART = config_schema.CHART
VALUES = ["required", "everything", "existing-secret", "private-authority"]
# The oldest that Chart.yaml allows, and the newest that the validator knows.
KUBERNETES = ["1.27", "1.37"]
CUSTOM = {"ServiceMonitor", "PrometheusRule"}
SECRET = re.compile("5ec2e7|pa55")
EXISTING_SECRET = {
    "user-sig": "5ec2e7-user-sig",
    "rabbitmq-url": "amqp://tagsweep:pa55@127.0.0.1:5672/%2f",
    "admin-token": "5ec2e7-admin-token",
}
# The worker looks for a PEM block at its start and reads it when it connects.
PEM = "-----BEGIN CERTIFICATE-----\n"
RABBITMQ_TLS = {"ca.crt": PEM, "tls.crt": PEM, "tls.key": PEM}


def values(name):
    return ROOT / f"tests/deploy/values/{name}.yaml"


def helm(command, *arguments):
    return subprocess.run(["helm", command, *arguments], capture_output=True, text=True)


def template(name, *arguments):
    """What the chart gives for a file of values, with `--set` and the like: a list of objects."""
    done = helm("template", "demo", CHART, "--values", values(name), *arguments)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


@functools.cache
def rendered(name):
    return template(name)


def of_kind(objects, kind):
    return [thing for thing in objects if thing["kind"] == kind]


def the(objects, kind):
    (thing,) = of_kind(objects, kind)
    return thing


def pod_specs(objects):
    return [the(objects, "Deployment")["spec"]["template"]["spec"], the(objects, "Pod")["spec"]]


def config(objects):
    (text,) = (
        thing["data"]["config.toml"]
        for thing in of_kind(objects, "ConfigMap")
        if "config.toml" in thing["data"]
    )
    return tomllib.loads(text)


@pytest.mark.parametrize("name", VALUES)
def test_helm_lint_finds_nothing(name):
    done = helm("lint", "--strict", CHART, "--values", values(name))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("name", VALUES)
def test_every_object_fits_kubernetes(name, version, tmp_path):
    known = [thing for thing in rendered(name) if thing["kind"] not in CUSTOM]
    file = tmp_path / "objects.yaml"
    file.write_text(yaml.safe_dump_all(known))
    command = ["kubernetes-validate", "--strict", "--kubernetes-version", version, file]
    done = subprocess.run(command, capture_output=True, text=True)
    report = done.stdout + done.stderr
    assert done.returncode == 0, report
    assert report.count(" passed for ") == len(known), report


# The worker starts with what is rendered.


def below(folder, text):
    return re.sub("/(?:etc|run/secrets)/tagsweep", rf"{folder}\g<0>", text)


def mounted(objects, folder):
    """Puts the files of the worker's pod below `folder`; gives its arguments and environment."""
    (spec, _) = pod_specs(objects)
    (container,) = spec["containers"]
    contents = {"erasure-secrets": EXISTING_SECRET, "rabbitmq-tls": RABBITMQ_TLS}
    for secret in of_kind(objects, "Secret"):
        contents[secret["metadata"]["name"]] = {
            key: base64.b64decode(value).decode() for key, value in secret["data"].items()
        }
    maps = {thing["metadata"]["name"]: thing["data"] for thing in of_kind(objects, "ConfigMap")}
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    for mount in container["volumeMounts"]:
        volume = volumes.pop(mount["name"])
        path = folder / mount["mountPath"].lstrip("/")
        path.mkdir(parents=True)
        if "secret" in volume:
            files = contents[volume["secret"]["secretName"]]
        else:
            files = maps[volume["configMap"]["name"]]
        for key, text in files.items():
            (path / key).write_text(below(folder, text))
    assert not volumes, "volumes that are mounted nowhere"
    arguments = [below(folder, text) for text in container["args"]]
    return arguments, {variable["name"]: variable["value"] for variable in container["env"]}


def check_offline(objects, folder):
    arguments, environment = mounted(objects, folder)
    assert arguments[-1] == "run"
    command = [os.environ["TAGSWEEP"], *arguments[:-1], "check", "--offline"]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("name", VALUES)
def test_the_worker_takes_the_files_and_variables_of_its_pod(name, tmp_path):
    done = check_offline(rendered(name), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_worker_refuses_what_only_it_can_know(tmp_path):
    # Below im.request_timeout: legal by itself, so the schema lets it pass.
    objects = template("required", "--set", "config.shutdown.grace_period=5s")
    done = check_offline(objects, tmp_path)
    assert done.returncode == 78
    assert "shutdown.grace_period" in done.stdout


def test_every_value_of_the_configuration_arrives_unchanged():
    wanted = yaml.safe_load(values("everything").read_text())["config"]
    written = config(rendered("everything"))
    chosen_by_the_chart = {
        ("im", "secret_key_file"): "/run/secrets/tagsweep/im-secret-key",
        ("rabbitmq", "url_file"): "/run/secrets/tagsweep/rabbitmq-url",
        ("rabbitmq", "ca_file"): "/run/secrets/tagsweep-rabbitmq-tls/ca.crt",
        ("rabbitmq", "cert_file"): "/run/secrets/tagsweep-rabbitmq-tls/tls.crt",
        ("rabbitmq", "key_file"): "/run/secrets/tagsweep-rabbitmq-tls/tls.key",
    }
    for (section, key), path in chosen_by_the_chart.items():
        assert written[section].pop(key) == path
    assert written == wanted


def test_a_path_in_the_configuration_goes_before_the_charts_own():
    other = "/run/secrets/tagsweep/broker"
    objects = template("existing-secret", "--set", f"config.rabbitmq.url_file={other}")
    assert config(objects)["rabbitmq"] == {"url_file": other}


# Secrets.


@pytest.mark.parametrize("name", VALUES)
def test_a_secret_is_in_no_object_but_secrets(name):
    plain = [thing for thing in rendered(name) if thing["kind"] != "Secret"]
    text = json.dumps(plain)
    assert not SECRET.search(text)
    for secret in of_kind(rendered(name), "Secret"):
        for value in secret["data"].values():
            assert value not in text
            assert SECRET.search(base64.b64decode(value).decode())


def test_an_existing_secret_is_used_and_none_is_made():
    objects = rendered("existing-secret")
    assert not of_kind(objects, "Secret")
    for spec in pod_specs(objects):
        assert "erasure-secrets" in [v.get("secret", {}).get("secretName") for v in spec["volumes"]]


def test_the_notes_name_the_commands_of_this_release_and_no_secret():
    done = helm("install", "demo", CHART, "--dry-run=client", "--values", values("required"))
    notes = done.stdout.split("NOTES:\n")[1]
    assert "deployment/demo-tagsweep" in notes and "helm test demo" in notes
    assert not SECRET.search(notes)


# Pods.


@pytest.mark.parametrize("name", VALUES)
def test_pods_meet_the_restricted_standard_and_get_nothing_that_is_not_asked_for(name):
    for spec in pod_specs(rendered(name)):
        assert spec["enableServiceLinks"] is False
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["securityContext"].get("runAsUser") != 0
        assert {"hostNetwork", "hostPID", "hostIPC"}.isdisjoint(spec)
        assert all({"configMap", "secret"} & volume.keys() for volume in spec["volumes"])
        (container,) = spec["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        for mount in container["volumeMounts"]:
            assert mount["readOnly"] is True and "subPath" not in mount


@pytest.mark.parametrize(
    ("grace_period", "seconds"),
    [
        ("25s", 35),
        ("1m30s", 100),
        ("1h2m3s4ms", 3734),
        ("1500ms", 12),
        ("500ms", 11),
        ("010s", 20),
        ("24h", 86410),
    ],
)
def test_kubernetes_waits_ten_seconds_longer_than_the_worker(grace_period, seconds):
    objects = template("required", "--set", f"config.shutdown.grace_period={grace_period}")
    (spec, _) = pod_specs(objects)
    assert spec["terminationGracePeriodSeconds"] == seconds


def test_a_changed_configuration_replaces_the_pods_and_a_changed_secret_does_not():
    def pods(*arguments):
        return the(template("required", *arguments), "Deployment")["spec"]["template"]

    before = pods()
    assert pods("--set", "secret.imSecretKey=5ec2e7-another") == before
    changed = pods("--set", "config.im.calls_per_second=80")
    assert changed["metadata"]["annotations"].keys() == {"checksum/config"}
    assert changed["metadata"]["annotations"] != before["metadata"]["annotations"]


def test_selectors_find_the_workers_and_never_the_pod_of_helm_test():
    objects = rendered("everything")
    worker = the(objects, "Deployment")["spec"]["template"]["metadata"]["labels"].items()
    check = the(objects, "Pod")["metadata"]["labels"].items()
    (spec, _) = pod_specs(objects)
    selectors = [
        the(objects, "Deployment")["spec"]["selector"]["matchLabels"],
        the(objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        the(objects, "Service")["spec"]["selector"],
        *(spread["labelSelector"]["matchLabels"] for spread in spec["topologySpreadConstraints"]),
    ]
    for selector in selectors:
        assert selector.items() <= worker
        assert not selector.items() <= check
    policy = the(objects, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"].items()
    assert policy <= worker and policy <= check


def test_rollouts_and_drained_nodes_leave_a_standby_and_an_absent_broker_blocks_no_drain():
    objects = rendered("required")
    deployment = the(objects, "Deployment")["spec"]
    assert deployment["replicas"] == 2
    assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    budget = the(objects, "PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_probes_service_policy_and_worker_agree_on_the_port():
    objects = rendered("everything")
    (spec, _) = pod_specs(objects)
    (container,) = spec["containers"]
    assert container["ports"] == [{"name": "metrics", "containerPort": 9500}]
    assert {"name": "TAGSWEEP__ADMIN__LISTEN", "value": "[::]:9500"} in container["env"]
    for probe, path in [("startup", "/livez"), ("liveness", "/livez"), ("readiness", "/readyz")]:
        assert container[f"{probe}Probe"]["httpGet"] == {"path": path, "port": "metrics"}
    (port,) = the(objects, "Service")["spec"]["ports"]
    assert port == {"name": "metrics", "port": 9500, "targetPort": "metrics"}
    policy = the(objects, "NetworkPolicy")["spec"]
    assert policy["ingress"][0]["ports"] == [{"port": 9500}]
    ways_out = [port["port"] for rule in policy["egress"] for port in rule["ports"]]
    assert ways_out == [53, 53, 443, 30671, 4317]


def test_the_image_is_of_this_version_unless_a_tag_or_a_digest_is_named():
    def image(*arguments):
        (spec, _) = pod_specs(template("required", *arguments))
        return spec["containers"][0]["image"]

    workspace = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == workspace["package"]["version"]
    digest = "sha256:" + "0" * 64
    assert image() == f"registry.example/tagsweep:{chart['appVersion']}"
    assert image("--set", "image.tag=edge") == "registry.example/tagsweep:edge"
    assert image("--set", f"image.tag=edge,image.digest={digest}") == f"registry.example/tagsweep@{digest}"


# Monitoring.


def test_nothing_of_the_prometheus_operator_is_there_unless_asked_for():
    assert not CUSTOM & {thing["kind"] for thing in rendered("required")}


def test_the_service_monitor_finds_the_service_and_names_the_job_tagsweep():
    objects = rendered("everything")
    monitor = the(objects, "ServiceMonitor")
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    spec, service = monitor["spec"], the(objects, "Service")
    labels = service["metadata"]["labels"]
    assert spec.keys() == {"jobLabel", "selector", "endpoints"}
    assert spec["selector"]["matchLabels"].items() <= labels.items()
    assert labels[spec["jobLabel"]] == "tagsweep"
    assert spec["endpoints"] == [{"port": service["spec"]["ports"][0]["name"]}]
    # Where nothing is ready, metrics are wanted most.
    assert service["spec"]["publishNotReadyAddresses"] is True


def test_the_rules_reach_prometheus_as_they_were_written(tmp_path):
    rule = the(rendered("everything"), "PrometheusRule")
    assert rule["apiVersion"] == "monitoring.coreos.com/v1"
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    written = (CHART / "files/alerts.yaml").read_text()
    assert rule["spec"] == yaml.safe_load(written.replace(RUNBOOK, "https://wiki.example.com/runbooks/tagsweep"))
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(rule["spec"]))
    done = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_dashboard_reaches_grafana_as_it_was_written():
    (dashboard,) = (
        thing
        for thing in of_kind(rendered("everything"), "ConfigMap")
        if thing["metadata"]["labels"].get("grafana_dashboard") == "1"
    )
    written = json.loads((CHART / "files/tagsweep.json").read_text())
    assert json.loads(dashboard["data"]["tagsweep.json"]) == written


@pytest.mark.parametrize(
    ("original", "copy"),
    [
        ("deploy/prometheus/alerts.yaml", "files/alerts.yaml"),
        ("deploy/grafana/dashboards/tagsweep.json", "files/tagsweep.json"),
    ],
)
def test_the_charts_copy_is_the_original(original, copy):
    # A chart can read no file outside its folder.
    assert (ROOT / original).read_text() == (CHART / copy).read_text(), f"cp {original} helm/tagsweep/{copy}"


# What is refused, before anything is installed.


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("replicaCount: 0", "/replicaCount"),
        ("replicas: 2", "'replicas' not allowed"),
        ("image: {repository: ''}", "/image/repository"),
        ("image: {digest: latest}", "/image/digest"),
        ("secret: {imSecretKey: ''}", "/secret/imSecretKey"),
        ("secret: {rabbitmqUrl: ''}", "/secret/rabbitmqUrl"),
        ("existingSecret: erasure-secrets", "/secret/imSecretKey"),
        ("rabbitmqTls: {clientCertificate: true}", "/rabbitmqTls/existingSecret"),
        ("config: {im: {sdk_app_id: 0}}", "/config/im/sdk_app_id"),
        ("config: {im: {sdk_app_id: null}}", "missing property 'sdk_app_id'"),
        ("config: {im: {calls_per_second: 1.5}}", "/config/im/calls_per_second"),
        ("config: {im: {secret_key: 5ec2e7}}", "'secret_key' not allowed"),
        ("config: {im: {user_sig: 5ec2e7}}", "'user_sig' not allowed"),
        ("config: {admin: {token: 5ec2e7}}", "'token' not allowed"),
        ("config: {admin: {listen: '127.0.0.1:9464'}}", "/config/admin/listen"),
        ("config: {rabbitmq: {url: 'amqp://u:pa55@h'}}", "'url' not allowed"),
        ("config: {rabbitmq: {prefetsch: 2000}}", "'prefetsch' not allowed"),
        ("config: {shutdown: {grace_period: 25}}", "/config/shutdown/grace_period"),
        ("config: {shutdown: {grace_period: '25'}}", "/config/shutdown/grace_period"),
        ("config: {shutdown: {grace_period: 1d}}", "/config/shutdown/grace_period"),
        ("config: {shutdown: null}", "missing property 'shutdown'"),
        ("config: {windows: {max_ids: 50}}", "'windows' not allowed"),
        ("extraEnv: [{name: TAGSWEEP__IM__SECRET_KEY, value: 5ec2e7}]", "/extraEnv/0/name"),
        ("podSecurityContext: {runAsUser: 0}", "/podSecurityContext/runAsUser"),
        ("podSecurityContext: {runAsNonRoot: false}", "'runAsNonRoot' not allowed"),
        ("networkPolicy: {brokerPorts: [amqps]}", "/networkPolicy/brokerPorts/0"),
    ],
)
def test_values_that_cannot_work_are_refused_without_showing_a_secret(wrong, told, tmp_path):
    file = tmp_path / "wrong.yaml"
    file.write_text(wrong)
    done = helm("template", "demo", CHART, "--values", values("required"), "--values", file)
    assert done.returncode != 0
    assert told in done.stderr
    assert not SECRET.search(done.stderr)


def test_the_charts_own_values_lack_only_what_nobody_else_can_know():
    done = helm("template", "demo", CHART)
    refused = set(re.findall(r"at '(/\S+)'", done.stderr))
    assert refused == {
        "/image/repository",
        "/config/im/sdk_app_id",
        "/secret",
        "/secret/imSecretKey",
        "/secret/rabbitmqUrl",
    }


def test_the_schema_of_the_configuration_is_the_programs_own():
    schema = json.loads(config_schema.FILE.read_text())
    assert schema["properties"]["config"] == config_schema.expected(), (
        "python tests/deploy/config_schema.py writes it anew"
    )


# Documentation.


def leaves(tree, path=""):
    """The values that have no named values below them, by their dotted names."""
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def test_the_readme_has_every_value_with_its_default():
    rows = re.findall(r"^\| `([\w.]+)` \| `(.+?)` \|", (CHART / "README.md").read_text(), re.MULTILINE)
    told = {name: json.loads(default) for name, default in rows}
    assert told == dict(leaves(yaml.safe_load((CHART / "values.yaml").read_text())))
    assert len(told) == len(rows)


def test_the_schema_and_the_values_name_the_same_things():
    schema = json.loads(config_schema.FILE.read_text())["properties"]
    assert schema.keys() - {"global"} == yaml.safe_load((CHART / "values.yaml").read_text()).keys()


def test_the_grace_period_is_the_programs_default():
    default = tomllib.loads((ROOT / "config/default.toml").read_text())
    chart = yaml.safe_load((CHART / "values.yaml").read_text())
    assert chart["config"]["shutdown"] == default["shutdown"]
