#!/bin/sh
# Runs every fuzz target for so many seconds. What a target finds is kept in fuzz/artifacts, and the
# inputs that it has learnt from in fuzz/corpus; neither is in the repository, the seeds are.
set -eu

seconds=${1:-60}
cd "$(dirname "$0")/.."

missing() {
    echo "!!! $1: nothing was fuzzed" >&2
    exit 1
}
cargo +nightly --version >/dev/null 2>&1 ||
    missing 'the nightly compiler is not installed (rustup toolchain install nightly)'
cargo +nightly fuzz --version >/dev/null 2>&1 ||
    missing 'cargo-fuzz is not installed (cargo install cargo-fuzz --locked)'

# The project has no unsafe code for a sanitizer to look into, and without one it is tried more often.
run() {
    cargo +nightly fuzz run --fuzz-dir fuzz --sanitizer none "$@"
}

for target in $(cargo +nightly fuzz list --fuzz-dir fuzz); do
    mkdir -p "fuzz/corpus/$target"
    set -- "fuzz/corpus/$target" "fuzz/seeds/$target"
    if [ "$target" = event ]; then
        set -- "$@" tests/fixtures/events
    fi
    echo "=== $target, $seconds seconds"
    run "$target" "$@" -- -max_total_time="$seconds" -rss_limit_mb=512 -timeout=5 \
        -max_len=16384 -dict="fuzz/dictionaries/$target.dict" -print_final_stats=1
done
