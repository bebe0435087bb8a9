-- The states of long streams, so that they need not be folded from their beginning. A cache, and nothing but that: it may
-- be emptied at any time, and Postgres does so after a crash. code is a digest of the program's part that folds.
create unlogged table work.snapshots (
    stream     text   primary key,
    code       text   not null,
    version    bigint not null,
    command_id uuid   not null,
    state      bytea  not null
);
