"""podman with a storage, networks and settings of its own, of which nothing is left at the end."""

import json
import os
import pathlib
import resource
import subprocess
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).parents[2]
PATIENCE = 120


class Podman:
    """Below `folder`; every command, also of podman-compose, finds it by the environment."""

    def __init__(self, folder):
        self.folder = folder
        _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
        (folder / "networks").mkdir()
        # runc instead of crun, which refuses hybrid cgroups; limits that it may set; no systemd is needed.
        (folder / "containers.conf").write_text(f"""
[containers]
default_ulimits = ["nofile={files}:{files}", "nproc=4096:4096"]
log_driver = "k8s-file"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
infra_image = ""
volume_path = "{folder}/volumes"
static_dir = "{folder}/libpod"
tmp_dir = "{folder}/tmp"
[network]
network_backend = "netavark"
network_config_dir = "{folder}/networks"
""")
        (folder / "storage.conf").write_text(f"""
[storage]
driver = "overlay"
graphroot = "{folder}/storage"
runroot = "{folder}/run"
""")
        self.environment = os.environ | {
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
            # Only this format has health checks.
            "BUILDAH_FORMAT": "docker",
        }

    def run(self, *command, check=True, timeout=300, **variables):
        """Any command, with this podman."""
        done = subprocess.run(
            [str(part) for part in command], cwd=ROOT, env=self.environment | variables, capture_output=True,
            text=True, timeout=timeout,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done

    def __call__(self, *arguments, **options):
        return self.run("podman", *arguments, **options).stdout.strip()

    def inspect(self, container):
        return json.loads(self("container", "inspect", container))[0]

    def address(self, container):
        (network,) = self.inspect(container)["NetworkSettings"]["Networks"].values()
        return network["IPAddress"]

    def logs(self, container):
        done = self.run("podman", "logs", container)
        return done.stdout + done.stderr

    def healthy(self, container):
        """Whether its own health check passes now. Without systemd nobody else runs it."""
        return self.run("podman", "healthcheck", "run", container, check=False).returncode == 0

    def clean_up(self):
        self.run("podman", "pod", "rm", "--all", "--force", "--time", "0", check=False)
        self.run("podman", "rm", "--all", "--force", "--time", "0", "--volumes", check=False)
        self.run("podman", "network", "prune", "--force", check=False)
        self.run("podman", "system", "reset", "--force", check=False)


def eventually(what, look, patience=PATIENCE, why=lambda: ""):
    """Waits until `look` gives something; `why` tells of what else is known if it does not."""
    end = time.monotonic() + patience
    while True:
        if found := look():
            return found
        assert time.monotonic() < end, f"not within {patience} s: {what}\n{why()}"
        time.sleep(0.2)


def ask(url, data=None):
    """Status and body."""
    try:
        with urllib.request.urlopen(url, data, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()
    except OSError as failed:
        return None, str(failed)
