"""The images of tests: a small system with Python, made without any registry, and on it a program of ours.

The small system is made once on a machine, and kept in the user's cache.
"""

import fcntl
import hashlib
import io
import os
import shlex
import shutil
import subprocess
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import docker
import pytest
from docker.errors import ImageNotFound

from tests.engine.running import Engine

BASE_IMAGE = "nectar/test-base:1"
BOT_IMAGE = "nectar/hummingbot:test"
OBEDIENT_IMAGE = "nectar/hummingbot:obedient"

OBEDIENT = Path(__file__).with_name("obedient.py")
_BOTS = Path(__file__).parents[1] / "bots"
_SECONDS = 600

# What no test needs of a system, and what would be most of it.
_LEFT_OUT = (
    "./usr/share/doc",
    "./usr/share/man",
    "./usr/share/locale",
    "./var/cache",
    "./var/lib/apt",
    "./dev",
    "./proc",
)

# Pure Python, so that they run on whichever Python the small system has.
_PACKAGES = ("aiomqtt", "paho", "ruamel", "typing_extensions.py")

# What an image of Hummingbot brings of strategies, as far as it is read: nobody runs it here.
_STRATEGIES = {
    "controllers/market_making/pmm_simple.py": """\
from hummingbot.strategy_v2.controllers.market_making_controller_base import MarketMakingControllerConfigBase


class PMMSimpleConfig(MarketMakingControllerConfigBase):
    controller_name: str = "pmm_simple"
""",
    "scripts/v2_with_controllers.py": """\
from hummingbot.strategy.strategy_v2_base import StrategyV2Base, StrategyV2ConfigBase


class V2WithControllersConfig(StrategyV2ConfigBase):
    script_file_name: str = "v2_with_controllers.py"


class V2WithControllers(StrategyV2Base):
    pass
""",
}

_DOCKERFILE = f"""\
FROM {BASE_IMAGE}
ENV PYTHONPATH=/opt/bot BOT_WIND_DOWN_SECONDS=3 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
COPY opt /opt
COPY home /home/hummingbot
WORKDIR /home/hummingbot
CMD ["/bin/sh", "-c", "exec python3 /opt/bot/PROGRAM 2>> ./logs/errors.log"]
"""


def bot_image(engine: Engine) -> str:
    """Make sure that the engine has the image of the test bot, as the bot now is, and return its name."""
    kept = [file for file in sorted(_BOTS.rglob("*")) if file.is_file() and "__pycache__" not in file.parts]
    return _image(engine, BOT_IMAGE, "bot.py", {str(file.relative_to(_BOTS)): file.read_bytes() for file in kept})


def obedient_image(engine: Engine) -> str:
    """Make sure that the engine has the image of the program that does what its config says, and return its name."""
    return _image(engine, OBEDIENT_IMAGE, OBEDIENT.name, {OBEDIENT.name: OBEDIENT.read_bytes()})


def _image(engine: Engine, image: str, program: str, files: Mapping[str, bytes]) -> str:
    context = _context(program, files)
    version = hashlib.sha256(context).hexdigest()
    client = engine.client()
    try:
        with _alone("images"):
            if _version(client, image) != version:
                _import_base(client)
                client.images.build(
                    fileobj=io.BytesIO(context), custom_context=True, tag=image, labels={"version": version}, rm=True
                )
    finally:
        client.close()
    return image


def _version(client: docker.DockerClient, image: str) -> str | None:
    try:
        labels: dict[str, str] = client.images.get(image).labels
    except ImageNotFound:
        return None
    return labels.get("version")


def _import_base(client: docker.DockerClient) -> None:
    try:
        client.images.get(BASE_IMAGE)
    except ImageNotFound:
        repository, tag = BASE_IMAGE.split(":")
        client.api.import_image_from_file(str(_base()), repository=repository, tag=tag)


def _base() -> Path:
    """Return the file system of the small system as a tar, which is made where this machine has none yet."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nectar-tests"
    suite, mirror = _suite(), _mirror()
    base = cache / f"base-{suite}-{sysconfig.get_platform()}-{BASE_IMAGE.rpartition(':')[2]}.tar"
    if base.is_file():
        return base
    program = shutil.which("debootstrap", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None or os.geteuid() != 0:
        pytest.skip("the tests' base image is made by root with debootstrap, which is not installed")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="nectar-base-") as folder:
        command = [program, "--variant=minbase", "--include=python3", suite, f"{folder}/root", mirror]
        made = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
        if made.returncode:
            pytest.fail(f"{shlex.join(command)} failed:\n{made.stdout[-2000:]}{made.stderr[-2000:]}")
        leave_out = [f"--exclude={path}/*" for path in _LEFT_OUT]
        unfinished = base.with_suffix(".unfinished")
        subprocess.run(
            ["tar", "-C", f"{folder}/root", *leave_out, "-cf", unfinished, "."], check=True, timeout=_SECONDS
        )
        unfinished.rename(base)
    return base


def _suite() -> str:
    """Return the name of this machine's own release, which its package mirror has for certain."""
    release = Path("/etc/os-release").read_text(encoding="utf-8")
    names = dict(line.split("=", 1) for line in release.splitlines() if "=" in line)
    return names.get("VERSION_CODENAME", "stable").strip('"')


def _mirror() -> str:
    """Return where this machine gets its packages from, empty where it does not say."""
    apt = shutil.which("apt-get")
    if apt is None:
        return ""
    listed = subprocess.run(
        [apt, "indextargets", "--format", "$(SITE)", "Created-By: Packages", f"Codename: {_suite()}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return next(iter(listed.stdout.split()), "")


def _context(program: str, files: Mapping[str, bytes]) -> bytes:
    """Return what an image is built of, the same bytes for the same program."""
    packages = Path(sysconfig.get_path("purelib"))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        _add(tar, "Dockerfile", _DOCKERFILE.replace("PROGRAM", program).encode())
        for name in ("conf/connectors", "conf/scripts", "conf/controllers", "data", "logs", "scripts", "controllers"):
            _add(tar, f"home/{name}/.keep", b"")
        for name, source in sorted(_STRATEGIES.items()):
            _add(tar, f"home/{name}", source.encode())
        for name, content in sorted(files.items()):
            _add(tar, f"opt/bot/{name}", content)
        for package in _PACKAGES:
            found = packages / package
            for file in sorted(found.rglob("*.py")) if found.is_dir() else [found]:
                _add(tar, f"opt/bot/{file.relative_to(packages)}", file.read_bytes())
    return packed.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    entry.mode = 0o644
    tar.addfile(entry, io.BytesIO(content))


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """Let one process of several do it at a time."""
    path = Path(tempfile.gettempdir()) / f"nectar-tests-{os.getuid()}-{name}.lock"
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
