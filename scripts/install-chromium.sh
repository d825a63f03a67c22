#!/bin/sh
# What the tests of the console need: Debian's chromium and chromium-driver, installed where they are missing, and
# axe-core from npm, which checks accessibility. FOLDER keeps it.
set -eu

axe=4.14.1
folder=${1:?"usage: install-chromium.sh FOLDER"}

missing=
command -v chromium >/dev/null || missing="$missing chromium"
command -v chromedriver >/dev/null || missing="$missing chromium-driver"
[ -s "$folder/axe-$axe.js" ] || command -v npm >/dev/null || missing="$missing npm"

if [ "$missing" ]; then
    if ! command -v apt-get >/dev/null; then
        echo "install-chromium: no apt-get here; install chromium, chromedriver and npm so that the PATH holds them" >&2
        exit 1
    fi
    sudo=
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "install-chromium: neither root nor sudo; have somebody run: apt-get install$missing" >&2
            exit 1
        fi
        sudo=sudo
    fi
    echo "install-chromium: installing$missing with apt-get"
    $sudo apt-get update -q
    # shellcheck disable=SC2086
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
fi

if [ ! -s "$folder/axe-$axe.js" ]; then
    mkdir -p "$folder"
    unpacked=$(mktemp -d)
    trap 'rm -rf "$unpacked"' EXIT
    (cd "$unpacked" && npm pack --silent "axe-core@$axe" >/dev/null)
    tar --extract --gzip --file="$unpacked/axe-core-$axe.tgz" --directory="$unpacked" package/axe.min.js
    mv "$unpacked/package/axe.min.js" "$folder/axe-$axe.js"
fi
