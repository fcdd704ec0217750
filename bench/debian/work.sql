-- SQLite at work, in memory: inserts, an index, joins, aggregates, window functions, text.
CREATE TABLE item(id INTEGER PRIMARY KEY, kind INTEGER, price REAL, name TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000)
INSERT INTO item SELECT i, i * 7919 % 101, (i * 31 % 1000) / 4.0, 'item ' || (i * 17 % 5000) FROM n;
CREATE INDEX by_kind ON item(kind, price);
SELECT count(*), sum(price), min(name), max(name) FROM item;
SELECT kind, count(*), avg(price) FROM item GROUP BY kind ORDER BY 3 DESC, 1 LIMIT 5;
SELECT count(*) FROM item a JOIN item b ON a.kind = b.kind AND a.price < b.price WHERE a.id < 60;
SELECT sum(r) FROM (SELECT rank() OVER (PARTITION BY kind ORDER BY price, id) AS r FROM item);
SELECT count(DISTINCT name), sum(length(replace(name, '1', '--'))) FROM item WHERE name LIKE '%1%';
UPDATE item SET price = price * 1.5 WHERE id % 3 = 0;
DELETE FROM item WHERE kind = 13;
SELECT count(*), sum(price) FROM item;
