# Sourced by the scripts beside it: makes the virtual environment .venv and puts this checkout into it.
# Needs python3 (3.11 or newer) and pip, no root. PYTHON names another interpreter.
# shellcheck shell=bash

REPO="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
VENV="$REPO/.venv"
LISTS="$REPO/scripts/requirements" # what is installed: scripts/pin-hashes writes them

say() { printf '%s\n' "$*" >&2; }

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

# Print the interpreter to build on: PYTHON, else the first new enough one of the usual names.
find_python() {
    local candidate usual=(python3 python3.14 python3.13 python3.12 python3.11)
    [[ -z "${PYTHON:-}" ]] || usual=("$PYTHON")
    for candidate in "${usual[@]}"; do
        if is_new_enough "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    say "creditmeter's sidecar needs Python 3.11 or newer; ${usual[0]} is $("${usual[0]}" -V 2>/dev/null || echo missing)." \
        "Set PYTHON to a newer one."
    return 1
}

# Some systems package the venv module without pip's bootstrap; there, the pip that runs outside puts one inside.
make_venv() {
    local python
    python="$(find_python)" || return 1
    say "creating .venv with $("$python" -V)"
    if "$python" -c 'import ensurepip' 2>/dev/null; then
        "$python" -m venv --clear "$VENV"
    elif "$python" -m pip --version >/dev/null 2>&1; then
        "$python" -m venv --clear --without-pip "$VENV"
        "$python" -m pip --quiet --python "$VENV/bin/python" install --require-hashes --requirement "$LISTS/build.txt"
    else
        say "creditmeter's set-up needs pip: $python has none (on Debian: apt-get install python3-pip or python3-venv)."
        return 1
    fi
}

# What an installation was made from; when it differs, it is made again.
fingerprint() {
    printf '%s\n' "$REPO"
    "$VENV/bin/python" -V
    cksum <"$REPO/pyproject.toml"
    cat "$LISTS"/*.txt | cksum
}

# is_installed EXTRA: the checkout is installed as it is now, with at least this extra.
is_installed() {
    local extra
    for extra in "$1" dev; do
        [[ "$(cat "$VENV/installed-$extra" 2>/dev/null)" == "$(fingerprint)" ]] && return
    done
    return 1
}

# install_into_venv EXTRA: pip takes no file whose SHA-256 is not listed, nor anything for this checkout that is not.
install_into_venv() {
    local pip=("$VENV/bin/python" -m pip install --quiet --disable-pip-version-check) lists=("--requirement=$LISTS/dev.txt")
    [[ "$1" == dev ]] || lists=("--requirement=$LISTS/build.txt" "--requirement=$LISTS/$1.txt")
    "${pip[@]}" --require-hashes "${lists[@]}" && "${pip[@]}" --no-deps --no-build-isolation --editable "$REPO"
}

# ensure_environment EXTRA: .venv exists and holds this checkout, with what the sidecar needs ("server") or with the tools too ("dev").
ensure_environment() {
    local extra="$1"
    (
        # Two runs at once must not install over each other; where there is no flock, run one at a time.
        exec 9>"$VENV.lock"
        if command -v flock >/dev/null; then flock 9; fi
        "$VENV/bin/python" -m pip --version >/dev/null 2>&1 || make_venv || exit 1
        is_installed "$extra" && exit 0
        say "installing into .venv (extra: $extra)"
        install_into_venv "$extra" || exit 1
        fingerprint >"$VENV/installed-$extra"
    )
}
