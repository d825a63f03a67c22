#!/bin/sh
# Makes images that stand in for those that `docker build` and `docker compose` pull: of Debian packages, since a
# registry may be out of reach. They are named stand-in/…: base (distroless), rust (its cargo hands out binaries that
# are built already), rabbitmq and prometheus.
#
#   tests/containers/stand-ins/build.sh FOLDER BINARIES    FOLDER: for what is unpacked; BINARIES: with the programs
set -eu

folder=$1
binaries=$2
here=$(dirname "$(readlink -f "$0")")
rabbitmq=$(dirname "$("$here/../../../scripts/rabbitmq-from-debian.sh" trixie)")

# unpack NAME PACKAGE…
unpack() {
    name=$1
    shift
    mkdir -p "$folder/$name/packages"
    (cd "$folder/$name/packages" && apt-get -qq -o APT::Sandbox::User=root download "$@")
    for package in "$folder/$name/packages"/*.deb; do
        dpkg-deb --extract "$package" "$folder/$name/root"
    done
}

# image NAME CONTEXT: its Dockerfile is beside this script.
image() {
    podman build --quiet --tag "stand-in/$1" --file "$here/$1.Dockerfile" "$2" >/dev/null
}

unpack base libc6 libgcc-s1 ca-certificates tzdata
mkdir -p "$folder/base/root/etc/ssl/certs" "$folder/base/root/tmp"
chmod 1777 "$folder/base/root/tmp"
# What the package's own script does.
cat "$folder"/base/root/usr/share/ca-certificates/mozilla/*.crt >"$folder/base/root/etc/ssl/certs/ca-certificates.crt"
printf 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n' \
    >"$folder/base/root/etc/passwd"
printf 'root:x:0:\nnonroot:x:65532:\n' >"$folder/base/root/etc/group"
image base "$folder/base/root"

unpack rust busybox-static
mkdir -p "$folder/rust/root/built"
cp "$binaries/tagsweep" "$binaries/im-simulator" "$folder/rust/root/built/"
cp "$here/cargo" "$folder/rust/root/"
image rust "$folder/rust/root"

unpack prometheus prometheus busybox-static
image prometheus "$folder/prometheus/root"

# Hard links: it is large, and nothing writes to it.
mkdir -p "$folder/rabbitmq/root"
cp --archive --link "$rabbitmq/usr" "$folder/rabbitmq/root/" 2>/dev/null ||
    cp --archive "$rabbitmq/usr" "$folder/rabbitmq/root/"
for name in bin sbin lib lib64; do
    ln -s "usr/$name" "$folder/rabbitmq/root/$name"
done
image rabbitmq "$folder/rabbitmq/root"

# A clean Debian, of the release that the programs were built on. It is fetched once.
release=$(. /etc/os-release && echo "${VERSION_CODENAME}")
debian=/var/cache/tagsweep/debian-$release.tar
if [ ! -e "$debian" ]; then
    mkdir -p "$(dirname "$debian")"
    debootstrap --variant=minbase "$release" "$folder/debian" >&2
    tar --create --file "$debian.partial" --directory "$folder/debian" --exclude './dev/*' --exclude './var/cache/apt/*' .
    mv "$debian.partial" "$debian"
    rm -rf "$folder/debian"
fi
podman import --quiet "$debian" stand-in/debian >/dev/null
