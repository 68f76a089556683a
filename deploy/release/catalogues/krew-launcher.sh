#!/bin/sh
# Runs `kubectl defender-devops` @VERSION@. The first start installs it into a Python environment of its own: the wheel beside
# this script, and its dependencies from PyPI. pip accepts only files with the hashes that requirements.txt lists.
set -eu

# krew runs this script through a link.
script=$0
while [ -h "$script" ]; do
    target=$(readlink "$script")
    case $target in
        /*) script=$target ;;
        *) script=$(dirname "$script")/$target ;;
    esac
done
folder=$(cd "$(dirname "$script")" && pwd)
environment=${XDG_CACHE_HOME:-$HOME/.cache}/defender-devops/@KEY@

fail() {
    echo "kubectl defender-devops: $1" >&2
    exit 1
}

install_packages() {
    python=${DEFENDER_DEVOPS_PYTHON:-python3}
    "$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
        fail "Python 3.11 or newer with venv is required, and $python is not: set DEFENDER_DEVOPS_PYTHON to one that is"
    echo "kubectl defender-devops: installing the packages of version @VERSION@ into $environment" >&2
    mkdir -p "$(dirname "$environment")"
    unfinished=$(mktemp -d "$environment.XXXXXX")
    trap 'rm -rf "$unfinished"' EXIT
    "$python" -m venv "$unfinished"
    pip="$unfinished/bin/python -m pip install --quiet --disable-pip-version-check"
    $pip --require-hashes --only-binary :all: --requirement "$folder/requirements.txt" >&2 ||
        fail "the packages cannot be installed; the lines above have the cause. PIP_INDEX_URL selects a mirror of PyPI"
    $pip --no-deps --no-index "$folder"/*.whl >&2
    # Another start may have finished first: its environment is the same.
    [ -e "$environment" ] || mv "$unfinished" "$environment"
    trap - EXIT
    rm -rf "$unfinished"
}

[ -e "$environment" ] || install_packages
exec "$environment/bin/python" -m defender_devops.cli "$@"
