import subprocess
import sys
import threading
from pathlib import Path

import pytest

from adapters.exchanges import names
from adapters.exchanges.ccxt_lazily import PACKAGES, exchange_class

EXCHANGES = sorted({known.exchange_id for known in names.CONNECTORS.values() if known.exchange_id})
WITHOUT_STREAMS = {"btcmarkets", "foxbit"}
ROOT = Path(__file__).parents[2]


def run(code: str) -> str:
    """Return what code prints in a process of its own, where nothing is imported yet."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, cwd=ROOT).stdout


def test_one_exchange_is_imported_without_the_others():
    printed = run(
        "import sys\n"
        "from adapters.exchanges.ccxt_lazily import exchange_class\n"
        "made = exchange_class('binanceusdm')({})\n"
        "print(made.id, *sorted(name for name in sys.modules if name.startswith('ccxt.') and name.count('.') == 2))\n"
    )
    exchange, *modules = printed.split()
    assert exchange == "binanceusdm"
    imported = {name.rpartition(".")[2] for name in modules if name.startswith(("ccxt.pro.", "ccxt.async_support."))}
    assert imported - {"base"} == {"binance", "binanceusdm"}


def test_a_process_without_a_real_venue_imports_nothing_of_ccxt():
    code = "import sys, adapters.exchanges.venues\nprint([name for name in sys.modules if name.startswith('ccxt')])"
    assert run(code) == "[]\n"


def test_ccxt_is_the_same_to_everybody_else():
    printed = run(
        "from adapters.exchanges.ccxt_lazily import exchange_class\n"
        "exchange_class('okx')\n"
        "import ccxt, ccxt.pro, ccxt.async_support\n"
        "from ccxt import *\n"
        "print(ccxt.__version__ == ccxt.pro.__version__, 'kraken' in ccxt.exchanges, ccxt.kraken().id, okx().id)\n"
        "print(ccxt.pro.kraken.__module__, issubclass(ccxt.pro.okx, ccxt.async_support.okx), ccxt.errors.__name__)\n"
        "print(ccxt.NetworkError is ccxt.async_support.NetworkError, hasattr(ccxt, 'nothing'))\n"
    )
    assert printed.splitlines() == [
        "True True kraken okx",
        "ccxt.pro.kraken True ccxt.base.errors",
        "True False",
    ]


def test_a_package_that_was_imported_before_stays_as_it_is():
    code = (
        "import ccxt.pro\nbefore = ccxt.pro\nfrom adapters.exchanges.ccxt_lazily import exchange_class\n"
        "exchange_class('kraken')\nimport ccxt.pro\n"
        "print(ccxt.pro is before, exchange_class('kraken') is ccxt.pro.kraken)"
    )
    assert run(code) == "True True\n"


def test_threads_that_import_at_once_get_the_same_class():
    code = (
        "import threading\nfrom adapters.exchanges.ccxt_lazily import exchange_class\n"
        "got = []\nask = lambda: got.append(exchange_class('bitget'))\n"
        "threads = [threading.Thread(target=ask) for _ in range(8)]\n"
        "[thread.start() for thread in threads]\n[thread.join() for thread in threads]\nprint(len(got), len(set(got)))"
    )
    assert run(code) == "8 1\n"


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_every_exchange_of_the_table_can_be_imported(exchange):
    made = exchange_class(exchange)({})
    assert made.id == exchange
    package = "ccxt.async_support" if exchange in WITHOUT_STREAMS else "ccxt.pro"
    assert type(made).__module__ == f"{package}.{exchange}"


def test_an_exchange_that_ccxt_does_not_have_is_named():
    with pytest.raises(ImportError, match="ccxt has no exchange 'mtgox'"):
        exchange_class("mtgox")


def test_importing_twice_installs_once():
    exchange_class("kraken")
    threads = [threading.Thread(target=exchange_class, args=("kraken",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(type(finder).__module__ == exchange_class.__module__ for finder in sys.meta_path) == 1
    assert {"ccxt", "ccxt.pro"} < PACKAGES
