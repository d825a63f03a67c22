"""The .deb, built as the release builds it, and installed in a clean Debian."""

import json
import os
import re
import shlex
import tomllib

import pytest
from podman import ROOT

DEBIAN = "stand-in/debian"


@pytest.fixture(scope="module")
def package(podman, tmp_path_factory):
    folder = tmp_path_factory.mktemp("deb")
    folder.chmod(0o755)
    podman.run(ROOT / "packaging/prepare.sh", os.environ["TAGSWEEP"])
    # The release compresses it better, which takes minutes.
    podman.run("cargo", "deb", "--no-build", "--no-strip", "--fast", "--output", folder / "tagsweep.deb")
    (folder / "tagsweep.deb").chmod(0o644)
    return folder / "tagsweep.deb"


@pytest.fixture
def debian(podman, package):
    """A clean Debian with the package in it, not installed; runs commands of a shell there."""
    container = podman(
        "run", "--detach", "--network=none", "--volume", f"{package}:/tagsweep.deb:ro", DEBIAN, "sleep", "infinity"
    )

    def run(command, **options):
        return podman.run("podman", "exec", container, "sh", "-c", command, **options)

    yield run
    podman("rm", "--force", "--time", "0", container)


def test_it_installs_into_a_clean_debian_and_its_program_runs_from_there(debian):
    assert debian("command -v tagsweep", check=False).returncode != 0
    debian("dpkg --install /tagsweep.deb")
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    assert debian("tagsweep --version").stdout.startswith(f"tagsweep {version}")
    (user, _, number, _, _, home, shell) = debian("getent passwd tagsweep").stdout.strip().split(":")
    assert 100 <= int(number) < 1000 and (home, shell) == ("/nonexistent", "/usr/sbin/nologin")
    # The shipped configuration lacks only the secrets.
    secrets = "printf 5ec2e7 >/etc/tagsweep/im-secret-key; printf amqp://u:pa55@h >/etc/tagsweep/rabbitmq-url; "
    done = debian(f"{secrets} tagsweep check --offline --json")
    assert json.loads(done.stdout)[0]["detail"] == "valid: /etc/tagsweep/config.toml"


def test_unit_completions_and_man_pages_are_where_their_programs_look(debian):
    debian("dpkg --install /tagsweep.deb")
    files = debian("dpkg --listfiles tagsweep").stdout.split()
    for path in (
        "/usr/lib/systemd/system/tagsweep.service",
        "/usr/share/bash-completion/completions/tagsweep",
        "/usr/share/zsh/vendor-completions/_tagsweep",
        "/usr/share/fish/vendor_completions.d/tagsweep.fish",
        "/usr/share/man/man1/tagsweep.1.gz",
        "/usr/share/man/man1/tagsweep-check.1.gz",
    ):
        assert path in files, files
    unit = debian("cat /usr/lib/systemd/system/tagsweep.service").stdout
    (start,) = re.findall(r"^ExecStart=(.+)$", unit, re.MULTILINE)
    (user,) = re.findall(r"^User=(.+)$", unit, re.MULTILINE)
    program, *arguments = shlex.split(start)
    assert program in files and debian(f"id -u {user}").returncode == 0
    # As systemd would start it, up to what only systemd provides: it refuses that the secrets are missing.
    refused = debian(f"{start} ", check=False)
    assert refused.returncode == 78 and "/etc/tagsweep/im-secret-key" in refused.stderr, refused


def test_a_changed_configuration_stays_at_an_upgrade_and_is_gone_only_when_purged(debian):
    debian("dpkg --install /tagsweep.deb")
    debian("sed -i s/1400000000/1400000001/ /etc/tagsweep/config.toml")
    debian("dpkg --install --force-confold /tagsweep.deb")
    assert "1400000001" in debian("cat /etc/tagsweep/config.toml").stdout
    debian("dpkg --remove tagsweep")
    assert "1400000001" in debian("cat /etc/tagsweep/config.toml").stdout
    assert debian("ls /usr/bin/tagsweep", check=False).returncode != 0
    debian("dpkg --purge tagsweep")
    assert debian("ls /etc/tagsweep/config.toml", check=False).returncode != 0
