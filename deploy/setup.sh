#!/bin/sh
# Makes ./.venv with the pinned packages of constraints.txt:  sh deploy/setup.sh runtime|dev
#
# Does nothing (in some 50 ms) when the environment is as the files want it. A setup that was
# interrupted is started over. pip's own settings (configuration files, PIP_* variables) are honoured.
# PYTHON=/path/to/python chooses the interpreter.
set -eu
cd "$(dirname "$0")/.."

want=${1:?usage: setup.sh runtime|dev}
case $want in runtime | dev) ;; *) echo "setup.sh: unknown set '$want' (runtime, dev)" >&2; exit 2 ;; esac
venv=.venv
busy=$venv/.setup-busy
python=$venv/bin/python

say() { echo "setup: $*" >&2; }
fail() { for line in "$@"; do echo "setup: $line" >&2; done; exit 1; }

usable() { # a Python that runs and is new enough
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

other_python() { # PYTHON names another interpreter than the one .venv was made with
    which='import sys; print(sys.base_prefix, sys.version)'
    [ -n "${PYTHON:-}" ] && [ "$("$PYTHON" -c "$which" 2>&1)" != "$("$python" -c "$which" 2>&1)" ]
}

# What the environment was made from. An editable install knows its folder, so the folder counts too.
fingerprint() {
    { pwd -P; cat pyproject.toml constraints.txt; } | cksum | tr ' ' -
}

# --- nothing to do? -------------------------------------------------------------------------------
if [ -e "$busy" ] && kill -0 "$(cat "$busy")" 2>/dev/null; then
    say "another setup (process $(cat "$busy")) is at work here, waiting for it (is that wrong? remove $venv)"
    while [ -e "$busy" ] && kill -0 "$(cat "$busy")" 2>/dev/null; do sleep 1; done
fi
if [ ! -e "$busy" ] && usable "$python" && ! other_python; then
    now=$(fingerprint)
    for set in "$want" dev; do # dev holds runtime
        [ "$(cat "$venv/.installed-$set" 2>/dev/null)" = "$now" ] && exit 0
    done
fi

# --- the interpreter ------------------------------------------------------------------------------
install_venv_module() { # Debian and Ubuntu ship Python without it
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 && sh deploy/system-packages.sh python-venv
}

make_venv() {
    olds= bare=
    for candidate in ${PYTHON:-python3.11 python3.12 python3.13 python3.14 python3}; do
        found=$(command -v "$candidate") || continue
        if ! usable "$found"; then
            olds="$olds $candidate ($("$found" --version 2>&1 | head -n 1));"
            continue
        fi
        if "$found" -c 'import ensurepip, venv' >/dev/null 2>&1 && create "$found" -m venv; then return; fi
        if "$found" -c 'import virtualenv' >/dev/null 2>&1 && create "$found" -m virtualenv -q; then return; fi
        bare="$bare $found"
    done
    for found in $bare; do
        if command -v virtualenv >/dev/null 2>&1 && create virtualenv -q -p "$found"; then return; fi
        say "$found has no working venv/ensurepip module"
        if install_venv_module && create "$found" -m venv; then return; fi
        name=$("$found" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
        fail "no virtual environment can be made with $found: its modules venv and ensurepip are missing or broken." \
            "Remedy: on Debian or Ubuntu 'apt-get install $name-venv'; elsewhere 'python3 -m pip install --user virtualenv'," \
            "or name another Python: 'make PYTHON=/path/to/python3 …'."
    done
    fail "Python 3.11 or newer is needed; found:${olds:- none (looked for ${PYTHON:-python3.11 … python3})}" \
        "Remedy: install one, or name it: 'make PYTHON=/path/to/python3 …'."
}

create() {
    rm -rf "$venv"
    mkdir "$venv" && echo $$ >"$busy"
    if "$@" "$venv" >"$venv/.setup-log" 2>&1 && usable "$python" && "$python" -m pip --version >/dev/null 2>&1; then
        say "virtual environment with $("$python" --version) ($1)"
        return 0
    fi
    sed 's/^/setup:   /' "$venv/.setup-log" | tail -n 3 >&2
    return 1
}

trap 'exit 130' INT
trap 'exit 143' TERM
here=$(pwd -P)
if [ -e "$busy" ]; then
    say "an earlier setup was interrupted; starting over"
    make_venv
elif [ "$(cat "$venv/.folder" 2>/dev/null || echo "$here")" != "$here" ]; then
    say "$venv was made in another folder and holds its paths; starting over"
    make_venv
elif [ -e "$python" ] && other_python; then
    say "$venv was made with another Python than $PYTHON; starting over"
    make_venv
elif usable "$python" && "$python" -m pip --version >/dev/null 2>&1; then
    echo $$ >"$busy"
else
    make_venv
fi
rm -f "$venv"/.installed-*
echo "$here" >"$venv/.folder"

# --- the packages ---------------------------------------------------------------------------------
# The build backend is installed with the rest, so that it is pinned too and pip builds no second environment.
requirements=$("$python" - "$want" <<'PY'
import sys, tomllib
with open("pyproject.toml", "rb") as file:
    tables = tomllib.load(file)
project = tables["project"]
wanted = [*tables["build-system"]["requires"], "editables", *project["dependencies"]]
if sys.argv[1] == "dev":
    wanted += project["optional-dependencies"]["dev"]
print("\n".join(wanted))
PY
)
printf '%s\n' "$requirements" >"$venv/.requirements"
install() {
    # A failure leaves the environment as it was; only an interruption leaves it in doubt (and $busy behind).
    "$python" -m pip --disable-pip-version-check install --quiet --no-input "$@" || {
        rm -f "$busy"
        fail "pip could not install the $want packages (its message is above). 'make' again carries on from here."
    }
}
say "installing the $want packages (a minute the first time)"
install --constraint constraints.txt --requirement "$venv/.requirements"
install --no-deps --no-build-isolation --editable .

fingerprint >"$venv/.installed-$want"
rm -f "$busy"
say "done"
