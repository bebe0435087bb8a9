-- Seals: what the log held, signed. `adapters/seals.py` says which bytes. The keys below leave room for one unbroken
-- chain only: every seal but the first begins where another one ends, and no two begin or end at the same place.

create table log.seals (
    shard smallint not null,
    from_position bigint not null check (from_position >= 1),
    to_position bigint not null check (to_position >= from_position),
    previous bytea not null check (octet_length(previous) = 32),
    digest bytea not null check (octet_length(digest) = 32),
    leaves bytea not null,          -- 8 bytes an event; empty where the log had a hole when it was sealed
    signature bytea not null check (octet_length(signature) = 64),
    key_id text not null,
    sealed_at timestamptz not null,
    follows bigint generated always as (nullif(from_position - 1, 0)) stored,
    primary key (shard, from_position),
    unique (shard, to_position),
    foreign key (shard, follows) references log.seals (shard, to_position),
    check (octet_length(leaves) in (0, 8 * (to_position - from_position + 1)))
);
