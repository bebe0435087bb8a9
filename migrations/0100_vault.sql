-- The vault: the only place where a secret rests, and only encrypted. `adapters/vault.py` says how.

create table vault.keyring (
    only_row boolean primary key default true check (only_row),
    salt bytea not null,
    cost_n integer not null,
    cost_r integer not null,
    cost_p integer not null,
    data_key bytea not null,        -- encrypted with the key that scrypt makes of the password
    signing_key bytea not null,     -- Ed25519, encrypted with the data key
    public_key bytea not null check (octet_length(public_key) = 32),
    made_at timestamptz not null default clock_timestamp()
);

create table vault.credentials (
    account text not null,
    connector text not null,
    encrypted bytea not null,       -- a JSON object, encrypted with the data key
    stored_at timestamptz not null default clock_timestamp(),
    primary key (account, connector)
);
