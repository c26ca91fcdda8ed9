-- A small shop. Four related tables with keys, decimals, dates, timestamps and text in several scripts.
CREATE DATABASE shop CHARACTER SET utf8mb4;
USE shop;

CREATE TABLE customers (
  id          INT PRIMARY KEY,
  name        VARCHAR(80)   NOT NULL COMMENT 'as the customer writes it',
  email       VARCHAR(120),
  city        VARCHAR(60)   NOT NULL,
  born        DATE,
  credit      DECIMAL(12,2) NOT NULL DEFAULT 0.00,
  preferences JSON,
  created_at  TIMESTAMP(6)  NOT NULL
);

CREATE TABLE products (
  sku         VARCHAR(16) PRIMARY KEY,
  title       VARCHAR(120)   NOT NULL,
  price       DECIMAL(10,2)  NOT NULL,
  weight_kg   DOUBLE,
  in_stock    BOOLEAN        NOT NULL,
  picture     VARBINARY(64),
  updated_at  DATETIME(3)    NOT NULL
);

CREATE TABLE orders (
  id          BIGINT UNSIGNED PRIMARY KEY,
  customer_id INT            NOT NULL,
  status      VARCHAR(16)    NOT NULL,
  total       DECIMAL(18,4)  NOT NULL,
  note        TEXT,
  placed_at   TIMESTAMP(6)   NOT NULL,
  FOREIGN KEY (customer_id) REFERENCES customers (id)
);

CREATE TABLE order_items (
  order_id    BIGINT UNSIGNED NOT NULL,
  line_no     SMALLINT        NOT NULL,
  sku         VARCHAR(16)     NOT NULL,
  quantity    INT             NOT NULL,
  unit_price  DECIMAL(10,2)   NOT NULL,
  PRIMARY KEY (order_id, line_no),
  -- No ON UPDATE CASCADE from orders: what InnoDB cascades never reaches the binary log, and so no change stream.
  FOREIGN KEY (sku) REFERENCES products (sku)
);
