#!/bin/sh
# Installs Debian's or Ubuntu's rabbitmq-server for the tests, if it is missing.
# They run private nodes of it; the system's own service is left off.
set -eu

if [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ]; then
    exit 0
fi

if ! command -v apt-get >/dev/null; then
    echo "install-rabbitmq: no apt-get here; install RabbitMQ 3.10 or newer so that /usr/lib/rabbitmq/bin or the PATH holds its own scripts" >&2
    exit 1
fi

if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "install-rabbitmq: neither root nor sudo; have somebody run: apt-get install rabbitmq-server" >&2
        exit 1
    fi
    echo "install-rabbitmq: installing rabbitmq-server with apt-get, through sudo"
    exec sudo -- "$0"
fi

echo "install-rabbitmq: installing rabbitmq-server with apt-get, without its service"

# The package starts the service unless this says no; where there is one
# already, it is put back.
policy=/usr/sbin/policy-rc.d
kept=$(mktemp -d)
restore() {
    rm -f "$policy"
    if [ -e "$kept/policy-rc.d" ] || [ -L "$kept/policy-rc.d" ]; then
        mv "$kept/policy-rc.d" "$policy"
    fi
    rm -rf "$kept"
}
trap restore EXIT
trap 'exit 1' HUP INT TERM
if [ -e "$policy" ] || [ -L "$policy" ]; then
    mv "$policy" "$kept/"
fi
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"

epmd_before=" $(pgrep -x epmd | tr '\n' ' ' || true)"

export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -q -y --no-install-recommends rabbitmq-server

# Nor is the service to start with the machine.
if command -v systemctl >/dev/null; then
    systemctl disable --quiet rabbitmq-server.service || true
fi

# Setting the package up runs Erlang, which leaves its port mapper behind.
for pid in $(pgrep -x epmd || true); do
    case "$epmd_before" in
        *" $pid "*) ;;
        *) kill "$pid" ;;
    esac
done
