#!/usr/bin/env bash
# Installs what `make test-containers` needs beside scripts/deploy-tools.sh: podman, buildah and runc from Debian's
# packages, and cargo-deb into the folder that is named. Does nothing when all is there.
set -euo pipefail
folder=$1

packages=()
for need in podman:podman buildah:buildah runc:runc debootstrap:debootstrap iptables:iptables newuidmap:uidmap; do
    command -v "${need%:*}" >/dev/null || packages+=("${need#*:}")
done
[ -x /usr/lib/podman/netavark ] || packages+=(netavark aardvark-dns)
# podman's own pause image is made of it.
[ -x /usr/libexec/podman/catatonit ] || command -v catatonit >/dev/null || packages+=(catatonit)
if [ ${#packages[@]} -gt 0 ]; then
    sudo=$([ "$(id -u)" = 0 ] || echo sudo)
    $sudo apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${packages[@]}"
fi

[ -x "$folder/bin/cargo-deb" ] || cargo install --quiet --locked --root "$folder" cargo-deb@3.8.0
