// MariaDB: sales and orders. Statements are prepared once per connection.
import mysql from 'mysql2/promise';

const SCHEMA = [
    `CREATE TABLE IF NOT EXISTS sales (
        id VARCHAR(64) NOT NULL PRIMARY KEY,
        state ENUM ('draft', 'published', 'ended') NOT NULL,
        body JSON NOT NULL
    ) ENGINE = InnoDB`,
    `CREATE TABLE IF NOT EXISTS orders (
        id CHAR(26) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
        sale VARCHAR(64) NOT NULL,
        sku VARCHAR(64) NOT NULL,
        shopper VARCHAR(64) NOT NULL,
        idem VARCHAR(255) NOT NULL,
        qty INT UNSIGNED NOT NULL,
        amount BIGINT NOT NULL,
        created_ms BIGINT NOT NULL,
        UNIQUE KEY by_shopper (shopper, idem)
    ) ENGINE = InnoDB`,
];

const INSERT_ORDER = `INSERT INTO orders (id, sale, sku, shopper, idem, qty, amount, created_ms)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)`;

export class Ledger {
    constructor({ sql, sqlUser, sqlDatabase, sqlConnections }) {
        this.pool = mysql.createPool({
            socketPath: sql, user: sqlUser, database: sqlDatabase, connectionLimit: sqlConnections,
            maxIdle: sqlConnections,
        });
    }

    static async migrate({ sql, sqlUser, sqlDatabase }) {
        const db = await mysql.createConnection({ socketPath: sql, user: sqlUser });
        await db.query('CREATE DATABASE IF NOT EXISTS ?? COLLATE utf8mb4_bin', [sqlDatabase]);
        await db.changeUser({ database: sqlDatabase });
        for (const statement of SCHEMA) {
            await db.query(statement);
        }
        await db.end();
    }

    close() {
        return this.pool.end();
    }

    createSale({ id, ...body }) {
        return this.pool.execute("INSERT INTO sales VALUES (?, 'draft', ?)", [id, JSON.stringify(body)]);
    }

    async findSale(id) {
        const [[row]] = await this.pool.execute('SELECT state, body FROM sales WHERE id = ?', [id]);
        return row && { id, state: row.state, ...(typeof row.body === 'string' ? JSON.parse(row.body) : row.body) };
    }

    async moveSale(id, from, to) {
        const [result] = await this.pool.execute('UPDATE sales SET state = ? WHERE id = ? AND state = ?', [to, id, from]);
        return result.affectedRows === 1;
    }

    // One statement is one transaction: it returns once that is committed.
    insertOrder(o) {
        return this.pool.execute(INSERT_ORDER, [o.id, o.sale, o.sku, o.shopper, o.idem, o.qty, o.amount, o.created_ms]);
    }

    async findOrder(id) {
        const [[row]] = await this.pool.execute('SELECT * FROM orders WHERE id = ?', [id]);
        return row;
    }

    async findByKey(shopper, idem) {
        const [[row]] = await this.pool.execute('SELECT * FROM orders WHERE shopper = ? AND idem = ?', [shopper, idem]);
        return row;
    }
}
