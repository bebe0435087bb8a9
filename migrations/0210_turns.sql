-- How often a server has taken the turn to work on this database: one that lost its connection can tell, when it is back,
-- whether another one has worked meanwhile.
create table work.turns (
    only_row boolean primary key default true check (only_row),
    taken    bigint  not null
);
