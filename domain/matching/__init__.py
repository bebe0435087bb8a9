"""The paper venue's matching engine: pure, deterministic, the time and the market given as arguments.

`engine.py` is the venue; `book.py` one pair's orders and depth; `cash.py` and `margin.py` what an account owns, on spot and
on perpetuals; `depth.py` makes a book's depth out of a quote; `working.py` an order that the venue has.
"""
