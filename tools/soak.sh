#!/usr/bin/env bash
# All that can go wrong, for long: each call of this script is a part of it, of
# under 8 minutes. Call it again and again, until it says that all have passed.
#
#   crashes-N   the router is killed a hundred times    tests/it/crash.rs
#   power-N     the power fails                         tests/it/power.rs
#   disk-N      disks fail anyhow                       tests/it/disk.rs
#   backlog     a function is away for a million events tests/it/backlog.rs
#   faults      an hour of a busy vCenter that is in trouble every few seconds.
#               It goes on by itself; each call reports for a few minutes, the
#               last one the verdict. See examples/soak.rs.
#
#   SOAK_PART=NAME    this part, whatever has passed
#   SOAK_SEED=N       which faults come when (chosen, and told)
#   SOAK_MINUTES=N    how long `faults` takes (60)
#   SOAK_RATE=N       its events a second (2000)
#   SOAK_EVERY=N      seconds between its faults (5)
#   SOAK_SECONDS=N    how long a call reports of it (420)
#   tools/soak.sh stop   ends `faults`
#   tools/soak.sh anew   forgets what has passed
#
# What a part printed is kept in target/soak: done/NAME when it has passed,
# failed/NAME when it has not.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=${CARGO_TARGET_DIR:-target}
folder=$target/soak
run=$folder/faults
bin=$target/soak-bin
parts=(crashes-1 crashes-2 crashes-3 power-1 power-2 power-3 disk-1 disk-2 disk-3 backlog faults)

running() { [[ -f $run/pid ]] && kill -0 "$(<"$run/pid")" 2>/dev/null; }

# Put aside, so that building meanwhile changes nothing. What an earlier part left there may still be running.
put_aside() {
    mkdir -p "$bin"
    local file
    for file in "$@"; do
        rm -f "$bin/$(basename "$file")"
        cp "$file" "$bin/"
    done
}

# The hour of faults. Its verdict ends it.
faults() {
    if ! running; then
        cargo build --release --locked --bin vmware-event-router --example soak
        rm -rf "$run"
        mkdir -p "$run"
        put_aside "$target/release/vmware-event-router" "$target/release/examples/soak"
        local begin=()
        [[ -z ${SOAK_SEED:-} ]] || begin=(--seed "$SOAK_SEED")
        nohup "$bin/soak" run "$run" --router "$bin/vmware-event-router" --minutes "${SOAK_MINUTES:-60}" \
            --rate "${SOAK_RATE:-2000}" --every "${SOAK_EVERY:-5}" "${begin[@]}" </dev/null >"$run/soak.log" 2>&1 &
        echo $! >"$run/pid"
    fi
    "$bin/soak" report "$run" --seconds "${SOAK_SECONDS:-420}" | tee "$folder/now-$name" || return 1
    [[ -f $run/verdict ]]
}

# A test with a seed and more of everything than `make test` has.
heavier() {
    local test=$1
    shift
    cargo build --release --locked --bin vmware-event-router
    cargo test --locked --test it --no-run 2>&1 | tee "$folder/built"
    local built
    built=$(sed -n 's/^ *Executable .*(\(.*\))$/\1/p' "$folder/built")
    cp "$built" "$folder/it"
    put_aside "$target/release/vmware-event-router" "$folder/it"
    rm "$folder/it"
    env "$@" ROUTER="$(realpath "$bin/vmware-event-router")" RUST_LOG=warn \
        timeout 460 "$bin/it" "$test" --exact --nocapture >"$folder/now-$name" 2>&1
}

part() {
    local seed=${SOAK_SEED:-$RANDOM}
    case $1 in
        crashes-*) heavier crash::a_router_that_is_killed_again_and_again_loses_nothing \
            CRASH_KILLS=100 CRASH_SEED="$seed" ;;
        power-*) heavier power::whatever_was_not_synced_is_lost_and_nothing_is_missing \
            POWER_LOSSES=120 POWER_SEED="$seed" ;;
        disk-*) heavier disk::a_disk_that_fails_anyhow_and_at_any_moment_loses_nothing \
            DISK_FAULTS=60 DISK_SEED="$seed" ;;
        backlog) heavier backlog::who_is_away_while_very_many_events_pass_gets_them_all_in_order \
            BACKLOG_EVENTS=1000000 ;;
        faults) faults ;;
        *) echo "there is no part $1; there are ${parts[*]}" >&2; exit 2 ;;
    esac
}

case ${1:-} in
    stop) running && kill "$(<"$run/pid")"; exit ;;
    anew) rm -rf "$folder/done" "$folder/failed"; exit ;;
    "") ;;
    *) echo "usage: tools/soak.sh [stop | anew]" >&2; exit 2 ;;
esac

mkdir -p "$folder/done" "$folder/failed"
name=${SOAK_PART:-}
if [[ -z $name ]]; then
    for name in "${parts[@]}" ""; do
        [[ -n $name && ! -f $folder/done/$name ]] && break
    done
fi
if [[ -n $name ]]; then
    echo "soak: $name"
    began=$SECONDS
    if part "$name"; then
        mv "$folder/now-$name" "$folder/done/$name"
        rm -f "$folder/failed/$name"
        grep -E '_(KILLS|LOSSES|FAULTS|SEED)=|^Verdict|events passed|^test result' "$folder/done/$name" || true
        echo "soak: $name has passed, in $((SECONDS - began)) s"
    elif [[ $name == faults ]] && running; then
        exit 0
    else
        mv "$folder/now-$name" "$folder/failed/$name"
        tail -n 40 "$folder/failed/$name"
        echo "soak: $name has failed; all that it printed is in $folder/failed/$name" >&2
        exit 1
    fi
fi
left=()
for name in "${parts[@]}"; do
    [[ -f $folder/done/$name ]] || left+=("$name")
done
if ((${#left[@]})); then
    echo "soak: still to come: ${left[*]}"
else
    echo "soak: all parts have passed; tools/soak.sh anew begins again"
fi
