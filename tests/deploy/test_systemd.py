"""The systemd unit: systemd understands it, it shuts the worker off, and the worker takes what it hands over."""

import os
import pathlib
import subprocess
import tomllib

import pytest

ROOT = pathlib.Path(__file__).parents[2]
UNIT = ROOT / "packaging/systemd/tagsweep.service"
PROGRAM = "/usr/local/bin/tagsweep"


@pytest.fixture
def unit(tmp_path):
    """The unit with the program that is tested in the place of the installed one."""
    file = tmp_path / UNIT.name
    file.write_text(UNIT.read_text().replace(PROGRAM, os.environ["TAGSWEEP"]))
    return file


def service(key):
    """The values of a key that may be given several times."""
    lines = (line.split("=", 1) for line in UNIT.read_text().splitlines() if line.startswith(f"{key}="))
    return [value for _, value in lines]


def test_systemd_finds_nothing_to_mend(unit):
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    # It also tells of other units that this machine has.
    told = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert (done.returncode, told) == (0, [])


def test_the_exposure_that_systemd_reckons_is_at_most_1_5_of_10(unit):
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=15", "--no-pager", unit]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_worker_takes_the_credentials_and_refuses_to_start_without_one(tmp_path):
    (tmp_path / "config.toml").write_text((UNIT.parent / "config.toml").read_text())
    contents = {
        "im-secret-key": "5ec2e7-im-secret-key",
        "rabbitmq-url": "amqp://tagsweep:pa55@127.0.0.1:5672/%2f",
    }
    for credential in service("LoadCredential"):
        name, source = credential.split(":")
        assert source == f"/etc/tagsweep/{name}"
        (tmp_path / name).write_text(contents[name])
    environment = dict(text.replace("%d", str(tmp_path)).split("=", 1) for text in service("Environment"))
    (start,) = service("ExecStart")
    program, *arguments, command = start.replace("/etc/tagsweep", str(tmp_path)).split()
    assert (program, command) == (PROGRAM, "run")

    def check_offline():
        command = [os.environ["TAGSWEEP"], *arguments, "check", "--offline"]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    done = check_offline()
    assert done.returncode == 0, done.stdout
    (tmp_path / "im-secret-key").unlink()
    refused = check_offline()
    assert [str(refused.returncode)] == service("RestartPreventExitStatus")


def test_root_checks_what_the_worker_runs_with(tmp_path):
    """The shipped configuration alone, as `sudo tagsweep check` reads it."""
    shipped = (ROOT / "packaging/systemd/config.toml").read_text()
    (tmp_path / "config.toml").write_text(shipped.replace("/etc/tagsweep", str(tmp_path)))
    (tmp_path / "im-secret-key").write_text("5ec2e7-im-secret-key\n")
    (tmp_path / "rabbitmq-url").write_text("amqp://tagsweep:pa55@127.0.0.1:5672/%2f\n")
    command = [os.environ["TAGSWEEP"], "--config", tmp_path / "config.toml", "check", "--offline"]
    done = subprocess.run(command, env={}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_systemd_waits_ten_seconds_longer_than_the_worker():
    default = tomllib.loads((ROOT / "config/default.toml").read_text())["shutdown"]["grace_period"]
    (timeout,) = service("TimeoutStopSec")
    assert (default, timeout) == ("25s", "35s")
