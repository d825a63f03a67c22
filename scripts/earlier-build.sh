#!/bin/sh
# Builds the worker of an earlier commit, for the test of upgrades, and prints its path. The crates of others are
# those that are built already, as far as the versions are the same.
#
#   scripts/earlier-build.sh COMMIT
set -eu
cd "$(dirname "$0")/.."
commit=$(git rev-parse --short=12 "$1^{commit}")
target=$(readlink -m "${CARGO_TARGET_DIR:-target}")
folder=$target/earlier/$commit
if [ ! -x "$folder/tagsweep" ]; then
    rm -rf "$folder"
    mkdir -p "$folder/source"
    git archive "$commit" | tar --extract --directory "$folder/source"
    (cd "$folder/source" && TAGSWEEP_COMMIT=$commit CARGO_TARGET_DIR=$target cargo build --locked --bin tagsweep >&2)
    # The next build of today's sources puts its own program there again.
    cp "$target/debug/tagsweep" "$folder/tagsweep"
    rm -rf "$folder/source"
fi
echo "$folder/tagsweep"
