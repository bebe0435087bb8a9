"""The table of all read controllers."""

from litestar import Controller

from read_api.accounts import Accounts
from read_api.analytics import Analytics
from read_api.archives import Archives
from read_api.audit import Audit
from read_api.audit.differences import Differences
from read_api.audit.feed import AuditFeed
from read_api.bots import BotReads, PerformanceReads, RunReads
from read_api.candles import CandleReads
from read_api.connectors import Connectors
from read_api.containers import ContainerReads
from read_api.market_data import MarketData
from read_api.order_books import OrderBooks
from read_api.orders import OrderReads
from read_api.portfolio import Portfolio
from read_api.positions import PositionReads
from read_api.projections import ProjectionReads
from read_api.rates import RateReads
from read_api.reconciliation import Reconciliation
from read_api.sockets import Sockets
from read_api.strategies import ControllerReads, ScriptReads
from read_api.system import System

CONTROLLERS: tuple[type[Controller], ...] = (
    System,
    ProjectionReads,
    Accounts,
    Connectors,
    ContainerReads,
    CandleReads,
    OrderReads,
    PositionReads,
    Portfolio,
    MarketData,
    OrderBooks,
    RateReads,
    ScriptReads,
    ControllerReads,
    Audit,
    AuditFeed,
    Differences,
    Sockets,
    Reconciliation,
    Archives,
    Analytics,
    PerformanceReads,
    RunReads,
    BotReads,
)
