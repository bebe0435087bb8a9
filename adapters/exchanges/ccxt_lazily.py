"""Import one exchange class of ccxt without the hundred others."""


def exchange_class(exchange_id: str) -> type:
    """Return ccxt.pro's class of an exchange, where it has none the REST class. Raises `ImportError` for neither."""
    raise NotImplementedError(exchange_id)
