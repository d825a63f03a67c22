#!/bin/sh
# What the packages hold beside the program, into target/package: man pages, completions, and the unit with the
# path that packages have. Then `cargo deb --no-build` and `cargo generate-rpm` find it all.
#
#   packaging/prepare.sh target/release/tagsweep
set -eu
program=$(readlink -f "$1")
cd "$(dirname "$0")/.."
folder=target/package
rm -rf "$folder"
mkdir -p "$folder"
cp "$program" "$folder/tagsweep"
"$program" man "$folder/man" >/dev/null
for shell in bash zsh fish; do
    "$program" completions "$shell" >"$folder/completion.$shell"
done
sed 's|/usr/local/bin/|/usr/bin/|' packaging/systemd/tagsweep.service >"$folder/tagsweep.service"
