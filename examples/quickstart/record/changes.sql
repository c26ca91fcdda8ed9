-- What happened in the shop: inserts, updates of values and of keys, deletes, interleaved.
USE shop;
SET time_zone = '+00:00';

INSERT INTO customers
SELECT seq,
       ELT(1 + seq % 8, CONCAT('李雷 ', seq), CONCAT('Ανδρέας ', seq), CONCAT('Ольга ', seq), CONCAT('فاطمة ', seq),
           CONCAT('さくら ', seq), CONCAT('José Ñandú ', seq), CONCAT('O''Brien \\ ', seq), CONCAT('अनिता 🌊 ', seq)),
       IF(seq % 5 = 0, NULL, CONCAT('customer', seq, '@example.com')),
       ELT(1 + seq % 6, '杭州', 'Αθήνα', 'Казань', 'القاهرة', '京都', 'Zürich'),
       IF(seq % 7 = 0, NULL, DATE_ADD('1958-03-01', INTERVAL seq * 397 DAY)),
       ROUND((seq * 7919 % 100000) / 7 - 3000, 2),
       IF(seq % 3 = 0, NULL, JSON_OBJECT('newsletter', seq % 2 = 0, 'sizes', JSON_ARRAY(seq, seq + 1))),
       TIMESTAMPADD(MICROSECOND, seq * 123456789, '2025-11-01 00:00:00')
FROM seq_1_to_60;

INSERT INTO products
SELECT CONCAT('SKU-', LPAD(seq, 4, '0')),
       ELT(1 + seq % 4, CONCAT('龙井茶 No. ', seq), CONCAT('Filter café ', seq), CONCAT('Самовар ', seq), CONCAT('Sail cloth ', seq)),
       ROUND(1.99 + seq * 3.17, 2),
       IF(seq % 9 = 0, NULL, seq / 8),
       seq % 6 <> 0,
       IF(seq % 4 = 0, NULL, UNHEX(MD5(seq))),
       TIMESTAMPADD(MICROSECOND, seq * 61001000, '2025-10-15 08:00:00')
FROM seq_1_to_40;

INSERT INTO orders
SELECT 18446744073709551000 + seq, 1 + seq % 60, 'new', 0,
       IF(seq % 4 = 0, NULL, ELT(1 + seq % 3, 'leave at the door', '请在下午送达', 'позвоните заранее')),
       TIMESTAMPADD(MICROSECOND, seq * 987654321, '2025-11-10 06:30:00')
FROM seq_1_to_240;

INSERT INTO order_items
SELECT 18446744073709551000 + 1 + seq % 240, 1 + FLOOR((seq - 1) / 240), CONCAT('SKU-', LPAD(1 + seq * 13 % 40, 4, '0')),
       1 + seq % 5, ROUND(1.99 + (1 + seq * 13 % 40) * 3.17, 2)
FROM seq_1_to_600;

UPDATE orders o SET total = (SELECT SUM(quantity * unit_price) FROM order_items i WHERE i.order_id = o.id);
UPDATE orders SET status = 'paid' WHERE id % 3 <> 0;
UPDATE customers SET city = 'Αλεξάνδρεια', credit = credit - 0.01 WHERE id % 6 = 1;
UPDATE products SET price = price * 1.1, updated_at = '2025-11-20 23:59:59.999' WHERE sku LIKE '%5';

-- The key itself moves: the old row must disappear from the warehouse.
UPDATE products SET sku = CONCAT('NEW-', sku) WHERE sku = 'SKU-0001' AND NOT EXISTS (SELECT 1 FROM order_items i WHERE i.sku = products.sku);
UPDATE order_items SET line_no = line_no + 100 WHERE order_id % 10 = 7;
UPDATE orders SET id = id - 1000000 WHERE id % 40 = 11;
UPDATE order_items SET order_id = order_id - 1000000 WHERE order_id % 40 = 11;

UPDATE orders SET status = 'shipped', note = NULL WHERE status = 'paid' AND id % 2 = 0;
DELETE FROM order_items WHERE quantity = 5;
DELETE FROM orders WHERE NOT EXISTS (SELECT 1 FROM order_items i WHERE i.order_id = orders.id);
DELETE FROM customers WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = customers.id);
INSERT INTO customers VALUES (9001, 'Zoë 航海', NULL, '宁波', '1999-12-31', 9999999999.99, NULL, '2025-11-21 09:58:00.000001');
UPDATE customers SET email = 'zoe@example.com' WHERE id = 9001;
DELETE FROM customers WHERE id = 9001;
INSERT INTO customers VALUES (9001, 'Zoë 航海', 'zoe@example.com', '宁波', '1999-12-31', -9999999999.99, '{"back": true}', '2025-11-21 10:00:00.999999');
