"""The tables of bots: what became of each, what it says of itself, its newest log lines, its performance over time."""

TABLES = """
    create table bots (
        instance   text        primary key,
        position   bigint      not null,
        changed    bigint      not null,
        run_id     bigint,
        started    boolean     not null,
        runs       boolean     not null,
        stopping   boolean     not null,
        archiving  boolean     not null,
        flat       boolean     not null,
        lost       boolean     not null,
        cleared    boolean     not null,
        heard_at   timestamptz,
        lines      bigint      not null,
        errors     bigint      not null
    ) with (fillfactor = 50);
    create table bot_controllers (
        instance    text        not null,
        controller  text        not null,
        position    bigint      not null,
        state       text        not null,
        heard_at    timestamptz not null,
        sampled_at  timestamptz,
        reported_at timestamptz,
        report      text,
        primary key (instance, controller)
    ) with (fillfactor = 50);
    create table bot_lines (
        instance text    not null,
        is_error boolean not null,
        slot     integer not null,
        number   bigint  not null,
        wire     text    not null,
        primary key (instance, is_error, slot)
    ) with (fillfactor = 70);
    create table bot_newest (
        instance text primary key,
        lines    text not null,
        errors   text not null
    ) with (fillfactor = 50);
    create table bot_performance (
        position   bigint      not null,
        instance   text        not null,
        controller text        not null,
        heard_at   timestamptz not null,
        coarsest   integer     not null,
        report     text        not null
    );
    create table bot_runs (
        id                bigint      primary key,
        instance          text        not null,
        account           text        not null,
        image             text        not null,
        strategy_type     text        not null,
        strategy_name     text        not null,
        config_name       text,
        deployment_config text        not null,
        deployment_status text        not null,
        run_status        text        not null,
        deployed_at       timestamptz not null,
        stopped_at        timestamptz,
        error_message     text,
        final_status      text,
        deleted           boolean     not null
    );
"""

INDEXES = """
    create index on bot_controllers (position) where state = 'running';
    create index on bot_performance (heard_at, position);
    create index on bot_performance (instance, heard_at, position);
    create index on bot_performance (heard_at, position) where coarsest >= 3;
    create index on bot_performance (instance, heard_at, position) where coarsest >= 3;
    create index on bot_runs (deployed_at, id) where not deleted;
    create index on bot_runs (instance, deployed_at, id) where not deleted;
"""
