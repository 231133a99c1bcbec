# Sourced by script/serve and script/test: a private .venv, and Debian packages where they are missing.
# Everything here may be run again at once: what is there is left alone.

say() { printf '%s\n' "$*" >&2; }
die() { say "vfax: $*"; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then sudo -n "$@"
    else return 1
    fi
}

apt_updated=
apt_install() { # packages...: installs them, or fails
    command -v apt-get >/dev/null || return 1
    if [ -z "$apt_updated" ]; then
        as_root apt-get -qq update >&2 || say "vfax: the package lists could not be renewed; going on with the old ones."
        apt_updated=yes
    fi
    say "vfax: installing $* with apt-get ..."
    as_root env DEBIAN_FRONTEND=noninteractive ${apt_environment:-} apt-get -qq install -y --no-install-recommends "$@" >&2
}

find_python() { # sets $python: the first Python from 3.11 to 3.14
    local name
    for name in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
        [ -n "$name" ] && command -v "$name" >/dev/null || continue
        if "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null; then
            python=$name
            return
        fi
    done
    if apt_install python3 && python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        python=python3
        return
    fi
    die "Python 3.11 to 3.14 is missing: install one (Debian 12+, Ubuntu 24.04+: apt-get install python3 python3-venv)."
}

make_venv() { # folder
    [ -x "$1/bin/python" ] && "$1/bin/python" -m pip --version >/dev/null 2>&1 && return
    find_python
    rm -rf "$1"
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        apt_install python3-venv || die "Python's venv module is missing: apt-get install python3-venv."
    fi
    "$python" -m venv "$1" || die "a virtual environment could not be made in $1."
}

install_locked() { # folder, lock file: installs what the lock names and vfax itself, once for each state of the two
    local venv=$1 lock=$2 want stamp
    make_venv "$venv"
    stamp=$venv/.installed-$(basename "$lock" .lock)
    want=$(cat "$lock" pyproject.toml vfax/__init__.py | cksum)
    [ "$(cat "$stamp" 2>/dev/null)" = "$want" ] && return
    say "vfax: installing Python packages into $venv ..."
    pip_install "$venv" --require-hashes -r "$lock" || die "the packages of $lock could not be installed (see above)."
    printf '%s\n' "$want" >"$stamp"
}

pip_install() { # folder, arguments
    local venv=$1
    shift
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
}
