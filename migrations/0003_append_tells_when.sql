-- As in 0002, and tells recorded_at of the batch as well: with it the writer knows the rows as they stand in the log, and
-- whoever follows the log in its process need not ask for them.
drop function log.append(
    text[], bigint[], text[], bigint[], text[], bigint[], uuid[], uuid[], uuid[], text[], bytea[],
    text[], text[], bytea[], bytea[], bigint[]
);

-- Append a batch of items, all or none. An item is one or more writes (a stream with the version it is expected to be at,
-- each stream at most once in a batch) with any number of events, and perhaps an idempotency key.
--
-- Answers with before, the position before the batch's first event, and at, its recorded_at: the nth event of the batch is
-- at before + n. When a stream is not at its expected version, or a key is known already, nothing is appended, and moved and
-- repeated name those writes and keys by their place in their arrays, from 1; the caller sends the rest again.
--
-- Needs READ COMMITTED: the statements after the lock have to see what the holder before committed.
create function log.append(
    -- one element per write
    streams         text[],
    expected        bigint[],
    -- one element per event, in the order in which they get their positions
    event_streams   text[],
    versions        bigint[],
    types           text[],
    schema_versions bigint[],
    correlation_ids uuid[],
    causation_ids   uuid[],
    command_ids     uuid[],
    actors          text[],
    datas           bytea[],
    -- one element per key; key_events is the number of the batch's events up to and with the last one of the key's item
    key_actors      text[],
    keys            text[],
    requests        bytea[],
    answers         bytea[],
    key_events      bigint[],
    out before      bigint,
    out at          timestamptz,
    out moved       bigint[],
    out repeated    bigint[]
) language plpgsql
-- Plans made while a table is still small must serve when it is large, and planning for each batch would cost more than
-- the batch.
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
begin
    perform log.lock();

    -- Time follows position even when the clock of the machine is set back.
    select e.position, greatest(e.recorded_at, clock_timestamp()) into before, at
      from log.events e where e.shard = 0 order by e.position desc limit 1;
    if not found then
        before := 0;
        at := clock_timestamp();
    end if;

    moved := array(
        select w.n from unnest(streams, expected) with ordinality as w (stream, version, n)
         where w.version is distinct from coalesce(
               (select e.version from log.events e where e.stream = w.stream order by e.version desc limit 1), 0));

    if cardinality(keys) > 0 then
        repeated := array(
            select k.n from unnest(key_actors, keys) with ordinality as k (actor, key, n)
             where (select true from work.idempotency i where i.actor = k.actor and i.key = k.key));
    else
        repeated := '{}';
    end if;

    if cardinality(moved) > 0 or cardinality(repeated) > 0 then
        return;
    end if;

    if cardinality(versions) > 0 then
        insert into log.events (position, stream, version, type, schema_version, recorded_at, correlation_id, causation_id,
                                command_id, actor, data)
        select before + e.n, e.stream, e.version, e.type, e.schema_version::smallint, at, e.correlation_id,
               e.causation_id, e.command_id, e.actor, e.data
          from unnest(event_streams, versions, types, schema_versions, correlation_ids, causation_ids, command_ids, actors,
                      datas)
               with ordinality as e (stream, version, type, schema_version, correlation_id, causation_id, command_id, actor,
                                     data, n);
        perform pg_notify('nectar_events', (before + cardinality(versions))::text);
    end if;

    if cardinality(keys) > 0 then
        insert into work.idempotency (actor, key, request, position, answer, recorded_at)
        select k.actor, k.key, k.request, before + k.events, k.answer, at
          from unnest(key_actors, keys, requests, answers, key_events) as k (actor, key, request, answer, events);
    end if;
end $$;
