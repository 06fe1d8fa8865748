// The process: a cluster with BASELINE_WORKERS workers on one port, ended by SIGTERM.
import cluster from 'node:cluster';
import { availableParallelism } from 'node:os';

import { buildApp } from './app.js';
import { Gate } from './gate.js';
import { Ledger } from './ledger.js';

const settings = {
    port: Number(process.env.BASELINE_PORT ?? 8090),
    workers: Number(process.env.BASELINE_WORKERS ?? availableParallelism()),
    redis: process.env.BASELINE_REDIS ?? '/run/redis/redis.sock',
    sql: process.env.BASELINE_SQL ?? '/run/mysqld/mysqld.sock',
    sqlUser: process.env.BASELINE_SQL_USER ?? 'root',
    sqlDatabase: process.env.BASELINE_SQL_DATABASE ?? 'baseline',
    sqlConnections: Number(process.env.BASELINE_SQL_CONNECTIONS ?? 32), // of one worker
    storefrontKey: process.env.BASELINE_KEY ?? 'sk_demo',
    kid: process.env.BASELINE_KID ?? 'demo',
    secret: process.env.BASELINE_SECRET ?? 'demo-signing-secret',
};

async function primary() {
    let ending = false;
    await Ledger.migrate(settings);
    for (let i = 0; i < settings.workers; i++) {
        cluster.fork();
    }
    cluster.on('exit', () => ending || cluster.fork());
    for (const signal of ['SIGTERM', 'SIGINT']) {
        process.on(signal, () => {
            ending = true;
            for (const worker of Object.values(cluster.workers)) {
                worker.kill(signal);
            }
        });
    }
}

async function worker() {
    const gate = new Gate(settings);
    const ledger = new Ledger(settings);
    const app = buildApp(settings, gate, ledger);
    for (const signal of ['SIGTERM', 'SIGINT']) {
        process.once(signal, async () => {
            await app.close();
            await Promise.all([gate.close(), ledger.close()]);
            process.exit(0);
        });
    }
    await app.listen({ host: '127.0.0.1', port: settings.port, backlog: 4096 });
}

await (cluster.isPrimary ? primary() : worker());
