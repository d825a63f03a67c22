"""The dashboard: every query parses and uses what is exported, every panel can be read at night."""

import json
import runpy
import subprocess

import pytest
import yaml
from metric_names import DASHBOARD, ROOT, exported, panels, queries, rules, unknown_in, used

GRAFANA = ROOT / "deploy/grafana"
# Grafana 12 has these and has not marked them as old.
KINDS = {"stat", "state-timeline", "timeseries", "heatmap"}


def dashboard():
    return json.loads(DASHBOARD.read_text())


def test_the_file_is_what_the_script_makes():
    script = runpy.run_path(str(GRAFANA / "dashboard.py"))
    assert DASHBOARD.read_text() == script["written"](), "run deploy/grafana/dashboard.py"


def test_every_query_is_valid_promql(tmp_path):
    group = [{"record": f"query:{place}", "expr": expr} for place, (_, expr) in enumerate(queries())]
    assert len(group) > 20
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": group}]}))
    end = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True)
    assert end.returncode == 0, end.stdout + end.stderr


@pytest.mark.parametrize(("title", "expression"), list(queries()))
def test_a_query_uses_metrics_and_labels_that_are_exported(title, expression):
    assert not unknown_in(expression)


def test_everything_that_is_exported_for_people_is_shown_or_watched():
    not_needed = {"process_max_fds", "process_open_fds", "process_threads", "process_virtual_memory_bytes"}
    shown = {name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum") for name in used()}
    there = {name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum") for name in exported()}
    assert there - shown == not_needed


def test_every_query_keeps_to_the_chosen_replicas():
    for panel in panels():
        for target in panel["targets"]:
            expression = target["expr"]
            selectors = expression.count('job=~"$job", instance=~"$instance"')
            assert selectors == expression.count("tagsweep_") + expression.count("process_"), panel["title"]
            assert target["datasource"]["uid"] == "${datasource}"


def test_ids_are_unique_and_no_panel_lies_on_another():
    all_panels = dashboard()["panels"]
    ids = [panel["id"] for panel in all_panels]
    assert len(ids) == len(set(ids))
    taken = set()
    for panel in all_panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_a_panel_has_a_unit_and_says_what_is_normal(panel):
    assert panel["type"] in KINDS
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["description"].startswith("Normal: ")
    assert all(target["legendFormat"] for target in panel["targets"])


def test_whoever_is_woken_finds_the_metric_of_the_alert_on_the_dashboard():
    shown = {name for _, expression in queries() for name in exported() if name in expression}
    for rule in rules():
        watched = {name for name in exported() if name in rule["expr"]} - {"up"}
        assert watched <= shown, rule["alert"]


def test_grafana_finds_data_source_and_dashboard():
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    mounts = dict(volume.split(":")[1::-1] for volume in compose["grafana"]["volumes"])
    provider = yaml.safe_load((GRAFANA / "provisioning/dashboards/tagsweep.yaml").read_text())["providers"][0]
    folder = ROOT / mounts[provider["options"]["path"]]
    assert (folder / DASHBOARD.name).samefile(DASHBOARD)
    home = compose["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/{DASHBOARD.name}"

    source = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yaml").read_text())["datasources"][0]
    prometheus = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    assert source["url"] == "http://prometheus:9090" and "prometheus" in compose
    assert source["jsonData"]["timeInterval"] == prometheus["global"]["scrape_interval"]


def test_it_is_in_the_format_of_grafana_11_and_12():
    made = dashboard()
    assert 39 <= made["schemaVersion"] <= 41
    assert [variable["name"] for variable in made["templating"]["list"]] == ["datasource", "job", "instance"]
    assert "__inputs" not in made and "id" not in made
