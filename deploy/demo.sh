#!/bin/sh
# The demonstration: a simulated season up to today, streamed into a fresh log, and the page over it.
# Needs the environment of deploy/setup.sh (`make demo` sees to it). Everything it writes is in ./demo-data.
# Further words are passed on to `run`:  sh deploy/demo.sh --port 9000
set -eu
cd "$(dirname "$0")/.."

python=.venv/bin/python
world=demo-data/world.jsonl.gz
days=200
start=$("$python" -c "from datetime import *; print(datetime.now(UTC).date() - timedelta(days=$days))")

running=$(cat demo-data/pid 2>/dev/null || echo none)
if ps -ww -p "$running" -o args= 2>/dev/null | grep -q monitor; then
    echo "demo: it is running already (process $running); end that one first" >&2
    exit 1
fi
rm -rf demo-data
mkdir demo-data
echo $$ >demo-data/pid # stays true: the monitor takes the place of this shell at the end
echo "demo: simulating $days days of parcels up to today" >&2
"$python" -m monitor simulate --scenario demo --seed 1 --days $days --start "$start" --out "$world"
set -- run --data demo-data/log --feed "$world" "$@"

# In a terminal, Ctrl-C reaches everything in the foreground, make too, which would then report an error for what
# is the normal end of a demonstration. So the monitor becomes the foreground alone, and make sees it end with 0.
exec "$python" -c '
import os, signal, sys
try:
    terminal = os.open("/dev/tty", os.O_RDWR)
    if os.tcgetpgrp(terminal) == os.getpgrp():
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        signal.signal(signal.SIGTSTP, signal.SIG_IGN)
        os.setpgid(0, 0)
        os.tcsetpgrp(terminal, os.getpid())
except OSError:
    pass
os.execv(sys.executable, [sys.executable, "-m", "monitor", *sys.argv[1:]])
' "$@"
