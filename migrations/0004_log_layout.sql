-- How the log is kept when it is long. Settings only: no row is rewritten, and nobody waits for them.

-- Rows are vacuumed soon after they were appended, while their pages are still in memory, as much at a time however long
-- the log is, and frozen at once: a row of the log does not change, and the pages of a long log are never to be written
-- again, all of them together, because transaction ids wrap around.
alter table log.events set (
    autovacuum_vacuum_insert_threshold = 100000,
    autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_freeze_min_age = 0
);

-- Positions only ever come at the end of their index, whose pages can be full.
alter index log.events_pkey set (fillfactor = 100);
