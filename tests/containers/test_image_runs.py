"""The image as it was built: what is in it, and that it runs with nothing but its program."""

import datetime
import json
import os
import pathlib
import re
import time

from podman import ROOT, eventually

README = (ROOT / "README.md").read_text()
CONTAINED = ["--read-only", "--cap-drop=ALL", "--network=none"]


def test_the_image_runs_its_program_without_root_capabilities_or_a_writable_file(podman, images):
    said = podman("run", "--rm", *CONTAINED, images["tagsweep"], "--version")
    assert said.startswith("tagsweep 0.")
    (image,) = json.loads(podman("image", "inspect", images["tagsweep"]))
    config = image["Config"]
    assert config["User"] == "65532:65532"
    assert image["Healthcheck"]["Test"] == ["CMD", "/usr/local/bin/tagsweep", "health"]
    assert config["Labels"]["org.opencontainers.image.revision"] != "$COMMIT"
    refused = podman.run("podman", "run", "--rm", *CONTAINED, images["tagsweep"], check=False)
    assert refused.returncode == 78, "nothing is configured"


def test_the_readme_states_how_large_the_image_is_and_how_fast_it_starts(podman, images):
    """What it states is a bound, and no more than twice what was measured for the size."""
    stated = re.search(r"^\| image \| (\d+) MB .*listens within (\d+) s", README, re.MULTILINE)
    size, seconds = map(int, stated.groups())
    variables = ["TAGSWEEP__IM__SDK_APP_ID=1400000000", "TAGSWEEP__IM__SECRET_KEY=5ec2e7"]
    run = [*CONTAINED, *(f"--env={variable}" for variable in variables), images["tagsweep"]]

    def start():
        """Milliseconds from the start of the process to the open port, without what podman needs before."""
        worker = podman("run", "--detach", *run)
        said = eventually("it listens", lambda: re.search(r'"timestamp":"(.+?)".+serving /livez', podman.logs(worker)))
        process = pathlib.Path(f"/proc/{podman.inspect(worker)['State']['Pid']}/stat").read_text()
        podman("rm", "--force", "--time", "0", worker)
        since_boot = int(process.rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
        booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        return (datetime.datetime.fromisoformat(said[1]).timestamp() - booted - since_boot) * 1000

    fastest = min(start() for _ in range(3))
    built = json.loads(podman("image", "inspect", images["tagsweep"]))[0]["Size"] / 1e6
    print(f"image: {built:.1f} MB, listens after {fastest:.0f} ms")
    assert built <= size <= 2 * built
    assert fastest <= seconds * 1000

