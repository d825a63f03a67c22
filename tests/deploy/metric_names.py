"""Which metrics the alert rules and the dashboard use, and which ones there are."""

import json
import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus/alerts.yaml"
# Where the links of the rules lead until somebody says where the runbook is.
RUNBOOK = "https://runbooks.example.com/tagsweep"
DASHBOARD = ROOT / "deploy/grafana/dashboards/tagsweep.json"

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
# These come with a scrape, and from Kubernetes.
TARGET_LABELS = {"job", "instance", "namespace", "service"}
OPERATORS = {"and", "or", "unless", "bool", "offset", "ignoring", "on", "by", "without"}


def exported():
    """Each sample that the worker exports, with the set of its labels; and what Prometheus adds."""
    metrics = {"up": TARGET_LABELS}
    for line in (Path(__file__).parent / "metrics.txt").read_text().splitlines():
        if not line.startswith("#"):
            name, labels = re.fullmatch(rf"({NAME})(?:{{(.+)}})?", line).groups()
            metrics[name] = TARGET_LABELS | set(labels.split(",") if labels else [])
    return metrics


def rules():
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def panels():
    """All panels that show something."""
    found = []
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        found += panel.get("panels", []) if panel["type"] == "row" else [panel]
    return found


def queries():
    """Every expression of the dashboard, with what Grafana fills in filled in."""
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], filled_in(target["expr"])


def filled_in(expression):
    for variable, value in {"$__rate_interval": "5m", "$__interval": "1m", "$job": "tagsweep", "$instance": ".*"}.items():
        expression = expression.replace(variable, value)
    assert "$" not in expression, f"a variable that is not known: {expression}"
    return expression


def used_by(expression):
    """The metrics of a PromQL expression, each with the labels that it is selected or grouped by."""
    expression = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)
    grouped = set()
    for labels in re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", expression):
        grouped |= set(re.findall(NAME, labels))
    expression = re.sub(r"\b(by|without|on|ignoring)\s*\([^)]*\)", " ", expression)
    expression = re.sub(r"\[[^\]]*\]", " ", expression)
    used = {}
    for name, follows, labels in re.findall(rf"({NAME})\s*(\(|{{([^}}]*)}})?", expression):
        if follows != "(" and name not in OPERATORS:
            used.setdefault(name, set()).update(re.findall(rf"({NAME})\s*[=!]", labels))
    return used, grouped


def used():
    """The names of all metrics that rules and dashboard use."""
    expressions = [rule["expr"] for rule in rules()] + [expression for _, expression in queries()]
    return {name for expression in expressions for name in used_by(expression)[0]}


def unknown_in(expression):
    """What an expression names that is not exported; nothing, if all is well."""
    known = exported()
    metrics, grouped = used_by(expression)
    assert metrics, f"no metric was found in {expression}"
    wrong = {name for name in metrics if name not in known}
    for name, labels in metrics.items():
        wrong |= {f"{name}{{{label}}}" for label in labels - known.get(name, labels)}
    return wrong | grouped - set().union(*(known.get(name, set()) for name in metrics))
