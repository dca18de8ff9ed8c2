#!/bin/sh
# Writes constraints.txt: the newest version of every package, direct or not, that this project, its tests and
# its build need, as found in a clean environment. Run it with the oldest Python supported (3.11), then `make test`.
set -eu
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -R deploy pyproject.toml monitor README.md LICENSE "$work"
echo "# nothing is pinned yet" >"$work/constraints.txt"
sh "$work/deploy/setup.sh" dev
{
    echo "# Exact versions of everything 'make setup' installs. Written by 'make constraints'; do not edit."
    "$work/.venv/bin/python" -m pip --disable-pip-version-check freeze --exclude-editable
} >constraints.txt
echo "constraints.txt: $(grep -c == constraints.txt) packages" >&2
