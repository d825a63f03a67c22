#!/bin/sh
# Fetches the RabbitMQ of another Debian release, to run the tests against it:
# trixie has 4.0, forky 4.3. Prints the folder for TESTKIT_RABBITMQ_SBIN.
#
#   TESTKIT_RABBITMQ_SBIN=$(scripts/rabbitmq-from-debian.sh trixie) cargo test -p testkit
#
# Nothing is installed. The packages and what they depend on are checked by
# Debian's keys, unpacked into a cache and never configured, so root is not
# needed. The programs printed run in a mount namespace of their own, in which
# the unpacked /usr lies over the machine's, since their Erlang needs the C
# library of its own release. All else is as it was: files, process IDs,
# signals. The namespace goes with its last process.
#
# To fetch a release anew, delete its folder.
set -eu

release=${1:-trixie}

fail() {
    echo "rabbitmq-from-debian: $*" >&2
    exit 1
}

case $release in
'' | *[!a-z-]*) fail "not the name of a Debian release: $release" ;;
esac

# Tests run nodes as other users too, who must be able to read it; into root's
# home nobody else can look.
if [ "$(id -u)" -eq 0 ]; then
    cache=/var/cache/tagsweep
else
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/tagsweep
fi
root=$cache/rabbitmq-$release
if [ -d "$root" ]; then
    echo "$root/sbin"
    exit 0
fi

for tool in apt-get dpkg dpkg-deb flock mount unshare; do
    command -v "$tool" >/dev/null || fail "needs $tool: this works on Debian and Ubuntu only"
done
# Which of them sign a release changes with time.
set -- /usr/share/keyrings/debian-archive-*.gpg
[ -e "$1" ] || fail "needs Debian's keys: apt-get install debian-archive-keyring"
keyrings=$(printf '%s,' "$@")

umask 022
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
# Another run may have been quicker.
if [ -d "$root" ]; then
    echo "$root/sbin"
    exit 0
fi

# What was downloaded before an interruption is used again.
work=$root.partial
mkdir -p "$work/lists/partial" "$work/archives/partial"
: >"$work/status"
echo "deb [signed-by=${keyrings%,}] http://deb.debian.org/debian $release main" >"$work/sources.list"

# An apt that sees this release only and believes that nothing is installed. It
# keeps the machine's proxy settings.
apt() {
    apt-get -q \
        -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
        -o Dir::State::lists="$work/lists" -o Dir::State::status="$work/status" \
        -o Dir::State::extended_states="$work/extended_states" \
        -o Dir::Cache="$work" -o Dir::Cache::archives="$work/archives" \
        -o Debug::NoLocking=true -o APT::Sandbox::User="$(id -un)" "$@" >&2
}
apt update
# Of two versions of a package only the one that this release has now.
apt autoclean
apt install -y --download-only --no-install-recommends '?essential' rabbitmq-server

rm -rf "$work/unpacked" "$work/root"
mkdir -p "$work/unpacked" "$work/root/sbin"
for package in "$work"/archives/*.deb; do
    dpkg-deb --extract "$package" "$work/unpacked"
done
mv "$work/unpacked/usr" "$work/root/"

cat >"$work/root/sbin/rabbitmq-server" <<'WRAPPER'
#!/bin/sh
# Becomes RabbitMQ's own script of this name, with ../usr over /usr for it alone.
set -eu
root=$(dirname "$(dirname "$(readlink -f "$0")")")
script=/usr/lib/rabbitmq/bin/$(basename "$0")
# Only root may mount; in a user namespace of its own everybody is root.
user=
[ "$(id -u)" -eq 0 ] || user='--user --map-root-user'
PATH=/usr/sbin:/usr/bin
export PATH
exec unshare $user --mount -- /bin/sh -c 'mount --bind "$0/usr" /usr && exec "$@"' "$root" "$script" "$@"
WRAPPER
chmod 755 "$work/root/sbin/rabbitmq-server"
# Copies, as the name of a link would be lost on the way.
for name in rabbitmqctl rabbitmq-env; do
    cp "$work/root/sbin/rabbitmq-server" "$work/root/sbin/$name"
done

"$work/root/sbin/rabbitmqctl" version >&2 || fail "what was unpacked does not run here"
mv "$work/root" "$root"
rm -rf "$work"
echo "$root/sbin"
