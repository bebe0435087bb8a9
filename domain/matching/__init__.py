"""The paper venue's matching engine: pure, deterministic, the time and the market given as arguments.

`engine.py` is what the venue can be asked, `floor.py` how it does it; `book.py` one pair's orders and depth;
`cash.py` and `margin.py` what an account owns, on spot and on perpetuals; `depth.py` makes depth out of a quote.
"""
