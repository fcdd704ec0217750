-- program: sqlite3 -batch :memory:
-- reference: qemu
-- input: stdin
-- SQLite: types, joins, windows, recursion, full text, JSON, transactions, triggers, errors.
.mode list
select typeof(1), typeof(1.5), typeof('a'), typeof(x'00'), typeof(null), 9223372036854775807 + 1, 1 / 3, 1.0 / 3;
create table numbers(n integer primary key, square int, name text);
with recursive c(i) as (select 1 union all select i + 1 from c where i < 5000) insert into numbers select i, i * i, 'n' || (i * 7919 % 5003) from c;
create index by_name on numbers(name);
select count(*), sum(square), avg(n), min(name), max(name), total(n) from numbers;
select a.n, b.n from numbers a join numbers b on a.square = b.n where a.n > 60 order by 1 limit 5;
select n % 7 as k, count(*), group_concat(n, ' ') from numbers where n < 30 group by k order by k;
select n, sum(n) over (order by n rows between 2 preceding and current row), row_number() over (partition by n % 3 order by n desc) from numbers where n <= 6 order by n;
with recursive f(a, b, i) as (select 0, 1, 0 union all select b, a + b, i + 1 from f where i < 60) select a from f where i = 60;
select json_extract('{"a":[1,{"b":"c"}]}', '$.a[1].b'), json_array(1, 'x', null), json_group_array(n) from numbers where n < 4;
create virtual table docs using fts5(body);
insert into docs values ('the quick brown fox'), ('jumps over the lazy dog'), ('quick quick slow');
select rowid, highlight(docs, 0, '[', ']') from docs where docs match 'quick' order by rank, rowid;
create table log(t text); create trigger tr after update on numbers begin insert into log values (old.name || '->' || new.name); end;
update numbers set name = 'changed' where n in (1, 2); select * from log;
begin; delete from numbers where n > 10; select count(*) from numbers; rollback; select count(*) from numbers;
select printf('%.10f %5d %e', 3.14159265358979, 42, 1e-10), hex(zeroblob(4)), unicode('é'), upper('abc'), replace('aXb', 'X', '-'), round(2.5), abs(-3.7);
select date('2024-01-31', '+1 month'), strftime('%s', '2000-01-01'), julianday('2000-01-01'), datetime(1234567890, 'unixepoch');
create table u(x unique); insert into u values (1); insert or ignore into u values (1); insert into u values (2) on conflict do nothing; select count(*) from u;
select sqrt(2), pow(2, 0.5), ln(10), sin(1), ceil(1.2), pi();
explain query plan select * from numbers where name = 'n5';
with recursive m(cx, cy, x, y, i) as (select -1.5 + 0.25 * a.n, -1.0 + 0.25 * b.n, 0.0, 0.0, 0 from numbers a, numbers b where a.n <= 8 and b.n <= 8 union all select cx, cy, x * x - y * y + cx, 2 * x * y + cy, i + 1 from m where x * x + y * y < 4 and i < 30) select sum(i), round(sum(x), 6), max(i) from m where x * x + y * y < 4;
pragma integrity_check;
vacuum;
select sum(length(name)) from numbers;
