begin;
create table meta (
    key text primary key,
    value text not null
) without rowid;
create table checkpoint (
    id integer primary key,
    stored_ms integer not null,
    committed_ms integer,
    position text not null,
    finished integer not null
);
create table committable (
    checkpoint integer not null references checkpoint (id),
    sequence integer not null,
    catalog text,
    schema text,
    "table" text not null,
    format integer not null,
    payload blob,
    committed_ms integer,
    primary key (checkpoint, sequence)
) without rowid;
create index pending on committable (checkpoint, sequence) where committed_ms is null;
create table sink_state (
    checkpoint integer not null references checkpoint (id),
    subtask integer not null,
    format integer not null,
    payload blob not null,
    primary key (checkpoint, subtask)
) without rowid;
create table table_rows (
    checkpoint integer not null references checkpoint (id),
    "table" text not null,
    read integer not null,
    written integer not null,
    skipped integer not null,
    primary key (checkpoint, "table")
) without rowid;
pragma user_version = 1;
commit;

-- Two checkpoints of a pipeline, the second not yet visible.
insert into meta values ('identity', '@identity@'), ('pipeline', 'p'), ('source', 'file a'), ('sink', 'k'), ('last-checkpoint', '2');
insert into checkpoint values (1, 1000, 1001, '{"at":1}', 0), (2, 2000, null, '{"at":2}', 0);
insert into committable values
    (1, 0, null, 's', 't', 3, null, 1001),
    (2, 0, null, 's', 't', 3, x'05050505', null),
    (2, 1, null, 's', 't', 3, x'06060606', null);
insert into sink_state values (2, 0, 1, x'0702');
insert into table_rows values (1, 's.t', 5, 4, 1), (2, 's.t', 5, 4, 1);
