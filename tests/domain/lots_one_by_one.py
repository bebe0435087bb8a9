"""Matching of lots as a value and a list at a time, slow and plain: what `OpenLots` must come to, to the last digit."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal

import msgspec

from domain.analytics.lots import Close, Deal, Lot, Method
from domain.values import ZERO, Side


class Book(msgspec.Struct, frozen=True, kw_only=True):
    """The open lots, oldest first, and the sums over them."""

    method: Method
    lots: tuple[Lot, ...] = ()
    position: Decimal = ZERO
    cost: Decimal = ZERO


def take(book: Book, deal: Deal) -> tuple[Book, tuple[Close, ...]]:
    """Return the book after a trade, and what the trade has closed, lot by lot."""
    if book.lots and (book.lots[0].amount > 0) is (deal.side is Side.SELL):
        return _against(book, deal)
    return _along(book, deal, deal.amount), ()


def _along(book: Book, deal: Deal, amount: Decimal) -> Book:
    """Open a lot of `amount`; by average cost, make it one with the lot that is there."""
    paid = amount * deal.price
    signed, spent = (amount, paid) if deal.side is Side.BUY else (-amount, -paid)
    lots = book.lots
    if book.method is Method.AVERAGE and lots:
        held = lots[0]
        lot = Lot(amount=held.amount + signed, cost=held.cost + paid, opened_at=held.opened_at, name=held.name)
        lots = (lot,)
    else:
        lots = (*lots, Lot(amount=signed, cost=paid, opened_at=deal.at, name=deal.name))
    return Book(method=book.method, lots=lots, position=book.position + signed, cost=book.cost + spent)


def _against(book: Book, deal: Deal) -> tuple[Book, tuple[Close, ...]]:
    """Close lots in the order of the method, and open one of what is left of the trade."""
    left, closes, lots = deal.amount, [], book.lots
    kept: dict[int, Lot] | None = None  # places of the lots that stay, made only where more than one is there
    if len(lots) > 1:
        kept = dict(enumerate(lots))
    for place in _order(book):
        if not left:
            break
        lot = lots[place]
        held = abs(lot.amount)
        amount = min(left, held)
        cost = lot.cost if amount == held else lot.cost * amount / held
        left -= amount
        closes.append(
            Close(
                side=deal.side,
                amount=amount,
                cost=cost,
                proceeds=amount * deal.price,
                opened_at=lot.opened_at,
                closed_at=deal.at,
                entry_name=lot.name,
                exit_name=deal.name,
            )
        )
        rest: Lot | None = None
        if amount != held:
            remains = lot.amount - amount if lot.amount > 0 else lot.amount + amount
            rest = Lot(amount=remains, cost=lot.cost - cost, opened_at=lot.opened_at, name=lot.name)
        if kept is None:
            lots = () if rest is None else (rest,)
            break
        if rest is None:
            del kept[place]
        else:
            kept[place] = rest
    if kept is not None:
        lots = tuple(kept.values())
    after = _less(book, lots, closes)
    return (_along(after, deal, left) if left else after), tuple(closes)


def _less(book: Book, lots: tuple[Lot, ...], closes: Sequence[Close]) -> Book:
    """Return a book after lots were closed; with one lot or none its sums are exact again."""
    if not lots:
        return Book(method=book.method)
    sign = 1 if lots[0].amount > 0 else -1
    if len(lots) == 1:
        position, cost = lots[0].amount, sign * lots[0].cost
    else:
        position = book.position - sign * sum((close.amount for close in closes), ZERO)
        cost = book.cost - sign * sum((close.cost for close in closes), ZERO)
    return Book(method=book.method, lots=lots, position=position, cost=cost)


_FIRST: Mapping[Method, Callable[[Lot], Decimal]] = {
    Method.HIFO: lambda lot: lot.price if lot.amount < 0 else -lot.price
}


def _order(book: Book) -> Iterator[int]:
    """Yield the places of the lots in the order in which they are closed."""
    places = range(len(book.lots))
    if book.method is Method.LIFO:
        yield from reversed(places)
    elif book.method in _FIRST:
        first = _FIRST[book.method]
        yield from sorted(places, key=lambda place: first(book.lots[place]))
    else:
        yield from places
