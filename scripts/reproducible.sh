#!/bin/sh
# Builds the committed sources twice, in two folders with two target folders, and compares the programs.
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export TAGSWEEP_COMMIT SOURCE_DATE_EPOCH
TAGSWEEP_COMMIT=$(git rev-parse --short=12 HEAD)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
for name in first another/and-longer; do
    mkdir -p "$work/$name"
    git archive HEAD | tar --extract --directory "$work/$name"
    program=$(CARGO_TARGET_DIR="$work/$name/out" "$work/$name/scripts/build-release.sh")
    sha256sum "$program" | tee -a "$work/sums"
    if strings "$program" | grep -F "$work"; then
        echo "reproducible: the program names a folder of this machine" >&2
        exit 1
    fi
done
[ "$(cut -d ' ' -f 1 "$work/sums" | sort -u | wc -l)" = 1 ] || {
    echo "reproducible: the two builds differ" >&2
    exit 1
}
echo "reproducible: both builds are the same"
