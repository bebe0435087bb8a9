-- The event log, and what the writing side remembers beside it.
--
-- log    what happened: only ever appended to
-- read   the views: disposable, rebuilt from the log
-- work   what writers and processes remember (made by the migrator, which keeps its own table there)
-- vault  encrypted credentials

create schema log;
create schema read;
create schema vault;

-- Positions have no gaps, and their order is the order of commits and of recorded_at, because log.append gives them out
-- under a lock that is held until the commit. A reader that has seen position n has seen every position below it.
create table log.events (
    shard          smallint    not null default 0,
    position       bigint      not null,
    stream         text        not null,
    version        bigint      not null,
    type           text        not null,
    schema_version smallint    not null,
    recorded_at    timestamptz not null,
    correlation_id uuid        not null,
    causation_id   uuid,
    command_id     uuid        not null,
    actor          text        not null,
    data           bytea       not null,
    primary key (shard, position),
    unique (stream, version)
) with (fillfactor = 100, autovacuum_vacuum_insert_scale_factor = 0.05);

-- The first answer to each idempotency key. request is the fingerprint of what was asked, position that of the command's
-- last event.
create table work.idempotency (
    actor       text        not null,
    key         text        not null,
    request     bytea       not null,
    position    bigint      not null,
    answer      bytea,
    recorded_at timestamptz not null,
    primary key (actor, key)
);
create index on work.idempotency using brin (recorded_at);
