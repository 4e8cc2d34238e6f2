#!/usr/bin/env bash
# Looks for bytes that the journal cannot take as its files: FUZZ_SECONDS for
# each program in fuzz/ (60). What is found is in target/fuzz/found, and a
# failure; what was learnt is kept in target/fuzz/learnt for the next time.
#
#   tools/fuzz.sh             all programs
#   tools/fuzz.sh segment     only this one
#
# The compiler's own coverage is enough: no nightly toolchain, no cargo-fuzz.
set -euo pipefail

seconds=${FUZZ_SECONDS:-60}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
target=${CARGO_TARGET_DIR:-target}
case $target in /*) ;; *) target=$root/$target ;; esac
work=$target/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')
programs=("$@")
[[ ${#programs[@]} -gt 0 ]] || programs=(segment other)

tools/peers.sh c++
mkdir -p "$work/found" "$work/learnt"

# The target is named so that the flags are not for build scripts, which have
# no fuzzer's main function.
flags=(--cfg=fuzzing -Adead_code -Cpasses=sancov-module)
for option in level=4 inline-8bit-counters pc-table trace-compares; do
    flags+=("-Cllvm-args=-sanitizer-coverage-$option")
done
# It is built of what the router is built of, and libFuzzer.
cp Cargo.lock fuzz/Cargo.lock
CARGO_TARGET_DIR=$work/build RUSTFLAGS=${flags[*]} \
    cargo build --manifest-path fuzz/Cargo.toml --release --target "$host" --bins

# seed PROGRAM NAME FIRST FILE...: an input of that first byte (octal) and these files
seed() {
    local to=$work/seeds/$1/$2 first=$3
    shift 3
    mkdir -p "${to%/*}"
    # shellcheck disable=SC2059  # The escape is meant.
    { printf "\\$first"; cat "$@"; } >"$to"
}

# seeds PROGRAM FIRST FILE...: each file alone, and with the one behind it
seeds() {
    local program=$1 first=$2 before='' file
    shift 2
    for file in "$@"; do
        seed "$program" "$first-${file##*/}" "$first" "$file"
        [[ -z $before ]] || seed "$program" "$first-${before##*/}-${file##*/}" "$first" "$before" "$file"
        before=$file
    done
}

# The first byte says whether checksums are made right, and which files they are.
rm -rf "$work/seeds"
for fixture in tests/fixtures/journal/v*/; do
    for right in 0 1; do
        seeds segment "00$right" "$fixture"events/*.log
        seeds other "00$right" "$fixture"outcomes/*.log
        seeds other "00$((2 + right))" "$fixture"letters/*.log
        for file in "$fixture"places/*.cursor; do
            seed other "4$right-${file##*/}" "00$((4 + right))" "$file"
            seed other "6$right-${file##*/}" "00$((6 + right))" "$file"
        done
    done
done

for program in "${programs[@]}"; do
    mkdir -p "$work/learnt/$program"
    printf 'fuzz: %s, %s s\n' "$program" "$seconds" >&2
    # No input is worth more memory or time than this.
    "$work/build/$host/release/$program" -max_total_time="$seconds" -max_len=16384 -timeout=10 \
        -rss_limit_mb=1024 -malloc_limit_mb=256 -print_final_stats=1 -verbosity=0 \
        -artifact_prefix="$work/found/$program-" "$work/learnt/$program" "$work/seeds/$program" 2>&1 |
        { grep --line-buffered -v '# Uses:\|ecommended dictionary' || true; }
done
