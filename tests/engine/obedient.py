"""A program that does what its config says, in the place of a bot: for tests of where bots run.

It stands in a bot's folder, writes what it was given to `data/started.jsonl`, a line for each start, and waits. In its
script's config `crash: 3` has it end at once with that code, `stubborn: true` has it not listen to SIGTERM.
"""

import json
import os
import signal
import stat
import sys
import time
from pathlib import Path

config = Path("conf/scripts", os.environ.get("SCRIPT_CONFIG", ""))
wishes = dict(line.split(": ") for line in config.read_text().splitlines()) if config.is_file() else {}
files = {
    str(file): stat.S_IMODE(file.stat().st_mode)
    for folder in ("conf", "scripts", "controllers", "certs")
    for file in sorted(Path(folder).rglob("*"))
    if file.is_file()
}
told = {"pid": os.getpid(), "environment": dict(os.environ), "files": files, "folder": str(Path.cwd())}
if wishes.get("stubborn") == "true":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
with Path("data/started.jsonl").open("a") as output:
    output.write(json.dumps(told) + "\n")
print("started", flush=True)  # noqa: T201
if "crash" in wishes:
    sys.exit(int(wishes["crash"]))
while True:
    time.sleep(60)
