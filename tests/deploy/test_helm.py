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
import values_table
from metric_names import RUNBOOK

ROOT = pathlib.Path(__file__).parents[2]
CHART = config_schema.CHART
VALUES = ["required", "everything", "existing-secret", "private-authority", "cluster-operator"]
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
# What the pods of the test values find in their cluster.
SECRETS = {
    "erasure-secrets": EXISTING_SECRET,
    "rabbitmq-tls": {"ca.crt": PEM, "tls.crt": PEM, "tls.key": PEM},
    "tencent": {"secret-key": "5ec2e7-secret-key", "another": "5ec2e7"},
    "console": {"token": "5ec2e7-token"},
    # As https://www.rabbitmq.com/kubernetes/operator/using-operator#find shows it.
    "mycluster-default-user": {
        "username": "default_user_hmGWFhdewq65P0dIdx7",
        "password": "qc98n4iGD7MYXMBVFcIO2mtB5voDuV_n",
        "host": "mycluster.rabbitmq-system.svc",
        "port": "5672",
        "provider": "rabbitmq",
        "type": "rabbitmq",
        "default_user.conf": "default_user = default_user_hmGWFhdewq65P0dIdx7\n",
    },
}
CONFIG_MAPS = {"gateway-ca": {"ca.pem": PEM}}


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
    return re.sub("/(?:etc|run/secrets)/(?:tagsweep|gateway)", rf"{folder}\g<0>", text)


def mounted(objects, folder):
    """Puts the files of the worker's pod below `folder`; gives its arguments and environment."""
    (spec, _) = pod_specs(objects)
    (container,) = spec["containers"]
    contents = dict(SECRETS)
    for secret in of_kind(objects, "Secret"):
        contents[secret["metadata"]["name"]] = {
            key: base64.b64decode(value).decode() for key, value in secret["data"].items()
        }
    maps = CONFIG_MAPS | {thing["metadata"]["name"]: thing["data"] for thing in of_kind(objects, "ConfigMap")}
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    for mount in container["volumeMounts"]:
        volume = volumes.pop(mount["name"])
        path = folder / mount["mountPath"].lstrip("/")
        path.mkdir(parents=True)
        if "secret" in volume:
            there = contents[volume["secret"]["secretName"]]
            items = volume["secret"].get("items", [{"key": key, "path": key} for key in there])
            files = {item["path"]: there[item["key"]] for item in items}
        else:
            files = maps[volume["configMap"]["name"]]
        for key, text in files.items():
            (path / key).write_text(below(folder, text))
    assert not volumes, "volumes that are mounted nowhere"
    arguments = [below(folder, text) for text in container["args"]]
    return arguments, environment(container, contents)


def environment(container, secrets):
    """The variables, with those in `$(…)` filled in, as Kubernetes does it for variables that stand above."""
    found = {}
    for variable in container["env"]:
        if "value" in variable:
            value = re.sub(r"\$\((\w+)\)", lambda name: found.get(name[1], name[0]), variable["value"])
        else:
            key = variable["valueFrom"]["secretKeyRef"]
            value = secrets[key["name"]][key["key"]]
        found[variable["name"]] = value
    return found


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


def test_the_secret_of_the_cluster_operator_gives_the_whole_login(tmp_path):
    objects = rendered("cluster-operator")
    arguments, variables = mounted(objects, tmp_path)
    assert variables["TAGSWEEP__RABBITMQ__URL"] == "amqp://mycluster.rabbitmq-system.svc:5672/accounts%2Feu"
    written = tomllib.loads((tmp_path / "etc/tagsweep/config.toml").read_text())["rabbitmq"]
    secret = SECRETS["mycluster-default-user"]
    for key in ("username", "password"):
        assert pathlib.Path(written[f"{key}_file"]).read_text() == secret[key]
    # Only what is used gets into the pod.
    assert not list(tmp_path.rglob("default_user.conf")) and not list(tmp_path.rglob("another"))


def test_a_host_and_port_of_ones_own_go_before_those_of_the_operator():
    def url(name, *arguments):
        (spec, _) = pod_specs(template(name, *arguments))
        return {variable["name"]: variable.get("value") for variable in spec["containers"][0]["env"]}[
            "TAGSWEEP__RABBITMQ__URL"
        ]

    over_tls = "rabbitmq.host=rabbit.example,rabbitmq.port=30671,rabbitmq.tls=true"
    assert url("cluster-operator", "--set", over_tls) == "amqps://rabbit.example:30671/accounts%2Feu"
    login = "secrets.rabbitmqUsername.name=broker,secrets.rabbitmqPassword.name=broker,secret.rabbitmqUrl="
    assert url("required", "--set", f"rabbitmq.host=rabbit,{login}") == "amqp://rabbit:5672/%2F"


def test_a_secret_is_found_under_the_name_and_the_key_that_are_given():
    keys = {
        "imSecretKey": ("im", "secret_key_file"),
        "imUserSig": ("im", "user_sig_file"),
        "imProxyUrl": ("im", "proxy_url_file"),
        "rabbitmqUrl": ("rabbitmq", "url_file"),
        "rabbitmqUsername": ("rabbitmq", "username_file"),
        "rabbitmqPassword": ("rabbitmq", "password_file"),
        "adminToken": ("admin", "token_file"),
    }
    for secret, (section, key) in keys.items():
        given = f"secrets.{secret}.name=mine,secrets.{secret}.key=my.key,existingSecret=others,secret=null"
        objects = template("required", "--set", given)
        for spec in pod_specs(objects):
            (volume,) = [v for v in spec["volumes"] if v.get("secret", {}).get("secretName") == "mine"]
            assert volume["secret"]["items"] == [{"key": "my.key", "path": "my.key"}]
            (mount,) = [m for m in spec["containers"][0]["volumeMounts"] if m["name"] == volume["name"]]
            assert config(objects)[section][key] == f"{mount['mountPath']}/my.key"


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
        assert spec.get("initContainers", []) == (yaml.safe_load(values(name).read_text()).get("initContainers", []))
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


def test_the_policy_lets_out_to_dns_the_broker_the_apis_port_and_the_collector_only():
    policy = the(rendered("cluster-operator"), "NetworkPolicy")["spec"]
    ways_out = [([port["port"] for port in rule["ports"]], "to" in rule) for rule in policy["egress"]]
    assert ways_out == [([53, 53], False), ([8443], False), ([5671, 5672], True), ([4318], False)]
    without_traces = the(template("cluster-operator", "--set", "traces.endpoint="), "NetworkPolicy")["spec"]
    assert [rule for rule in policy["egress"] if rule not in without_traces["egress"]] == [{"ports": [{"port": 4318}]}]
    own_port = the(template("cluster-operator", "--set", "rabbitmq.port=30672"), "NetworkPolicy")["spec"]
    assert own_port["egress"][2]["ports"] == [{"port": 30672}]


def test_whatever_a_platform_adds_reaches_the_pod():
    objects = rendered("cluster-operator")
    deployment = the(objects, "Deployment")
    asked = yaml.safe_load(values("cluster-operator").read_text())
    pod = deployment["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    for key in ("initContainers", "hostAliases", "dnsConfig"):
        assert pod["spec"][key] == asked[key]
    assert asked["extraVolumes"][0] in pod["spec"]["volumes"]
    assert asked["extraVolumeMounts"][0] in container["volumeMounts"]
    assert container["envFrom"] == asked["envFrom"]
    assert asked["extraEnv"][0] in container["env"]
    assert pod["metadata"]["labels"].items() >= (asked["podLabels"] | asked["commonLabels"]).items()
    assert deployment["metadata"]["annotations"] == {
        "example.com/owner": "accounts",
        "reloader.stakater.com/auto": "true",
    }
    (spread,) = pod["spec"]["topologySpreadConstraints"]
    assert spread.pop("labelSelector") == deployment["spec"]["selector"]
    assert spread == asked["topologySpreadConstraints"][0]
    assert the(objects, "PodDisruptionBudget")["spec"]["maxUnavailable"] == "50%"
    for thing in objects:
        assert thing["metadata"]["labels"]["example.com/team"] == "accounts"
        assert thing["metadata"]["name"].startswith("demo-eraser")
    without = template("cluster-operator", "--set", "podDisruptionBudget.enabled=false")
    assert not of_kind(without, "PodDisruptionBudget")


def test_a_field_of_a_probe_is_replaced_and_the_rest_stays():
    (spec, _) = pod_specs(rendered("cluster-operator"))
    (container,) = spec["containers"]
    (usual,) = pod_specs(rendered("required"))[0]["containers"]
    assert container["livenessProbe"] == usual["livenessProbe"] | {"periodSeconds": 30}
    assert container["readinessProbe"] == usual["readinessProbe"] | {"failureThreshold": 2}
    assert container["startupProbe"] == usual["startupProbe"]


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
    (endpoint,) = the(rendered("cluster-operator"), "ServiceMonitor")["spec"]["endpoints"]
    asked = yaml.safe_load(values("cluster-operator").read_text())["serviceMonitor"]
    assert endpoint == {"port": "metrics"} | {key: asked[key] for key in asked.keys() - {"enabled"}}
    # Where nothing is ready, metrics are wanted most.
    assert service["spec"]["publishNotReadyAddresses"] is True


def test_the_rules_reach_prometheus_as_they_were_written(tmp_path):
    rule = the(rendered("everything"), "PrometheusRule")
    assert rule["apiVersion"] == "monitoring.coreos.com/v1"
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    written = (CHART / "files/alerts.yaml").read_text()
    written = written.replace(RUNBOOK, "https://wiki.example.com/runbooks/tagsweep")
    # Else the worker of another release would hide that this one is gone.
    assert written.count('job=~".*tagsweep.*"') == 1
    service = the(rendered("everything"), "Service")["metadata"]["name"]
    ours = f'job="tagsweep", namespace="default", service="{service}"'
    assert rule["spec"] == yaml.safe_load(written.replace('job=~".*tagsweep.*"', ours))
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
        ("replicaCount: -1", "/replicaCount"),
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
        ("secrets: {imSecretKey: {name: Tencent}}", "/secrets/imSecretKey/name"),
        ("secrets: {imSecretKey: {name: tencent}}", "/secret/imSecretKey"),
        ("secrets: {imSecretKey: tencent}", "/secrets/imSecretKey"),
        ("secrets: {broker: {name: tencent}}", "'broker' not allowed"),
        ("rabbitmq: {host: rabbit}", "/secrets/rabbitmqPassword/name"),
        ("rabbitmq: {host: 'amqp://u:pa55@rabbit'}", "/rabbitmq/host"),
        ("rabbitmq: {port: amqp}", "/rabbitmq/port"),
        ("traces: {endpoint: 'collector:4317'}", "/traces/endpoint"),
        ("traces: {endpoint: 'http://u:pa55@collector:4318'}", "/traces/endpoint"),
        ("extraVolumeMounts: [{name: ca}]", "missing property 'mountPath'"),
        ("initContainers: [{name: wait}]", "missing property 'image'"),
        ("commonLabels: {app.kubernetes.io/name: other}", "invalid propertyName 'app.kubernetes.io/name'"),
        ("podLabels: {team: 7}", "/podLabels/team"),
        ("probes: {liveness: {httpGet: {path: /}}}", "'httpGet' not allowed"),
        ("probes: {readiness: {periodSeconds: 0}}", "/probes/readiness/periodSeconds"),
        ("podDisruptionBudget: {maxUnavailable: 0}", "/podDisruptionBudget/maxUnavailable"),
        ("serviceMonitor: {interval: 15}", "/serviceMonitor/interval"),
        ("dnsConfig: {server: 10.0.0.1}", "'server' not allowed"),
        ("reloader: auto", "/reloader"),
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
        "/secret/imSecretKey",
        "/secret/rabbitmqUrl",
    }


def test_the_schema_of_the_configuration_is_the_programs_own():
    schema = json.loads(config_schema.FILE.read_text())
    assert schema["properties"]["config"] == config_schema.expected(), (
        "python tests/deploy/config_schema.py writes it anew"
    )


# Documentation.


def test_the_readme_has_every_value_with_its_default_and_its_comment():
    _, table = values_table.written()
    assert table == values_table.expected(), "python tests/deploy/values_table.py writes it anew"
    for name, _ in values_table.leaves(yaml.safe_load((CHART / "values.yaml").read_text())):
        assert f"| `{name}` |" in table


def test_the_schema_and_the_values_name_the_same_things():
    schema = json.loads(config_schema.FILE.read_text())["properties"]
    assert schema.keys() - {"global"} == yaml.safe_load((CHART / "values.yaml").read_text()).keys()


def test_the_grace_period_is_the_programs_default():
    default = tomllib.loads((ROOT / "config/default.toml").read_text())
    chart = yaml.safe_load((CHART / "values.yaml").read_text())
    assert chart["config"]["shutdown"] == default["shutdown"]
