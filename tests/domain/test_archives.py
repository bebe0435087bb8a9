"""How far an archive is, by the last event of its stream."""

from datetime import UTC, datetime

from domain.archives import NEW, ArchiveImported, ArchiveRestRead, finish, known

AT = datetime(2026, 3, 1, tzinfo=UTC)


def test_an_import_ends_only_when_its_last_rows_are_in_the_log():
    assert finish(NEW, "bots/archived/b/data/b.sqlite", AT) == []
    read = known(ArchiveRestRead(path="bots/archived/b/data/b.sqlite", sha256="ab"))
    (imported,) = finish(read, "bots/archived/b/data/b.sqlite", AT)
    assert imported == ArchiveImported(path="bots/archived/b/data/b.sqlite", sha256="ab", imported_at=AT)
