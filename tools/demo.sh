#!/usr/bin/env bash
# A demonstration that needs no vCenter: govmomi's simulator, a stub OpenFaaS
# gateway, and the router between them. Ctrl-C ends it, and everything that it
# started.
#
#   DEMO_SECONDS=N       ends by itself; fails if no event was delivered
#   DEMO_PROFILE=release builds what is shipped (slower to build)
#   ROUTER=PATH GATEWAY=PATH  take these executables and build nothing
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

profile=${DEMO_PROFILE:-dev}
built=${CARGO_TARGET_DIR:-target}/${profile/#dev/debug}
peers=${CARGO_TARGET_DIR:-target}/peers/bin

# --- Output: every line says whose it is ------------------------------------

bold='' plain=''
if [[ -t 1 ]]; then bold=$'\e[1m' plain=$'\e[0m'; fi
say() { printf '%s%s%s\n' "$bold" "$*" "$plain"; }
from() { sed -u "s/^/$(printf '%-8s' "$1")| /"; }

# --- Parts ------------------------------------------------------------------

say "Getting the simulator, and building the router. The first time takes some minutes."
tools/peers.sh vcsim govc
if [[ -z ${ROUTER:-} || -z ${GATEWAY:-} ]]; then
    cargo build --locked --profile "$profile" --bin vmware-event-router --example stub_gateway
fi
router=${ROUTER:-$built/vmware-event-router}
gateway=${GATEWAY:-$built/examples/stub_gateway}

work=$(mktemp -d)
router_pid='' gateway_pid='' vcsim_pid='' pause_pid=''

# end PID: asks it to end, and waits until it has; its exit code
end() {
    [[ -n $1 ]] || return 0
    kill "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null
}

# Downstream last, so that the router can finish what it has in hand.
cleanup() {
    trap - EXIT INT TERM
    end "$pause_pid" || true
    end "$router_pid" || true
    end "$gateway_pid" || true
    end "$vcsim_pid" || true
    rm -rf "$work"
}
trap cleanup EXIT
trap 'echo; say "Ending."; cleanup; exit 0' INT TERM

# pause SECONDS, during which signals are still heard
pause() {
    sleep "$1" &
    pause_pid=$!
    wait "$pause_pid" || true
    pause_pid=''
}

alive() { kill -0 "$1" 2>/dev/null; }

# --- The simulated vCenter ----------------------------------------------------

mkfifo "$work/vcsim"
"$peers/vcsim" -l 127.0.0.1:0 -E "$work/vcsim" -username demo -password demo > >(from vcenter) 2>&1 &
vcsim_pid=$!
# Opened for both, so that a simulator that dies early cannot leave us waiting.
exec 3<>"$work/vcsim"
while ! read -r -t 1 -u 3 announced; do
    alive "$vcsim_pid" || { say "The simulator did not start."; exit 1; }
done
exec 3<&-
# export GOVC_URL=https://demo:demo@127.0.0.1:PORT/sdk GOVC_SIM_PID=...
address=${announced#*@}
address=https://${address%% *}
export GOVC_URL=$address GOVC_USERNAME=demo GOVC_PASSWORD=demo GOVC_INSECURE=true
export GOVMOMI_HOME=$work/govmomi
say "A vCenter listens on $address (user demo, password demo)."

# --- The stub gateway -----------------------------------------------------------

# Function "power" wants power events, function "audit" what changes the inventory.
mkfifo "$work/gateway"
"$gateway" --listen 127.0.0.1:0 --username admin --password demo \
    --function power=VmPoweredOnEvent,VmPoweredOffEvent,DrsVmPoweredOnEvent \
    --function audit=VmCreatedEvent,VmClonedEvent,VmRemovedEvent,VmReconfiguredEvent,UserLoginSessionEvent \
    >"$work/gateway" 2>&1 &
gateway_pid=$!
exec 4<"$work/gateway"
read -r first <&4 || { say "The stub gateway did not start."; exit 1; }
[[ $first == "listening on http"* ]] || { say "The stub gateway said: $first"; exit 1; }
gateway_url=${first#listening on }
: >"$work/calls"
tee "$work/calls" <&4 > >(from function) &
exec 4<&-
say "An OpenFaaS gateway listens on $gateway_url (user admin, password demo)."

# --- The router -------------------------------------------------------------------

# A port that is free at this moment.
metrics=127.0.0.1:$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$work/config.json" <<JSON
[
  {
    "type": "stream",
    "provider": "vmware_vcenter",
    "address": "$address",
    "auth": {"method": "user_password", "secret": {"username": "demo", "password": "demo"}},
    "options": {"insecure": "true"}
  },
  {
    "type": "processor",
    "provider": "openfaas",
    "address": "$gateway_url",
    "auth": {"method": "basic_auth", "secret": {"username": "admin", "password": "demo"}}
  },
  {
    "type": "metrics",
    "provider": "internal",
    "address": "$metrics",
    "auth": {"method": "none"}
  }
]
JSON
say "The router's configuration:"
from config <"$work/config.json"
STATE_DIRECTORY=$work/state
export STATE_DIRECTORY
mkdir "$STATE_DIRECTORY"
"$router" -config "$work/config.json" -verbose > >(from router) 2>&1 &
router_pid=$!

# Ready once it has its collector in vCenter and its map of functions.
until python3 - "http://$metrics/readyz" 2>/dev/null <<'PYTHON'
import sys, urllib.request
urllib.request.build_opener(urllib.request.ProxyHandler({})).open(sys.argv[1], timeout=5)
PYTHON
do
    alive "$router_pid" || { say "The router ended."; exit 1; }
    pause 0.1
done

say "Ready. Statistics: http://$metrics/stats   Prometheus: http://$metrics/metrics"
say "Press Ctrl-C to end."

# --- What happens ---------------------------------------------------------------

# act WORD...: a govc command, shown and done
act() {
    say "\$ govc $*"
    "$peers/govc" "$@" 2>&1 | from govc
}

over() {
    alive "$router_pid" || { say "The router ended."; exit 1; }
    [[ -n ${DEMO_SECONDS:-} ]] && ((SECONDS >= DEMO_SECONDS))
}

SECONDS=0
round=0
while ! over; do
    round=$((round + 1))
    act vm.power -off DC0_H0_VM0
    pause 1
    act vm.clone -vm DC0_H0_VM0 -pool /DC0/host/DC0_H0/Resources -on=false "demo-$round"
    pause 1
    act vm.power -on DC0_H0_VM0
    pause 1
    act vm.destroy "demo-$round"
    pause 3
done

say "Ending."
status=0
end "$router_pid" || status=$?
router_pid=''
end "$gateway_pid" || true
gateway_pid=''
calls=$(wc -l <"$work/calls")
say "$calls events reached functions; the router ended with exit code $status."
[[ $status -eq 0 && $calls -gt 0 ]]
