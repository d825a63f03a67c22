"""The images, built once: stand-ins for what cannot be pulled, and ours by the Dockerfile as it is."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

import pytest
from podman import ROOT, Podman

STAND_INS = {"RUST_IMAGE": "localhost/stand-in/rust", "BASE_IMAGE": "localhost/stand-in/base"}


@pytest.fixture(scope="session")
def podman():
    # Layers are large: where TMPDIR is small, name another folder.
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tagsweep-containers-"))
    podman = Podman(folder)
    # Whoever stops the tests gets everything cleaned up, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    try:
        binaries = os.path.dirname(os.environ["TAGSWEEP"])
        podman.run(ROOT / "tests/containers/stand-ins/build.sh", folder / "packages", binaries)
        yield podman
    finally:
        podman.clean_up()
        # What the containers' own overlays still hold is unmounted by now; a folder that stays would show that.
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def images(podman):
    """Both of our images: their names."""
    names = {}
    for target in ("tagsweep", "im-simulator"):
        arguments = [f"--build-arg={name}={image}" for name, image in STAND_INS.items()]
        commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True)
        arguments.append(f"--build-arg=COMMIT={commit.stdout.strip() or 'unknown'}")
        names[target] = f"localhost/{target}:demo"
        podman("build", "--target", target, "--tag", names[target], *arguments, ROOT)
    return names
