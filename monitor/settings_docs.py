"""Writes the table of all settings:  ``python -m monitor.settings_docs docs/settings.md`` (``make docs``)."""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path

from monitor.settings import CONFIG_VARIABLE
from monitor.settings_model import Setting, describe

_HEAD = f"""# Settings

Written by `make docs` from `monitor/settings_model.py` and `monitor/core/params.py`; do not edit.

Every setting has a default; the monitor runs without any. Where a setting comes from, the later wins:

1. the default,
2. a TOML file: the one named by `--config`, else by the variable `{CONFIG_VARIABLE}`, else `./channel-monitor.toml`
   if it is there,
3. an environment variable. An empty variable counts as not set.

An unknown key, or a value out of its bounds, stops the program with a sentence that names the key, the value, the
bounds and the source. `channel-monitor check` tests the settings without starting anything.

```toml
[detection]
page_ln_m = 12.0

[web]
timezone = "Asia/Shanghai"
access_token_file = "/etc/channel-monitor/token"
```

A secret is best given by file (`access_token_file`) or by variable; it is never written to the log.
"""


def markdown() -> str:
    """The page ``docs/settings.md``."""
    parts = [_HEAD]
    for section, settings in groupby(describe(), key=lambda setting: setting.section):
        parts.append(
            f"\n## `[{section}]`\n\n| key | default | bounds | what it is | variable |\n|---|---|---|---|---|\n"
        )
        parts.extend(_row(setting) for setting in settings)
    return "".join(parts)


def _row(s: Setting) -> str:
    return f"| `{s.name}` | `{s.default}` | {s.bounds} | {s.text} | `{s.variable}` |\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(markdown(), encoding="utf-8")
