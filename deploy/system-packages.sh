#!/bin/sh
# Programs the tests drive that pip cannot install:  sh deploy/system-packages.sh [TOOL…]
#
# Without arguments: what the tests in this checkout ask for. A missing one is installed where that may be
# (root, with apt-get); else it is named with its remedy and its tests are skipped. With CI=true nothing is
# skipped: a tool that is missing in the end is a failure (exit 1).
set -eu
cd "$(dirname "$0")/.."

say() { echo "system packages: $*" >&2; }

# --- one table: what the tests call it, how it is recognised, Debian's names ------------------------
present() {
    case $1 in
        chromium) command -v chromium || command -v chromium-browser || command -v google-chrome ;;
        chinese-fonts) [ -n "$(fc-list :lang=zh 2>/dev/null)" ] ;;
        java) java -version ;;
        maven) command -v mvn ;;
        prometheus) command -v prometheus && command -v promtool ;;
        alertmanager) { command -v alertmanager || command -v prometheus-alertmanager; } && command -v amtool ;;
        nodejs) command -v node && command -v npm ;;
        make) command -v make ;;
        python) python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ;;
        python-venv) python3 -c 'import ensurepip, venv' ;;
        *) say "unknown tool '$1'"; exit 2 ;;
    esac >/dev/null 2>&1
}

debian_packages() {
    case $1 in
        chromium) echo chromium ;;
        chinese-fonts) echo fonts-noto-cjk fontconfig ;;
        java) echo default-jre-headless ;;
        alertmanager) echo prometheus-alertmanager ;;
        nodejs) echo nodejs npm ;;
        python | python-venv) echo python3 python3-venv ;;
        *) echo "$1" ;;
    esac
}

# --- what is asked for ----------------------------------------------------------------------------
asked_by_tests() { # a marker or a require_tool("…") in a test
    grep -rqE --include='*.py' "mark\.($1)\b|require_tool\(\"($1)\"" tests
}

needed() {
    if asked_by_tests chromium; then echo chromium chinese-fonts; fi
    if [ -n "$(find . -name pom.xml -not -path './.venv/*' -not -path '*/target/*' | head -n 1)" ]; then echo java maven; fi
    if asked_by_tests 'prometheus|promtool'; then echo prometheus; fi
    if asked_by_tests 'alertmanager|amtool'; then echo alertmanager; fi
    if asked_by_tests 'nodejs|npm'; then echo nodejs; fi
}

missing() { for tool in "$@"; do present "$tool" || echo "$tool"; done; }

# --- install, or name aloud -----------------------------------------------------------------------
[ $# -gt 0 ] || set -- $(needed)
absent=$(missing "$@")
[ -n "$absent" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    packages=$(for tool in $absent; do debian_packages "$tool"; done | tr ' ' '\n' | sort -u | tr '\n' ' ')
    say "installing $packages"
    log=$(mktemp)
    export DEBIAN_FRONTEND=noninteractive
    { apt-get -qq update && apt-get -qq install -y --no-install-recommends $packages; } >"$log" 2>&1 ||
        { say "apt-get failed:"; tail -n 5 "$log" >&2; }
    rm -f "$log"
    absent=$(missing "$@")
    [ -n "$absent" ] || exit 0
fi

for tool in $absent; do
    case $tool in make | python*) so= ;; *) so=", the tests that need it are skipped" ;; esac
    say "$tool is MISSING$so. Remedy (Debian, Ubuntu): sudo apt-get install $(debian_packages "$tool")"
done
if [ "${CI:-}" = true ]; then
    say "CI=true: a missing tool is a failure"
    exit 1
fi
