#!/usr/bin/env bash
# An hour of a busy vCenter that is in trouble every few seconds. The run goes on
# by itself; each call of this script reports for a few minutes, the last one the
# verdict. See examples/soak.rs.
#
#   SOAK_MINUTES=N  how long it takes (60)
#   SOAK_RATE=N     events a second (2000)
#   SOAK_EVERY=N    seconds between faults (5)
#   SOAK_SEED=N     which faults come when (chosen, and told)
#   SOAK_SECONDS=N  how long this call reports (420)
#   tools/soak.sh stop   ends a run
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=${CARGO_TARGET_DIR:-target}
folder=$target/soak
soak=$target/soak-bin/soak
router=$target/soak-bin/vmware-event-router

running() { [[ -f $folder/pid ]] && kill -0 "$(<"$folder/pid")" 2>/dev/null; }

if [[ ${1:-} == stop ]]; then
    running && kill "$(<"$folder/pid")"
    exit
fi

if ! running; then
    # What a finished run said is shown once more; then comes a new one.
    if [[ -f $folder/verdict && ! -f $folder/told ]]; then
        touch "$folder/told"
        exec "$soak" report "$folder" --seconds 0
    fi
    cargo build --release --locked --bin vmware-event-router --example soak
    rm -rf "$folder"
    mkdir -p "$folder" "$target/soak-bin"
    # Put aside, so that building meanwhile changes nothing. What an earlier run left there may still be running.
    rm -f "$soak" "$router"
    cp "$target/release/vmware-event-router" "$target/release/examples/soak" "$target/soak-bin/"
    seed=()
    [[ -z ${SOAK_SEED:-} ]] || seed=(--seed "$SOAK_SEED")
    nohup "$soak" run "$folder" --router "$router" --minutes "${SOAK_MINUTES:-60}" --rate "${SOAK_RATE:-2000}" \
        --every "${SOAK_EVERY:-5}" "${seed[@]}" </dev/null >"$folder/soak.log" 2>&1 &
    echo $! >"$folder/pid"
fi

"$soak" report "$folder" --seconds "${SOAK_SECONDS:-420}"
[[ ! -f $folder/verdict ]] || touch "$folder/told"
