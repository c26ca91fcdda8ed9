-- What the versions that keep dead letters added, still as format 1.
create table if not exists dead_letter_rows (
    id integer primary key autoincrement,
    checkpoint integer not null,
    "table" text not null,
    ipc blob not null
);
create table if not exists dead_letter (
    batch integer not null references dead_letter_rows (id),
    row integer not null,
    place text not null,
    "column" text,
    reason text not null,
    primary key (batch, row)
) without rowid;
insert into dead_letter_rows values (1, 1, 's.t', x'00');
insert into dead_letter values (1, 0, 'a.json:7', 'name', 'too long');
