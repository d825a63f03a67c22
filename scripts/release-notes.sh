#!/bin/sh
# The section of a version in CHANGELOG.md. Fails if there is none, or if Cargo.toml, the chart or the Dockerfile has another
# version.
#
#   scripts/release-notes.sh 0.1.0
set -eu
cd "$(dirname "$0")/.."
version=$1
fail() {
    echo "release-notes: $*" >&2
    exit 1
}
grep -qx "version = \"$version\"" Cargo.toml || fail "Cargo.toml does not have version $version"
grep -qx "version: $version" helm/tagsweep/Chart.yaml || fail "the chart does not have version $version"
grep -qx "appVersion: \"$version\"" helm/tagsweep/Chart.yaml || fail "the chart's appVersion is not $version"
labels=$(grep -c "image.version=\"$version\"" Dockerfile) || true
[ "$labels" = "$(grep -c image.version= Dockerfile)" ] || fail "a label of the Dockerfile is not $version"
notes=$(awk -v heading="## $version" '
    index($0, "## ") == 1 { inside = ($0 == heading || index($0, heading " ") == 1); next }
    inside { print }
' CHANGELOG.md)
[ -n "$(echo "$notes" | tr -d '[:space:]')" ] || fail "CHANGELOG.md has no section ## $version"
echo "$notes" | sed -e '/./,$!d'
