"""Venues to test against: real exchanges' protocols on loopback, with our matching engine behind them.

`floor.py` is the venue itself, whatever its dialect: accounts with keys, two markets (`desk.py`), the ledger of all
that happened (`ledger.py`) and the levers by which things go wrong (`levers.py`). A dialect puts it on the wire:
`binance_spot.py` and `binance_futures.py`, and `okx.py`. `serving.py` serves them all in a loop, and
`python -m tests.venues` in a process; `admin.py` is the back door to both.
"""
