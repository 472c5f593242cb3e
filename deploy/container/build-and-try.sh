#!/usr/bin/env bash
# Builds the Dockerfile without a Docker engine and without a registry, and drives what it made:
# debootstrap makes the base, committed under the name that FROM asks for; buildah builds on it; then
# tests/packaging/test_container.py sends records to the container and sees them land.
#
#   deploy/container/build-and-try.sh [--embedded] [--keep FOLDER]
#
# Needs root, buildah and debootstrap (Debian: apt-get install buildah debootstrap), some 3 GB for the
# time it runs, and python3 with the tests' packages (PYTHON names another). Nothing of it stays, except
# with --keep: there the base and the image are found again by the next run.
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
python=${PYTHON:-$(if [ -x "$here/.venv/bin/python" ]; then echo "$here/.venv/bin/python"; else command -v python3; fi)}
embedded=0
folder=
while [ $# -gt 0 ]; do
    case $1 in
        --embedded) embedded=1 ;;
        --keep) folder=$2; shift ;;
        *) sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
    shift
done
if [ -z "$folder" ]; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
fi
mkdir -p "$folder"

# A storage of its own, and no namespaces or overlays, which a container of CI may not have.
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=vfs CONTAINERS_STORAGE_CONF="$folder/storage.conf"
printf '[storage]\ndriver = "vfs"\ngraphroot = "%s/storage"\nrunroot = "%s/run"\n' "$folder" "$folder" \
    > "$CONTAINERS_STORAGE_CONF"

base=$(sed -n 's/^ARG PYTHON=//p' "$here/Dockerfile")
if ! buildah inspect --type image "$base" > /dev/null 2>&1; then
    # The same Debian release as the base that FROM names, with Debian's own Python of the same series.
    debootstrap --variant=minbase --include=python3,python3-venv "${base##*-}" "$folder/rootfs" > "$folder/debootstrap.log"
    rm -rf "$folder"/rootfs/var/cache/apt/archives/*.deb "$folder"/rootfs/var/lib/apt/lists/*
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$folder/rootfs" / > /dev/null
    buildah commit --quiet "$container" "$base" > /dev/null
    buildah rm "$container" > /dev/null
    rm -rf "$folder/rootfs"
fi

# This host's way to its package registry goes into the build as a secret and leaves no trace in the image.
"$python" - > "$folder/pip.conf" <<'PY'
import shlex, subprocess, sys
found = {}
for line in subprocess.check_output([sys.executable, "-m", "pip", "config", "list"], text=True).splitlines():
    name, _, value = line.partition("=")
    key = name.rpartition(".")[2]
    if key not in found or name.startswith(":env:"):  # the environment wins over files
        found[key] = " ".join(shlex.split(value))
print("[global]", *(f"{key} = {value}" for key, value in found.items()), sep="\n")
PY
volumes=()
for name in cert find-links; do
    path=$(sed -n "s/^$name = //p" "$folder/pip.conf" | head -n 1)
    if [ -e "$path" ]; then volumes+=(--volume "$path:$path:ro"); fi
done

image=localhost/llmledgerd:try-$embedded
buildah bud --quiet --pull-never --format docker --build-arg EMBEDDED=$embedded \
    --secret "id=pip.conf,src=$folder/pip.conf" "${volumes[@]}" --tag "$image" "$here" > /dev/null
buildah images --format '{{.Name}}:{{.Tag}} {{.Size}}'

cd "$here"
LLMLEDGER_TEST_IMAGE=$image "$python" -m pytest -q -p no:cacheprovider tests/packaging/test_container.py
