"""The alert rules: promtool plays them, and what it cannot see is checked here."""

import re
import subprocess

import pytest
import yaml
from metric_names import ROOT, RUNBOOK, rules, unknown_in

PROMETHEUS = ROOT / "deploy/prometheus"


def promtool(*arguments):
    end = subprocess.run(["promtool", *arguments], cwd=PROMETHEUS, capture_output=True, text=True)
    assert end.returncode == 0, end.stdout + end.stderr


def test_the_configuration_of_prometheus_and_the_rules_are_valid():
    promtool("check", "config", "prometheus.yml")
    promtool("check", "rules", "alerts.yaml")


def test_every_alert_fires_in_time_and_is_silent_on_normal_days():
    promtool("test", "rules", "alerts_test.yaml")


def test_every_alert_is_played_both_ways():
    played = {}
    for case in yaml.safe_load((PROMETHEUS / "alerts_test.yaml").read_text())["tests"]:
        for step in case.get("alert_rule_test", []):
            played.setdefault(step["alertname"], set()).add(bool(step["exp_alerts"]))
    assert played == {rule["alert"]: {True, False} for rule in rules()}


def test_the_normal_day_would_not_pass_with_alerts_that_fire_at_once(tmp_path):
    """Else it might be silent because nothing in it comes near any alert."""
    text = (PROMETHEUS / "alerts.yaml").read_text()
    (tmp_path / "alerts.yaml").write_text(re.sub(r"\n +for: \w+", "", text))
    head, normal_day, *_ = (PROMETHEUS / "alerts_test.yaml").read_text().split("\n  - name: ")
    asked = 'count_over_time(sum(ALERTS{alertstate="firing"})[1h:30s])'
    assert normal_day.count(asked) == 1
    by_name = 'count by (alertname) (count_over_time(ALERTS{alertstate="firing"}[1h:30s]))'
    cases = head + "\n  - name: " + normal_day.replace(asked, by_name)
    (tmp_path / "alerts_test.yaml").write_text(cases)
    end = subprocess.run(
        ["promtool", "test", "rules", "alerts_test.yaml"], cwd=tmp_path, capture_output=True, text=True
    )
    assert end.returncode == 1
    at_once = set(re.findall(r'alertname=\\?"(\w+)', end.stdout + end.stderr))
    assert at_once == {
        "TagsweepDeadLettersStay",
        "TagsweepEventsTooOld",
        "TagsweepPaused",
        "TagsweepThrottled",
    }


def test_nothing_pages_for_a_standby():
    for rule in rules():
        assert "standby" not in rule["expr"], rule["alert"]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_says_how_bad_it_is_what_it_means_and_where_to_read_on(rule):
    name, notes = rule["alert"], rule["annotations"]
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["labels"]["severity"] == "warning" or "for" in rule, "nobody is paged for a moment"
    assert notes["summary"] and not notes["summary"].endswith(".")
    assert notes["description"].endswith(".")
    assert notes["runbook_url"] == f"{RUNBOOK}#{name.lower()}"


def test_every_alert_has_a_section_of_the_runbook_and_every_section_its_alert():
    runbook = (ROOT / "docs/OPERATIONS.md").read_text()
    sections = dict(re.findall(r"^### (Tagsweep\w+)\n(.+?)(?=^#)", runbook, re.MULTILINE | re.DOTALL))
    assert sections.keys() == {rule["alert"] for rule in rules()}
    for alert, text in sections.items():
        parts = re.findall(r"^\*\*(Means|Look at|Do)(?=[:*])", text, re.MULTILINE)
        assert parts == ["Means", "Look at", "Do"], alert


def test_the_comment_names_the_base_that_all_links_have():
    text = (PROMETHEUS / "alerts.yaml").read_text()
    assert f"sed -i 's|{RUNBOOK}|" in text
    assert text.count("://") - text.count("https://YOUR-HOST") == len(rules()) + 1


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_uses_metrics_and_labels_that_are_exported(rule):
    assert not unknown_in(rule["expr"])


@pytest.mark.parametrize(
    ("expression", "unknown"),
    [
        ("rate(tagsweep_nothing_total[5m]) > 0", {"tagsweep_nothing_total"}),
        ('tagsweep_state{status="paused"} == 1', {"tagsweep_state{status}"}),
        ("sum by (code) (tagsweep_live)", {"code"}),
        ("sum by (le) (rate(tagsweep_window_ids_bucket[5m])) or absent(up == 1)", set()),
    ],
)
def test_what_is_not_exported_would_be_noticed(expression, unknown):
    assert unknown_in(expression) == unknown
