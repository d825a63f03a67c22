#!/usr/bin/env bash
# Does the simulation find bugs? Plants each patch of simulation/planted/ into a copy of the sources, and runs
# seeds until a promise breaks. BUG=name plants only that one. A patch that does not apply any more, or that nobody notices, is an error.
set -euo pipefail
cd "$(dirname "$0")/.."

seeds=${SEEDS:-2000}
target=${CARGO_TARGET_DIR:-$PWD/target}
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z | tar --create --null --files-from=- | tar --extract --directory="$copy"

# The simulation compiles the sources of the copy with the dependencies that are built already.
simulate() {
    (cd "$copy" && CARGO_TARGET_DIR="$target/planted" RUSTFLAGS=-Awarnings cargo build --quiet --locked --package simulation &&
        "$target/planted/debug/simulate" --whole --seeds "$seeds")
}

# Whatever breaks a promise without any of them would pass for each of them.
if [[ ! ${BUG:-} ]] && ! output=$(simulate 2>&1); then
    echo "FAILED  the simulation breaks a promise, or does not build, with no bug planted"
    head -n 30 <<<"$output" | cut -c 1-300
    exit 1
fi

missed=0
for patch in simulation/planted/${BUG:-*}.patch; do
    patch --quiet --strip=1 --directory="$copy" <"$patch"
    name=$(basename "$patch" .patch)
    if output=$(simulate 2>&1); then
        echo "MISSED  $name: no promise broken in $seeds seeds"
        missed=1
    elif [[ $output == "seed "* ]]; then
        printf 'caught  %-45s %s\n' "$name" "$(head -n 1 <<<"$output" | cut -c 1-150)"
    else
        echo "FAILED  $name: it does not build or run"
        head -n 30 <<<"$output"
        missed=1
    fi
    patch --quiet --strip=1 --reverse --directory="$copy" <"$patch"
done
exit "$missed"
