#!/usr/bin/env bash
# Tests the image without a registry: builds deploy/Dockerfile's final stage
# from the binary that `make binary` made and this machine's CA roots, then looks
# at the image and runs the binary in its root, as its user.
#
# What it does not test is the first stage, whose base image must be pulled.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() { echo "image-test: $*" >&2; exit 1; }

[[ $(id -u) -eq 0 ]] || fail "needs root (it changes its root folder)"
[[ -x dist/vmware-event-router ]] || fail "dist/vmware-event-router is missing: run 'make binary'"
tools/peers.sh buildah

work=$(mktemp -d)
# Away from this machine's own images. vfs and chroot need no kernel's help.
store=(--root "$work/root" --runroot "$work/run" --storage-driver vfs)
container=
cleanup() {
    [[ -z $container ]] || buildah "${store[@]}" rm "$container" >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap cleanup EXIT

# What the first stage leaves: the same tree, made here.
out=$work/build/out
mkdir -p "$out/etc/ssl/certs" "$out/var/lib/vmware-event-router"
cp dist/vmware-event-router "$out/"
cp /etc/ssl/certs/ca-certificates.crt "$out/etc/ssl/certs/"
chown 65532:65532 "$out/var/lib/vmware-event-router"
chmod 0700 "$out/var/lib/vmware-event-router"

version=${VERSION:-test}
commit=${COMMIT:-test}
buildah "${store[@]}" bud --quiet --isolation chroot --pull-never --target final \
    --build-context "build=$work/build" \
    --build-arg "VERSION=$version" --build-arg "COMMIT=$commit" \
    --file deploy/Dockerfile --tag event-router-test . >"$work/log" 2>&1 ||
    { cat "$work/log" >&2; fail "the final stage does not build"; }

# is WHAT FORMAT EXPECTED
is() {
    local found
    found=$(buildah "${store[@]}" inspect --type image --format "$2" event-router-test)
    [[ $found == "$3" ]] || fail "$1 is '$found', not '$3'"
}
is "the user" '{{.OCIv1.Config.User}}' 65532:65532
is "the entry point" '{{range .OCIv1.Config.Entrypoint}}{{println .}}{{end}}' /vmware-event-router
is "the command" '{{range .OCIv1.Config.Cmd}}{{println .}}{{end}}' ''
is "the version" '{{index .OCIv1.Config.Labels "org.opencontainers.image.version"}}' "$version"
is "the revision" '{{index .OCIv1.Config.Labels "org.opencontainers.image.revision"}}' "$commit"

# Builders add a PATH of their own.
buildah "${store[@]}" inspect --type image --format '{{range .OCIv1.Config.Env}}{{println .}}{{end}}' event-router-test |
    grep -qx STATE_DIRECTORY=/var/lib/vmware-event-router || fail "STATE_DIRECTORY is not set"

container=$(buildah "${store[@]}" from --pull-never event-router-test)
mount=$(buildah "${store[@]}" mount "$container")

files=$(cd "$mount" && find . -type f | sort | tr '\n' ' ')
[[ $files == "./etc/ssl/certs/ca-certificates.crt ./vmware-event-router " ]] || fail "it holds: $files"
owner=$(stat -c '%u:%g %a' "$mount/var/lib/vmware-event-router")
[[ $owner == "65532:65532 700" ]] || fail "the state folder is $owner"

# The root holds no loader and no library: whatever starts here is static.
chroot --userspec=65532:65532 --groups='' "$mount" /vmware-event-router -h >"$work/inside" 2>&1 ||
    { cat "$work/inside" >&2; fail "-h ends with an error inside the image"; }
(exec -a /vmware-event-router dist/vmware-event-router -h) >"$work/outside" 2>&1
cmp "$work/inside" "$work/outside" || fail "-h says one thing inside the image and another outside"

# The commit that `make binary` was told, not the fallback.
[[ -z ${COMMIT:-} ]] || grep -qx "commit: $COMMIT" "$work/inside" || fail "-h does not name commit $COMMIT"

echo "image-test: ok, $(du -bsh "$mount" | cut -f 1)"
