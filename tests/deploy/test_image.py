"""The container image, as far as it can be judged without building it."""

import os
import re
import shutil
import subprocess
import tomllib

import pytest
from metric_names import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
CARGO = tomllib.loads((ROOT / "Cargo.toml").read_text())
# What gcr.io/distroless/cc holds beside the loader.
DISTROLESS_CC = {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}


def stages():
    """Each stage by its name: its base, and its instructions with their arguments."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE).replace("\\\n", " ")
    found, images = {}, {}
    for line in filter(None, map(str.strip, text.splitlines())):
        instruction, arguments = line.split(maxsplit=1)
        if instruction == "FROM":
            base, name = re.fullmatch(r"(\S+) AS (\S+)", arguments).groups()
            base = images.get(base.strip("${}"), base)
            steps = found[name] = [("FROM", base)]
        elif not found:
            assert instruction == "ARG"
            images |= [arguments.split("=")]
        else:
            steps.append((instruction, " ".join(arguments.split())))
    return found


def arguments(stage, instruction):
    return [arguments for name, arguments in stages()[stage] if name == instruction]


def kept(path):
    """Whether .dockerignore lets a file through: the last line that matches it or a folder above it decides."""
    lets_through = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#"):
            pattern = re.escape(line.removeprefix("!")).replace(r"\*", "[^/]*")
            if re.fullmatch(rf"{pattern}(/.*)?", path):
                lets_through = line.startswith("!")
    return lets_through


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    """A copy of what `docker build` would send."""
    copy = tmp_path_factory.mktemp("context")
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in ("target", ".git", "node_modules")]
        for file in files:
            path = os.path.relpath(os.path.join(folder, file), ROOT)
            if kept(path):
                (copy / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / path, copy / path)
    return copy


def test_the_dockerfile_is_clean():
    end = subprocess.run(["hadolint", ROOT / "Dockerfile"], capture_output=True, text=True)
    assert end.returncode == 0, end.stdout + end.stderr


def test_the_context_holds_every_member_and_what_the_sources_include(context):
    end = subprocess.run(
        ["cargo", "metadata", "--locked", "--offline", "--no-deps", "--format-version=1"],
        cwd=context, capture_output=True, text=True,
    )  # fmt: skip
    assert end.returncode == 0, end.stderr
    for member in CARGO["workspace"]["members"]:
        assert f'"name":"{tomllib.loads((ROOT / member / "Cargo.toml").read_text())["package"]["name"]}"' in end.stdout
    assert (context / "build.rs").exists()


def test_the_context_is_enough_to_compile_both_programs(context):
    """Only the compiler knows which files the sources include."""
    command = ["cargo", "check", "--locked", "--quiet", "--package", "tagsweep", "--bins", "--package", "im-simulator"]
    # The crates of others are checked already: this takes seconds.
    target = os.environ.get("CARGO_TARGET_DIR", str(ROOT / "target"))
    environment = os.environ | {"TAGSWEEP_COMMIT": "test", "CARGO_TARGET_DIR": str(ROOT / target)}
    end = subprocess.run(command, cwd=context, capture_output=True, text=True, env=environment)
    assert end.returncode == 0, end.stderr


def test_the_context_holds_nothing_else(context):
    there = {path.name for path in context.iterdir()}
    assert there == {"Cargo.toml", "Cargo.lock", "build.rs", "config", "src", *CARGO["workspace"]["members"]}
    assert {path.name for path in (context / "config").iterdir()} == {"default.toml", "presets"}
    for path in ("config.toml", "target/release/tagsweep", ".git/config", "deploy/demo/secrets/rabbitmq-url"):
        assert not kept(path), path


def test_both_images_can_be_built_and_the_worker_is_the_default():
    assert list(stages())[-1] == "tagsweep"
    assert "im-simulator" in stages()


def test_the_last_stage_is_of_the_debian_that_the_program_is_built_on():
    """A binary that is linked against a newer glibc than the image's does not start."""
    [builder] = arguments("source", "FROM")
    assert builder == f"rust:{CARGO['workspace']['package']['rust-version']}-slim-bookworm"
    for image in ("tagsweep", "im-simulator"):
        # Debian 12 is bookworm.
        assert arguments(image, "FROM") == ["gcr.io/distroless/cc-debian12:nonroot"]


@pytest.mark.parametrize("image", ["tagsweep", "im-simulator"])
def test_an_image_runs_as_a_number_that_is_not_root_and_holds_its_program_only(image):
    assert arguments(image, "USER") == ["65532:65532"]
    program = f"/usr/local/bin/{image}"
    assert arguments(image, "ENTRYPOINT") == [f'["{program}"]']
    copied = arguments(image, "COPY")
    assert copied[0] == f"--from=build-{image} {program} {program}"
    # The folder is empty when it is copied.
    folder = "--from=build-im-simulator --chown=65532:65532 /tls /tls"
    assert copied[1:] == ([folder] if image == "im-simulator" else [])
    assert not arguments(image, "RUN") and not arguments(image, "ADD"), "there is no shell"
    labels = dict(re.findall(r'org\.opencontainers\.image\.([\w.]+)="([^"]*)"', arguments(image, "LABEL")[0]))
    assert labels["title"] == image
    assert labels["version"] == CARGO["workspace"]["package"]["version"]
    assert labels["licenses"] == CARGO["workspace"]["package"]["license"]
    assert labels["description"]


def test_the_worker_runs_is_asked_and_is_stopped_as_it_expects():
    assert arguments("tagsweep", "CMD") == ['["run"]']
    assert arguments("tagsweep", "STOPSIGNAL") == ["SIGTERM"]
    assert arguments("tagsweep", "ENV") == ["TAGSWEEP__ADMIN__LISTEN=0.0.0.0:9464"]
    assert arguments("tagsweep", "EXPOSE") == ["9464"]
    [check] = arguments("tagsweep", "HEALTHCHECK")
    assert check.endswith('CMD ["/usr/local/bin/tagsweep", "health"]'), "there is no shell to run it with"


def test_the_commit_gets_into_the_program_and_the_label():
    [build] = arguments("build-tagsweep", "RUN")
    assert 'TAGSWEEP_COMMIT="$COMMIT"' in build
    assert "TAGSWEEP_COMMIT" in (ROOT / "build.rs").read_text()
    for stage in ("build-tagsweep", "tagsweep"):
        # Without it build.rs would take the empty text for a commit.
        assert "COMMIT=unknown" in arguments(stage, "ARG")


def test_the_worker_needs_no_library_that_the_image_has_not():
    end = subprocess.run(["readelf", "--dynamic", os.environ["TAGSWEEP"]], capture_output=True, text=True, check=True)
    needed = set(re.findall(r"\(NEEDED\).*\[(.+)\]", end.stdout))
    assert needed and needed <= DISTROLESS_CC
