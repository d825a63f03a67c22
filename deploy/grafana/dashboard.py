#!/usr/bin/env python3
"""Writes dashboards/tagsweep.json. Change the dashboard here, then: deploy/grafana/dashboard.py

A test holds the file equal to what this makes. In an expression @ stands for the chosen job and instances.
"""

import json
from pathlib import Path

FILE = Path(__file__).parent / "dashboards/tagsweep.json"
SELECTED = 'job=~"$job", instance=~"$instance"'
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
GREEN, BLUE, ORANGE, RED, PURPLE = "green", "blue", "orange", "red", "purple"
STATES = {"consuming": GREEN, "standby": BLUE, "draining": PURPLE, "connecting": ORANGE, "paused": RED}


def panel(kind, title, description, unit, *queries, width=8, height=8, defaults=None, overrides=(), options=None):
    """Each query is an expression and a legend; a third member is the query's format."""
    targets = [
        {
            "refId": chr(ord("A") + place),
            "datasource": SOURCE,
            "expr": expression.replace("@", SELECTED),
            "legendFormat": legend,
            "format": form[0] if form else "time_series",
            # One number needs the last moment only.
            "instant": kind == "stat",
            "range": kind != "stat",
        }
        for place, (expression, legend, *form) in enumerate(queries)
    ]
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": SOURCE,
        "gridPos": {"w": width, "h": height},
        "fieldConfig": {"defaults": {"unit": unit, **(defaults or {})}, "overrides": list(overrides)},
        "options": options or {},
        "targets": targets,
    }


def thresholds(*steps):
    """A colour, and then at which value which other begins."""
    return {
        "color": {"mode": "thresholds"},
        "thresholds": {
            "mode": "absolute",
            "steps": [{"color": steps[0], "value": None}]
            + [{"value": value, "color": color} for value, color in steps[1:]],
        },
    }


def colored(name, color):
    """For all series whose names end like this."""
    return {
        "matcher": {"id": "byRegexp", "options": f"/{name}$/"},
        "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": color}}],
    }


def texts(*answers):
    """What is shown instead of a value, and in which colour."""
    shown = {str(value): {"text": text, "color": color, "index": value} for value, text, color in answers}
    return [{"type": "value", "options": shown}]


def stat(title, description, unit, *queries, width, defaults, overrides=(), text="value"):
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "textMode": text,
        "colorMode": "background",
        "graphMode": "none",
        "justifyMode": "center",
    }
    return panel(
        "stat", title, description, unit, *queries,
        width=width, height=5, defaults=defaults, overrides=overrides, options=options,
    )  # fmt: skip


def lines(title, description, unit, *queries, width=8, stacked=False, overrides=(), **defaults):
    custom = {
        "lineWidth": 1,
        "fillOpacity": 40 if stacked else 10,
        "showPoints": "never",
        "stacking": {"mode": "normal" if stacked else "none"},
    }
    options = {
        "legend": {"displayMode": "list", "placement": "bottom", "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return panel(
        "timeseries", title, description, unit, *queries,
        width=width, defaults={"min": 0, "custom": custom, **defaults}, overrides=overrides, options=options,
    )  # fmt: skip


def quantiles(histogram):
    by_bucket = f"sum by (le) (rate({histogram}_bucket{{@}}[$__rate_interval]))"
    return [(f"histogram_quantile({share / 100}, {by_bucket})", f"{share} %") for share in (50, 95, 99)]


def rates(metric, label):
    return f"sum by ({label}) (rate({metric}{{@}}[$__rate_interval]))", f"{{{{{label}}}}}"


def dashed(name):
    return {
        "matcher": {"id": "byName", "options": name},
        "properties": [
            {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [8, 8]}},
            {"id": "custom.fillOpacity", "value": 0},
            {"id": "custom.stacking", "value": {"mode": "none"}},
            {"id": "color", "value": {"mode": "fixed", "fixedColor": RED}},
        ],
    }


NOW = [
    stat(
        "What it does",
        "Normal: one replica is consuming, the others stand by; before the first event all do. Paused: the API "
        "refuses or fails, see beside. Connecting: no broker session, see the log.",
        "none",
        ("tagsweep_state{@} == 1", "{{instance}} {{state}}"),
        width=6,
        defaults={"noValue": "nothing answers", "color": {"mode": "fixed", "fixedColor": RED}},
        overrides=[colored(state, color) for state, color in STATES.items()],
        text="name",
    ),
    stat(
        "Why it pauses",
        "Normal: not paused. Else the class of the API's error code: transient means an outage, which ends by "
        "itself; config and auth-refresh need somebody (key, clock, feature, admin right). `tagsweep explain CODE` "
        "says more.",
        "none",
        ("tagsweep_pause_reason{@} == 1", "{{class}}"),
        width=3,
        defaults={"noValue": "not paused", "color": {"mode": "fixed", "fixedColor": RED}},
        text="name",
    ),
    stat(
        "Health",
        "Normal: ready. What /readyz and /livez say, of all replicas the worst. Not ready: /readyz says why. Stuck: "
        "events are in hand and none gets done, with no error that explains it; a restart loses nothing.",
        "none",
        ("min(tagsweep_live{@} * (1 + tagsweep_ready{@}))", "health"),
        width=3,
        defaults={
            "mappings": texts((0, "stuck", RED), (1, "not ready", ORANGE), (2, "ready", GREEN)),
            "noValue": "nothing answers",
            **thresholds(RED, (1, ORANGE), (2, GREEN)),
        },
    ),
    stat(
        "Oldest event in hand",
        "Normal: seconds. By the event's own time, so a backlog or redriven dead letters show here too. It pages "
        "after 15 minutes.",
        "s",
        ("max(tagsweep_oldest_event_seconds{@})", "age"),
        width=3,
        defaults={"decimals": 0, **thresholds(GREEN, (300, ORANGE), (900, RED))},
    ),
    stat(
        "Waiting in the queue",
        "Normal: about none. Messages that the broker has not delivered to anybody. 1,000,000 users take less "
        "than two minutes with a quota of 100 calls a second.",
        "short",
        ("max(tagsweep_queue_ready_messages{@})", "messages"),
        width=3,
        defaults={"noValue": "not counted", **thresholds(GREEN, (100_000, ORANGE), (1_000_000, RED))},
    ),
    stat(
        "Dead letters, last hour",
        "Normal: none. Each is an event whose users are not cleared until somebody looks; the reasons are below.",
        "short",
        ("sum(increase(tagsweep_dead_letters_total{@}[1h]))", "dead letters"),
        width=3,
        defaults={"decimals": 0, **thresholds(GREEN, (0.5, ORANGE), (100, RED))},
    ),
    stat(
        "Quota in use",
        "Normal: anything up to 100 %; it is full while a backlog is worked off. Calls that ended in the last "
        "minute, as part of im.calls_per_second. Above 80 % of the app's quota Tencent sends its own alarm.",
        "percentunit",
        (
            "max(sum by (job, instance) (rate(tagsweep_api_calls_total{@}[1m]))"
            " / sum by (job, instance) (tagsweep_quota_limit_calls_per_second{@}))",
            "of the quota",
        ),
        width=3,
        defaults={"decimals": 0, "noValue": "0 %", **thresholds(GREEN, (0.8, ORANGE), (1.01, RED))},
    ),
    panel(
        "state-timeline",
        "State",
        "Normal: green and blue throughout. A takeover shows as blue turning green.",
        "none",
        (
            "max by (instance) ("
            + " or ".join(f'tagsweep_state{{@, state="{state}"}} * {place}' for place, state in enumerate(STATES, 1))
            + ")",
            "{{instance}}",
        ),
        width=24,
        height=5,
        defaults={
            "custom": {"fillOpacity": 80, "lineWidth": 0},
            "mappings": texts(*((place, state, STATES[state]) for place, state in enumerate(STATES, 1))),
        },
        options={"showValue": "auto", "mergeValues": True, "legend": {"showLegend": False}},
    ),
]

THROUGHPUT = [
    lines(
        "Events",
        "Normal: done, as high as received. returned and repeated are what comes again: some after a lost session, "
        "else none. ignored are events of other types; dead_lettered needs somebody. Rules: what each one decided.",
        "cps",
        rates("tagsweep_events_total", "result"),
        ("sum by (rule) (rate(tagsweep_events_matched_total{@}[$__rate_interval]))", "rule {{rule}}"),
        ("sum(rate(tagsweep_events_received_total{@}[$__rate_interval]))", "received"),
        overrides=[dashed("received")],
    ),
    lines(
        "Users",
        "Normal: cleared. missing are users whom the API does not know, which is fine where accounts are gone "
        "already. dead_lettered needs somebody.",
        "cps",
        rates("tagsweep_users_total", "outcome"),
        stacked=True,
    ),
    lines(
        "Calls by code",
        "Normal: 0 (done), below the dashed quota. Other numbers are the API's error codes, words what kept an "
        "answer away (timeout, connect, tls …). `tagsweep explain CODE` says what each means.",
        "reqps",
        rates("tagsweep_api_calls_total", "code"),
        ("max(tagsweep_quota_limit_calls_per_second{@})", "quota"),
        stacked=True,
        overrides=[dashed("quota")],
    ),
    lines(
        "Windows by trigger",
        "Normal: full under load, expired in a trickle. retry and split mean that calls failed; drain comes at "
        "the end of a process.",
        "cps",
        rates("tagsweep_windows_total", "trigger"),
        stacked=True,
    ),
    lines(
        "Users per call",
        "Normal: 100 under load, fewer in a trickle. Below 100 while the queue is not empty: splits, or "
        "window.max_ids is set low.",
        "short",
        (
            "sum(rate(tagsweep_window_ids_sum{@}[$__rate_interval]))"
            " / sum(rate(tagsweep_window_ids_count{@}[$__rate_interval]))",
            "mean",
        ),
    ),
    lines(
        "Pace",
        "Normal: both equal. The pace is halved when the API rate-limits a call, and recovers slowly; each "
        "such answer is a bar. If they go on, another program uses the app's quota.",
        "reqps",
        ("max(tagsweep_quota_calls_per_second{@})", "pace"),
        ("max(tagsweep_quota_limit_calls_per_second{@})", "quota"),
        ("sum(increase(tagsweep_quota_throttled_total{@}[$__rate_interval]))", "throttled"),
        overrides=[
            dashed("quota"),
            {
                "matcher": {"id": "byName", "options": "throttled"},
                "properties": [
                    {"id": "unit", "value": "short"},
                    {"id": "custom.drawStyle", "value": "bars"},
                    {"id": "custom.axisPlacement", "value": "right"},
                    {"id": "color", "value": {"mode": "fixed", "fixedColor": ORANGE}},
                ],
            },
        ],
    ),
]

DELAY = [
    lines(
        "API latency",
        "Normal: some tens of milliseconds. Calls that take longer than im.max_in_flight / im.calls_per_second "
        "(160 ms by default) keep the worker below its quota.",
        "s",
        *quantiles("tagsweep_api_call_seconds"),
    ),
    panel(
        "heatmap",
        "API latency, all calls",
        "Normal: one band. A second band at im.request_timeout (10 s) is calls without an answer.",
        "s",
        ("sum by (le) (increase(tagsweep_api_call_seconds_bucket{@}[$__rate_interval]))", "{{le}}", "heatmap"),
        options={
            "calculate": False,
            "cellGap": 1,
            "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64},
            "yAxis": {"unit": "s", "axisPlacement": "left"},
            "tooltip": {"mode": "single", "yHistogram": False},
        },
    ),
    lines(
        "Event age when done",
        "Normal: a second or two. From the event's own time to its acknowledgement; events without a time are "
        "left out. Minutes and more are the way out of a backlog, or redriven dead letters.",
        "s",
        *quantiles("tagsweep_event_age_seconds"),
    ),
]

IN_HAND = [
    lines(
        "In hand",
        "Normal: deliveries at rabbitmq.prefetch under load and near 0 without. Users wait for a call that the "
        "quota allows. All flat above 0: nothing gets done.",
        "short",
        ("sum(tagsweep_unsettled_deliveries{@})", "deliveries"),
        ("sum(tagsweep_pending_ids{@})", "users who wait for a call"),
        ("sum(tagsweep_in_flight_calls{@})", "calls in flight"),
    ),
    lines(
        "Waiting in the queue",
        "Normal: near 0, or falling. As the broker counts it.",
        "short",
        ("max(tagsweep_queue_ready_messages{@})", "messages"),
    ),
    lines(
        "Since the last progress",
        "Normal: below a second or two. Since something was settled, or nothing was in hand. Grows in a pause, "
        "and when the worker is stuck: that pages after 5 minutes.",
        "s",
        ("time() - tagsweep_last_progress_timestamp_seconds{@}", "{{instance}}"),
    ),
    lines(
        "Dead letters by reason",
        "Normal: none. malformed-event and invalid-user-id are a publisher's fault; rejected-by-api and "
        "retries-exhausted name users whom the API does not take.",
        "short",
        ("sum by (reason) (increase(tagsweep_dead_letters_total{@}[$__rate_interval]))", "{{reason}}"),
        stacked=True,
    ),
    lines(
        "Dead letters in their queue",
        "Normal: none. As the broker counts them, those that it moved there itself included. After 4 hours it is an "
        "alert.",
        "short",
        ("max(tagsweep_dead_letter_queue_messages{@})", "messages"),
    ),
    lines(
        "Unknown users",
        "Normal: few, or all where accounts are deleted before their event comes. The share of users that the API "
        "does not know; most of them at once: another app, another region, another form of IDs.",
        "percentunit",
        (
            'sum(rate(tagsweep_users_total{@, outcome="missing"}[$__rate_interval]))'
            " / sum(rate(tagsweep_users_total{@}[$__rate_interval]))",
            "of all users",
        ),
    ),
    lines(
        "Broker sessions opened",
        "Normal: one at the start of a process. One every few minutes is a broken network, a broker that "
        "restarts, or a login that is taken back.",
        "short",
        ("increase(tagsweep_broker_sessions_total{@}[$__rate_interval])", "{{instance}}"),
    ),
    lines(
        "Consumers of the queue",
        "Normal: 1, as the broker counts the active one only where the queue has a single active consumer; else "
        "the number of replicas. 0: nobody is there.",
        "short",
        ("max(tagsweep_queue_consumers{@})", "consumers"),
    ),
    lines(
        "Highest delivery count",
        "Normal: 0, one more after an outage. How often the event in hand that was returned most was returned to the "
        "queue. Close to the queue's delivery limit it is dead-lettered as returned-too-often.",
        "short",
        ("tagsweep_highest_delivery_count{@}", "{{instance}}"),
    ),
    lines(
        "Log lines dropped",
        "Normal: none. Whoever reads the log is gone or too slow; the worker does not wait for it.",
        "short",
        ("increase(tagsweep_log_lines_dropped_total{@}[$__rate_interval])", "{{instance}}"),
    ),
]

PROCESS = [
    lines(
        "CPU",
        "Normal: a few per cent of one core, well below a whole one at full quota.",
        "percentunit",
        ("rate(process_cpu_seconds_total{@}[5m])", "{{instance}}"),
    ),
    lines(
        "Memory",
        "Normal: some tens of MiB, messages in hand included: fewer are taken at a time when they are large.",
        "bytes",
        ("process_resident_memory_bytes{@}", "{{instance}}"),
    ),
    lines(
        "Time since start, by version",
        "Normal: grows. A saw is a process that ends again and again.",
        "s",
        (
            "(time() - process_start_time_seconds{@})"
            " * on (job, instance) group_right () tagsweep_build_info{@}",
            "{{instance}} {{version}} ({{commit}})",
        ),
    ),
]


def variable(name, **more):
    return {"name": name, "label": name, "hide": 0, "refresh": 2, "sort": 1, "type": "query", **more}


def chosen_from(name, query):
    return variable(
        name,
        datasource=SOURCE,
        definition=query,
        query={"query": query, "refId": name},
        includeAll=True,
        allValue=".*" if name == "instance" else ".*tagsweep.*",
        multi=True,
        current={"text": ["All"], "value": ["$__all"]},
    )


def laid_out(rows):
    """Rows of panels from left to right, each row below the one before."""
    panels, y, ids = [], 0, iter(range(1, 1000))
    for title, row in rows:
        panels.append(
            {
                "type": "row",
                "title": title,
                "collapsed": False,
                "panels": [],
                "id": next(ids),
                "gridPos": {"x": 0, "y": y, "w": 24, "h": 1},
            }
        )
        x, y = 0, y + 1
        for one in row:
            place = one["gridPos"]
            if x + place["w"] > 24:
                x, y = 0, y + height
            height = place["h"]
            panels.append({"id": next(ids), **one, "gridPos": {"x": x, "y": y, **place}})
            x += place["w"]
        y += height
    return panels


def dashboard():
    rows = [
        ("Now", NOW),
        ("Throughput", THROUGHPUT),
        ("Latency and age", DELAY),
        ("Backlog and broker", IN_HAND),
        ("Process", PROCESS),
    ]
    return {
        "title": "tagsweep",
        "uid": "tagsweep",
        "description": "Clears the tags of deleted or reset users: what it does, why it does not, and how much.",
        "tags": ["tagsweep"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "",
        "templating": {
            "list": [
                variable("datasource", type="datasource", query="prometheus", current={}),
                chosen_from("job", "label_values(tagsweep_state, job)"),
                chosen_from("instance", 'label_values(tagsweep_state{job=~"$job"}, instance)'),
            ]
        },
        "annotations": {"list": []},
        "links": [],
        "panels": laid_out(rows),
    }


def written():
    return json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(written())
