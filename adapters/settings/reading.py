"""Read variables of the environment, each in the form that it must have."""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path

import msgspec

_SECRET = frozenset({
    "PASSWORD", "CONFIG_PASSWORD", "DATABASE_URL", "BROKER_PASSWORD", "AWS_SECRET_KEY", "LOGFIRE_TOKEN",
    "COIN_CAP_API_KEY",
})  # fmt: skip


class WrongSetting(Exception):
    """Refuse to start: a setting has a value that cannot be right. The value of a secret is never shown."""

    def __init__(self, name: str, value: str, why: str) -> None:
        shown = "the value given" if name in _SECRET else f"'{value[:200]}'"
        super().__init__(f"Wrong setting {name}: {shown} {why}")
        self.name = name
        self.why = why


class Given:
    """The variables as they were given. Every reading raises `WrongSetting` for what cannot be right."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Read from these variables."""
        self._environment = environment

    def text(self, name: str) -> str | None:
        """Read a word or a line; None when it is not set, or empty."""
        value = self._environment.get(name, "").strip()
        if not value.isprintable():
            raise WrongSetting(name, repr(value), "holds a character that cannot be printed")
        return value or None

    def path(self, name: str, default: Path) -> Path:
        """Read a path, made absolute."""
        value = self.text(name)
        return (default if value is None else Path(value).expanduser()).absolute()

    def one_of(self, name: str, words: tuple[str, ...], default: str) -> str:
        """Read one of some words, in any case of letters."""
        value = self.text(name)
        if value is None:
            return default
        if value.lower() not in words:
            raise WrongSetting(name, value, f"is none of {', '.join(words)}")
        return value.lower()

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        """Read a whole number between two bounds, both included."""
        value = self.text(name)
        if value is None:
            return default
        if re.fullmatch(r"[+-]?[0-9]{1,20}", value) is None:
            raise WrongSetting(name, value, "is not a whole number")
        if not least <= int(value) <= most:
            raise WrongSetting(name, value, f"is not between {least} and {most}")
        return int(value)

    def number(self, name: str, default: str, least: str, most: str) -> Decimal:
        """Read a number between two bounds, both included."""
        value = self.text(name) or default
        try:
            number = Decimal(value)
        except InvalidOperation as e:
            raise WrongSetting(name, value, "is not a number") from e
        if not number.is_finite() or not Decimal(least) <= number <= Decimal(most):
            raise WrongSetting(name, value, f"is not between {least} and {most}")
        return number

    def words(self, name: str, default: tuple[str, ...]) -> tuple[str, ...]:
        """Read a JSON list of strings, as the reference has it, or words between commas."""
        value = self.text(name)
        if value is None:
            return default
        if not value.startswith("["):
            return tuple(word.strip() for word in value.split(",") if word.strip())
        try:
            return tuple(msgspec.json.decode(value, type=list[str]))
        except msgspec.DecodeError as e:
            raise WrongSetting(name, value, f"is not a JSON list of strings: {e}") from e
