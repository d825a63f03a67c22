"""Ten minutes with trouble, as `make soak` plays them: two workers, broker, simulator and a real Prometheus.

Prometheus then tells for every metric between what it moved, and for every query of the dashboard what it
gives. Both become docs/SOAK.md. It fails when a metric is not there, moves where it must not or stands still
where it must move, and when a query of the dashboard gives nothing.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path

import metric_names

ROOT = Path(__file__).parents[2]
BINARIES = Path(os.environ["TAGSWEEP"]).parent
MINUTE = float(os.environ.get("SOAK_MINUTE", "60"))
PATIENCE = 60

# These may stand still: nothing in ten minutes has to change them.
STEADY = {"tagsweep_broker_sessions_total", "tagsweep_build_info", "tagsweep_highest_delivery_count", "tagsweep_live", "tagsweep_ready",
          "tagsweep_log_lines_dropped_total", "tagsweep_queue_consumers", "tagsweep_quota_limit_calls_per_second"}

HEAD = """# A soak

Written by `make soak`. What the metrics mean is in [METRICS.md](METRICS.md).
"""
SOAK = """
## What a soak showed

Ten minutes: two workers, a real broker, and a simulator that failed every fifth call for a minute, said twenty times that
calls come too often, had its feature off for a minute and a half, rejected one user, and did not know every 200th. Then
the working replica ended, and came back as the standby. Least and most of all series, as Prometheus saw them.
"""
DASHBOARD = """
## What the dashboard showed

Each of its queries, asked at the end of the same ten minutes. *Why it pauses* is empty, as nothing paused by then.
"""


def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def ask(url, method="GET"):
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=PATIENCE) as answer:
        return answer.read().decode()


def eventually(what, look):
    """Waits until `look` gives something."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if found := look():
                return found
        time.sleep(0.1)
    sys.exit(f"not within {PATIENCE} s: {what}")


class Stage:
    def __init__(self, folder, stack):
        self.folder, self.stack = folder, stack
        node = self.start("broker", [BINARIES / "rabbitmq-node"], stdin=subprocess.PIPE)
        self.broker = self.first_line(node)
        simulator = self.start("simulator", [
            BINARIES / "im-simulator", "--listen", "127.0.0.1:0", "--latency", "20ms", "--latency-jitter", "60ms",
            "--unknown-accounts", "error-list", "--fault", "90001:user=soak-0000007",
        ])
        self.api = self.first_line(simulator).removeprefix("listening on ")
        self.environment = {
            "TAGSWEEP__RABBITMQ__URL": self.broker,
            "TAGSWEEP__IM__BASE_URL": self.api,
            "TAGSWEEP__IM__SDK_APP_ID": "1400000000",
            # The simulator's own default, Tencent's public demo key.
            "TAGSWEEP__IM__SECRET_KEY": "5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e",
        }
        self.workers = {name: port() for name in ("a", "b")}
        self.prometheus = f"http://127.0.0.1:{port()}"
        # Users with a tag; those beyond them are unknown to the API.
        users = {"users": [f"soak-{number:07}" for number in range(50_000)], "tags": ["soak"]}
        self.post("/_sim/users", users)
        self.published = 0

    def start(self, name, command, **options):
        log = open(self.folder / f"{name}.log", "ab")
        options = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log} | options
        if name in ("broker", "simulator"):
            options["stdout"] = subprocess.PIPE
        process = subprocess.Popen([str(part) for part in command], **options)
        self.stack.callback(self.end, process)
        return process

    def end(self, process):
        if process.stdin:
            process.stdin.close()
        else:
            process.terminate()
        process.wait(PATIENCE)

    def first_line(self, process):
        return process.stdout.readline().decode().strip()

    def worker(self, name):
        listen = {"TAGSWEEP__ADMIN__LISTEN": f"127.0.0.1:{self.workers[name]}"}
        process = self.start(name, [BINARIES / "tagsweep", "run"], env=self.environment | listen)
        eventually(f"worker {name} is ready", lambda: ask(f"http://127.0.0.1:{self.workers[name]}/readyz"))
        return process

    def scrape(self):
        targets = [f"127.0.0.1:{port}" for port in self.workers.values()]
        (self.folder / "prometheus.yml").write_text(json.dumps({
            "global": {"scrape_interval": "2s", "evaluation_interval": "5s"},
            "rule_files": [str(ROOT / "deploy/prometheus/alerts.yaml")],
            "scrape_configs": [{"job_name": "tagsweep", "static_configs": [{"targets": targets}]}],
        }))
        self.start("prometheus", [
            "prometheus", f"--config.file={self.folder}/prometheus.yml",
            f"--storage.tsdb.path={self.folder}/data", f"--web.listen-address={self.prometheus.removeprefix('http://')}",
        ])
        eventually("Prometheus is ready", lambda: ask(f"{self.prometheus}/-/ready"))

    def query(self, expression):
        """The values of an expression, each with its labels."""
        url = f"{self.prometheus}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        answer = json.loads(ask(url))["data"]["result"]
        return [(series["metric"], float(series["value"][1])) for series in answer]

    def publish(self, users):
        """The next users, of whom one in two hundred is unknown to the API."""
        numbers = range(self.published, self.published + users)
        self.published += users
        lines = (f"soak-{number + (5_000_000 if number % 200 == 199 else 0):07}\n" for number in numbers)
        subprocess.run([BINARIES / "tagsweep", "publish", "--file", "-"], input="".join(lines).encode(), check=True,
                       env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def fault(self, **rule):
        self.post("/_sim/faults", rule)

    def post(self, path, body):
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(self.api + path, json.dumps(body).encode(), headers)
        urllib.request.urlopen(request, timeout=PATIENCE).close()

    def faults_end(self):
        ask(f"{self.api}/_sim/faults", method="DELETE")

    def minutes(self, count, users_a_second):
        """Lets time pass in which events come in."""
        end = time.monotonic() + count * MINUTE
        while time.monotonic() < end:
            self.publish(users_a_second * 5)
            time.sleep(max(0.0, min(5.0, end - time.monotonic())))


def play(stage):
    stage.scrape()
    first = stage.worker("a")
    stage.worker("b")
    stage.minutes(2, 20)
    # More than the quota lets through at once.
    stage.publish(20_000)
    stage.minutes(1, 20)
    stage.fault(fault="91000", p=0.2)
    stage.minutes(1, 50)
    stage.faults_end()
    stage.fault(fault="60007", next=20)
    stage.minutes(1, 50)
    stage.fault(fault="90045")
    # More than the worker takes into its hands: the rest waits in the queue.
    stage.minutes(1.5, 100)
    stage.faults_end()
    stage.minutes(1, 20)
    # The standby takes over.
    stage.end(first)
    stage.minutes(1, 20)
    stage.worker("a")
    stage.minutes(1, 20)


def table(head, rows):
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in [head, *rows]]
    return [lines[0], "|" + "---|" * len(head), *lines[1:]]


def written(stage):
    window = f"{int(11 * MINUTE) + 60}s"
    exported = sorted(set(metric_names.exported()) - {"up"})
    moved = []
    for name in exported:
        least, most = ([value for _, value in stage.query(f"{edge}_over_time({name}[{window}])")] for edge in ("min", "max"))
        if not least:
            sys.exit(f"Prometheus has no {name}")
        if name.startswith("tagsweep_") and name not in STEADY and min(least) == max(most):
            sys.exit(f"{name} stood still at {max(most)}")
        moved.append([f"`{name}`", f"{min(least):.6g}", f"{max(most):.6g}"])
    shown = []
    for title, expression in metric_names.queries():
        series = stage.query(expression)
        shown.append([title, f"`{expression}`", str(len(series)), f"{series[0][1]:.6g}" if series else "–"])
        if not series:
            print(f"the dashboard's {title!r} shows nothing: {expression}", file=sys.stderr)
    return "\n".join([
        HEAD,
        SOAK,
        *table(["series", "least", "most"], moved),
        DASHBOARD,
        *table(["panel", "query", "series", "first value"], shown),
    ]) + "\n"


def main():
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stage = Stage(folder, stack)
        play(stage)
        (ROOT / "docs/SOAK.md").write_text(written(stage))


if __name__ == "__main__":
    main()
