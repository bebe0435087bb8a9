"""Where a private cluster lies, and under which user its Postgres runs.

Postgres refuses to run as root, and it must own its folder. For anyone but root both are simple: our own user, in the
data folder. For root the first that works is taken:

1. an unprivileged account of the machine, in the data folder;
2. root itself in a user namespace, where it has another number: for a data folder that is closed to others (0700);
3. an unprivileged account, in another place, with a file in the data folder that points there.
"""

import os
import pwd
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

import msgspec

from adapters.private_postgres.binaries import Binaries
from adapters.private_postgres.errors import NoPostgres

ELSEWHERE = Path("/var/lib/nectar")

_ACCOUNTS = ("postgres", "nobody")
_NOBODY = 65534

# What the user of a cluster must be able to do; says what it cannot.
_PROBE = """
cd "$1" 2>/dev/null || { echo "it cannot enter $1"; exit 1; }
test -O . || { echo "it does not own $1"; exit 1; }
test -w . || { echo "it cannot write to $1"; exit 1; }
"$2" --version >/dev/null 2>&1 || { echo "it cannot run $2"; exit 1; }
"""


class Switch(TypedDict, total=False):
    """The arguments of `subprocess` that change the user."""

    user: int
    group: int
    extra_groups: list[int]


class RunAs(msgspec.Struct, frozen=True, kw_only=True):
    """How Postgres gets its user: `prefix` goes before its command line, `switch` to `subprocess`.

    `owner` is the user (and group) that must own the cluster as seen from here, None for our own.
    """

    name: str
    owner: tuple[int, int] | None = None
    prefix: tuple[str, ...] = ()
    switch: Switch = {}

    def own(self, folder: Path) -> None:
        """Give a folder and all in it to this user, where it is not yet its own."""
        if self.owner is None or (folder.stat().st_uid, folder.stat().st_gid) == self.owner:
            return
        for parent, _, files in os.walk(folder, topdown=False):
            for name in files:
                os.chown(Path(parent, name), *self.owner, follow_symlinks=False)
            os.chown(parent, *self.owner)

    def run(self, command: list[str | Path]) -> subprocess.CompletedProcess[str]:
        """Run a command to its end and return what it said (errors with the rest)."""
        return subprocess.run(
            [*self.prefix, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            cwd="/",
            env=environment(),
            umask=0o077,
            **self.switch,
        )

    def refusal(self, folder: Path, binaries: Binaries) -> str | None:
        """Return why this user cannot keep a cluster in `folder`, None if it can."""
        try:
            self.own(folder)
            probe = self.run(["/bin/sh", "-c", _PROBE, "sh", folder, binaries.folder / "postgres"])
        except OSError as e:
            return str(e)
        return None if probe.returncode == 0 else probe.stdout.strip()


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster's folder, who runs it, and with which programs."""

    cluster: Path
    run_as: RunAs
    binaries: Binaries


def environment() -> dict[str, str]:
    """Return our environment without what would change a Postgres program (`PGPORT`, `PGDATA`, …) or its language."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C"}


def cluster_of(data: Path) -> Path:
    """Return the folder of the cluster that belongs to a data folder, whether it is there or not.

    Raises `NoPostgres` when the data folder points to another place that is gone.
    """
    pointer = _pointer(data)
    if not pointer.is_file():
        return data / "postgres"
    cluster = Path(pointer.read_text(encoding="utf-8").strip())
    if not is_cluster(cluster):
        raise NoPostgres(
            f"The database of '{data}' lies in '{cluster}', as '{pointer}' says, and is not there."
            f" Bring it back; or delete '{pointer}' to begin with an empty database."
        )
    return cluster


def choose(data: Path, cluster: Path, binaries: Binaries, elsewhere: Path) -> Ground:
    """Return the first ground on which Postgres can run; a cluster that has to move is moved there.

    `cluster` is where it lies now, or would (`cluster_of`); nothing may be running on it. Raises `NoPostgres` with all
    the reasons and the remedies.
    """
    reasons = []
    for run_as, place in _candidates(data, cluster, elsewhere):
        ground, refusal = _try(run_as, place, cluster, binaries, elsewhere)
        if refusal is None:
            if place != cluster:
                _move(data, cluster, place, run_as)
            return ground
        reasons.append(f"as {run_as.name} in '{place}': {refusal}")
    remedy = (
        "Choose a data folder that it can reach (NECTAR_DATA), run as a user who is not root, or set DATABASE_URL."
        if os.geteuid() == 0
        else f"Give the folder to user {os.geteuid()} (chown -R), choose another with NECTAR_DATA, or set DATABASE_URL."
    )
    raise NoPostgres(f"The private Postgres cannot run: {'; '.join(reasons)}. {remedy}")


def _move(data: Path, cluster: Path, place: Path, run_as: RunAs) -> None:
    """Point to another place, with a copy of the cluster there; only then the one that is here goes.

    Wherever this is cut short, the next start finds one or the other, whole.
    """
    moves = is_cluster(cluster)
    if moves:
        shutil.copytree(cluster, place, symlinks=True)
        run_as.own(place)
    pointer = _pointer(data)
    written = pointer.with_name(f"{pointer.name}.new")
    written.write_text(f"{place}\n", encoding="utf-8")
    os.sync()  # a pointer that outlives a power cut must not point to half a copy
    written.rename(pointer)
    os.sync()
    if moves:
        shutil.rmtree(cluster, ignore_errors=True)


def is_cluster(folder: Path) -> bool:
    """Return whether a folder holds a whole cluster: one is made beside its place and renamed when it is done."""
    return (folder / "PG_VERSION").is_file()


def making_of(cluster: Path) -> Path:
    """Return the folder in which a cluster is made."""
    return cluster.with_name("postgres.new")


def _candidates(data: Path, cluster: Path, elsewhere: Path) -> Iterator[tuple[RunAs, Path]]:
    if os.geteuid() != 0:
        yield RunAs(name="this user"), cluster
        return
    account = _account()
    here = [account]
    unshare = shutil.which("unshare")
    if unshare:
        prefix = (unshare, "--user", f"--map-user={_NOBODY}", "--")
        here.append(RunAs(name="root in a user namespace", owner=(0, 0), prefix=prefix))
    if is_cluster(cluster):
        # Whoever owns it ran it last, and probably still can: then no file has to change hands.
        here.sort(key=lambda run_as: run_as.owner is None or run_as.owner[0] != cluster.stat().st_uid)
    for run_as in here:
        yield run_as, cluster
    if cluster == data / "postgres":
        # A name of its own each time: what an earlier data folder at this path left there is not this one's.
        yield account, elsewhere / f"{data.name}-{secrets.token_hex(4)}" / "postgres"


def _try(run_as: RunAs, place: Path, cluster: Path, binaries: Binaries, elsewhere: Path) -> tuple[Ground, str | None]:
    moved = place != cluster
    probed = place
    if moved or not is_cluster(place):
        probed = making_of(place)
        shutil.rmtree(probed, ignore_errors=True)
        probed.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        probed.mkdir(mode=0o700)
    refusal = run_as.refusal(probed, binaries)
    if refusal and binaries.from_wheel and place.is_relative_to(elsewhere):
        binaries = binaries.copied_to(elsewhere)
        refusal = run_as.refusal(probed, binaries)
    if refusal and probed != place:
        shutil.rmtree(place.parent if moved else probed)
    return Ground(cluster=place, run_as=run_as, binaries=binaries), refusal


def _account() -> RunAs:
    for name in _ACCOUNTS:
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        uid, gid = found.pw_uid, found.pw_gid
        return RunAs(name=f"user {name}", owner=(uid, gid), switch={"user": uid, "group": gid, "extra_groups": []})
    return RunAs(
        name=f"user {_NOBODY}",
        owner=(_NOBODY, _NOBODY),
        switch={"user": _NOBODY, "group": _NOBODY, "extra_groups": []},
    )


def _pointer(data: Path) -> Path:
    return data / "postgres.place"
