"""The tables of orders and trades."""

TABLES = """
    create table orders (
        order_id            text        primary key,
        position            bigint      not null,
        account             text        not null,
        connector           text        not null,
        trading_pair        text        not null,
        series              integer     not null,
        side                text        not null,
        order_type          text        not null,
        amount              numeric     not null,
        price               numeric,
        position_action     text        not null,
        server              text,
        placed_at           timestamptz not null,
        updated_at          timestamptz not null,
        state               text        not null,
        status              text        not null,
        exchange_order_id   text,
        cancel_requested_at timestamptz,
        filled              numeric     not null,
        spent               numeric     not null,
        fee_paid            numeric,
        fee_currency        text,
        reason              text,
        wire                text        not null
    );
    create table order_counts (
        account      text   not null,
        connector    text   not null,
        trading_pair text   not null,
        status       text   not null,
        total        bigint not null,
        primary key (account, connector, trading_pair, status)
    );
    create table trades (
        position      bigint      not null,
        order_id      text        not null,
        trade_id      text        not null,
        account       text        not null,
        connector     text        not null,
        trading_pair  text        not null,
        series        integer     not null,
        side          text        not null,
        amount        numeric     not null,
        price         numeric     not null,
        fee           numeric     not null,
        fee_currency  text        not null,
        filled_at     timestamptz not null,
        wire          text        not null
    );
    create table trade_counts (
        account      text   not null,
        connector    text   not null,
        trading_pair text   not null,
        side         text   not null,
        total        bigint not null,
        primary key (account, connector, trading_pair, side)
    );
    create table last_seen (
        account   text        not null,
        connector text        not null,
        seen_at   timestamptz not null,
        primary key (account, connector)
    );
"""

INDEXES = """
    alter table trades add primary key (position);
    create index on orders (placed_at, position);
    create index on orders (series, placed_at, position);
    create index on orders (status, placed_at, position);
    create index on orders (placed_at, position) where state in ('placed', 'unknown', 'accepted');
    create index on trades (order_id);
    create index on trades (filled_at, position);
    create index on trades (series, filled_at, position);
"""
