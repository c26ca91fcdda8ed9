-- What the versions that follow schema changes added, still as format 1.
insert into meta values ('targets', '{"targets":[]}');
