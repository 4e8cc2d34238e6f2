#!/usr/bin/env bash
# Builds the container image with what is here: docker, podman or buildah.
#
#   IMAGE=NAME:TAG VERSION=... COMMIT=... tools/image.sh
#
# ENGINE picks one. Further arguments go to the engine's build command.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

image=${IMAGE:-vmware-event-router:latest}

# usable ENGINE: a docker command without a running engine is none.
usable() {
    command -v "$1" >/dev/null 2>&1 || return 1
    case $1 in
        buildah) buildah --version ;;
        *) "$1" info ;;
    esac >/dev/null 2>&1
}

engine=${ENGINE:-}
if [[ -z $engine ]]; then
    for candidate in docker podman buildah; do
        if usable "$candidate"; then
            engine=$candidate
            break
        fi
    done
fi
if [[ -z $engine ]]; then
    echo "image: neither docker (with its engine running), podman nor buildah is here." >&2
    echo "image: install one of them, or build the executable alone with 'make binary'." >&2
    exit 1
fi

echo "image: $image with $engine"
exec "$engine" build \
    --file deploy/Dockerfile --tag "$image" \
    --build-arg "VERSION=${VERSION:-unknown}" --build-arg "COMMIT=${COMMIT:-unknown}" \
    "$@" .
