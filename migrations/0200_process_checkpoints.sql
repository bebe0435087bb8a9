-- How far each process has worked off the log.
create table work.process_checkpoints (
    process    text primary key,
    position   bigint not null,
    updated_at timestamptz not null default now()
);
