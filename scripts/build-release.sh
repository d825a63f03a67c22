#!/bin/sh
# The release build, the same bytes wherever it is made: no path of this machine gets into it.
#
#   scripts/build-release.sh [TARGET]     prints the path of the program
set -eu
cd "$(dirname "$0")/.."
target=${1:-$(rustc -vV | sed -n 's/^host: //p')}
folder=${CARGO_TARGET_DIR:-target}
registry=${CARGO_HOME:-$HOME/.cargo}
# What rustc compiles, and what the C compiler does for crates with C in them.
RUSTFLAGS="--remap-path-prefix=$PWD=. --remap-path-prefix=$registry=/cargo --remap-path-prefix=$folder=target ${RUSTFLAGS:-}"
CFLAGS="-ffile-prefix-map=$PWD=. -ffile-prefix-map=$registry=/cargo -ffile-prefix-map=$folder=target ${CFLAGS:-}"
TAGSWEEP_COMMIT=${TAGSWEEP_COMMIT:-$(git rev-parse --short=12 HEAD)}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export RUSTFLAGS CFLAGS TAGSWEEP_COMMIT SOURCE_DATE_EPOCH
cargo build --release --locked --bin tagsweep --target "$target" >&2
echo "$folder/$target/release/tagsweep"
