"""What trading has earned: the arithmetic of lots, profit, fees and risk, exact, once for all that show it.

`lots` matches what is sold with what was bought, `figures` makes one set of figures of a run of trades. Definitions
with formulas and sources stand in `docs/analytics.md`.
"""
