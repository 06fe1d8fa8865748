// The HTTP surface: the calls of Snapup's API that selling needs.
import { randomFillSync } from 'node:crypto';

import { createVerifier } from 'fast-jwt';
import Fastify from 'fastify';
import { monotonicFactory } from 'ulid';

import { Gate } from './gate.js';
import { refuse } from './problems.js';
import * as schemas from './schemas.js';

const SALE_FRESH_MS = 1000;
const KEEP_ALIVE_MS = 75000;
const PREFIX = 'ord_';

// The system is asked for randomness once in a while; ulid would ask for each character.
const random = new Uint8Array(8192);
let drawn = random.length;
function draw() {
    if (drawn === random.length) {
        randomFillSync(random);
        drawn = 0;
    }
    return random[drawn++] / 256;
}

const newId = monotonicFactory(draw);
const iso = (ms) => new Date(ms).toISOString();

function stateOf(sale, nowMs) {
    if (sale.state !== 'published') {
        return sale.state;
    }
    return nowMs < sale.startsMs ? 'scheduled' : nowMs < sale.endsMs ? 'open' : 'ended';
}

function showOrder(o, sale) {
    return {
        object: 'order', id: PREFIX + o.id, sale: o.sale, sku: o.sku, qty: o.qty, shopper: o.shopper,
        state: 'pending_payment', amount: o.amount, currency: sale.currency, created_at: iso(o.created_ms),
        pay_by: iso(o.created_ms + sale.pay_within_s * 1000), paid_at: null, payments: [],
    };
}

function withLookups(sale) {
    return {
        ...sale, startsMs: Date.parse(sale.starts_at), endsMs: Date.parse(sale.ends_at), keys: Gate.keys(sale.id),
        bySku: new Map(sale.items.map((item) => [item.sku, item])),
    };
}

// A published sale changes only when it ends; so each worker keeps it for a second.
function saleCache(ledger) {
    const kept = new Map();
    async function load(id) {
        const sale = await ledger.findSale(id);
        if (sale?.state !== 'published') {
            kept.delete(id);
        }
        return sale && withLookups(sale);
    }
    return (id) => {
        const entry = kept.get(id);
        if (entry && Date.now() < entry.untilMs) {
            return entry.sale;
        }
        const sale = load(id);
        kept.set(id, { sale, untilMs: Date.now() + SALE_FRESH_MS });
        sale.catch(() => kept.delete(id));
        return sale;
    };
}

export function buildApp(settings, gate, ledger) {
    const app = Fastify({
        logger: false, keepAliveTimeout: KEEP_ALIVE_MS,
        ajv: { customOptions: { removeAdditional: false, coerceTypes: false } },
    });
    const verify = createVerifier({ key: settings.secret, algorithms: ['HS256'], requiredClaims: ['sub', 'exp'] });
    const findSale = saleCache(ledger);
    const answers = (good) => ({ '2xx': good, '4xx': schemas.problem, '5xx': schemas.problem });

    // As Fastify reads JSON, but for a POST that says it has some and has none.
    const readJson = app.getDefaultJsonParser('error', 'error');
    app.addContentTypeParser('application/json', { parseAs: 'string' },
        (request, body, done) => (body === '' ? done(null) : readJson(request, body, done)));

    // Node does so by itself from 19 on.
    app.addHook('preClose', async () => app.server.closeIdleConnections());

    app.decorateRequest('shopper', '');
    app.setNotFoundHandler(async (request, reply) => refuse(request, reply, 'not_found'));
    app.setErrorHandler(async (error, request, reply) => {
        const wrong = error.statusCode >= 400 && error.statusCode < 500;
        return refuse(request, reply, wrong ? 'invalid_request' : 'unavailable', { detail: error.message });
    });

    async function shopperOnly(request, reply) {
        const credential = request.headers.authorization ?? '';
        try {
            request.shopper = verify(credential.startsWith('Bearer ') ? credential.slice(7) : '').sub;
        } catch {
            return reply.send(refuse(request, reply, 'unauthenticated'));
        }
    }

    async function storefrontOnly(request, reply) {
        if (request.headers.authorization !== `Bearer ${settings.storefrontKey}`) {
            return reply.send(refuse(request, reply, 'unauthenticated'));
        }
    }

    async function showSale(sale) {
        const nowMs = Date.now();
        const left = await gate.left(sale);
        return {
            ...sale, object: 'sale', state: stateOf(sale, nowMs), server_time: iso(nowMs),
            items: sale.items.map((item, i) => ({ ...item, left: left[i], sold_out: left[i] === 0 })),
        };
    }

    function replay(request, reply, sale, order) {
        const { sku, qty } = request.body;
        if (!order) {
            return refuse(request, reply, 'idempotency_in_progress');
        }
        if (order.sale !== sale.id || order.sku !== sku || order.qty !== qty) {
            return refuse(request, reply, 'idempotency_mismatch');
        }
        reply.code(201).header('Idempotent-Replayed', 'true');
        return showOrder(order, sale);
    }

    app.post('/v1/orders', {
        schema: { body: schemas.orderBody, response: answers(schemas.order) }, onRequest: shopperOnly,
    }, async (request, reply) => {
        const { shopper, body: { sku, qty } } = request;
        const nowMs = Date.now();
        const sale = await findSale(request.body.sale);
        const item = sale?.bySku.get(sku);
        if (!item) {
            return refuse(request, reply, sale ? 'item_not_found' : 'sale_not_found');
        }
        const state = stateOf(sale, nowMs);
        if (state !== 'open') {
            return refuse(request, reply, state === 'ended' ? 'sale_ended' : 'sale_not_open');
        }
        const id = newId(nowMs);
        const idem = request.headers['idempotency-key'] ?? id;
        const order = { id, sale: sale.id, sku, shopper, idem, qty, amount: qty * item.price, created_ms: nowMs };
        const [outcome, detail] = await gate.reserve(sale, item, order);
        if (outcome === 'replayed') {
            return replay(request, reply, sale, await ledger.findOrder(detail));
        }
        if (outcome !== 'reserved') {
            return refuse(request, reply, outcome, outcome === 'sold_out' ? { left: detail } : undefined);
        }
        try {
            await ledger.insertOrder(order);
        } catch (error) {
            await gate.giveBack(sale, order);
            if (error.code === 'ER_DUP_ENTRY') { // Redis forgot the key, or it bought in another sale
                return replay(request, reply, sale, await ledger.findByKey(shopper, idem));
            }
            throw error;
        }
        reply.code(201).header('Location', `/v1/orders/${PREFIX}${id}`);
        return showOrder(order, sale);
    });

    app.get('/v1/orders/:order', {
        schema: { response: answers(schemas.order) }, onRequest: shopperOnly,
    }, async (request, reply) => {
        const name = request.params.order;
        const order = name.startsWith(PREFIX) && await ledger.findOrder(name.slice(PREFIX.length));
        return order && order.shopper === request.shopper
            ? showOrder(order, await findSale(order.sale))
            : refuse(request, reply, 'order_not_found');
    });

    app.post('/v1/sales', {
        schema: { body: schemas.saleBody, response: answers(schemas.sale) }, onRequest: storefrontOnly,
    }, async (request, reply) => {
        try {
            await ledger.createSale(request.body);
        } catch (error) {
            if (error.code === 'ER_DUP_ENTRY') {
                return refuse(request, reply, 'sale_exists');
            }
            throw error;
        }
        reply.code(201);
        return showSale(withLookups({ ...request.body, state: 'draft' }));
    });

    function moves(path, from, to, effect) {
        app.post(`/v1/sales/:sale/${path}`, {
            schema: { response: answers(schemas.sale) }, onRequest: storefrontOnly,
        }, async (request, reply) => {
            const moved = await ledger.moveSale(request.params.sale, from, to);
            const sale = await findSale(request.params.sale);
            if (!moved) {
                return refuse(request, reply, sale ? 'invalid_state' : 'sale_not_found');
            }
            await effect(sale);
            return showSale({ ...sale, state: to });
        });
    }
    moves('publish', 'draft', 'published', (sale) => gate.open(sale));
    moves('end', 'published', 'ended', (sale) => gate.end(sale));

    app.get('/v1/sales/:sale', { schema: { response: answers(schemas.sale) } }, async (request, reply) => {
        const sale = await findSale(request.params.sale);
        return sale ? showSale(sale) : refuse(request, reply, 'sale_not_found');
    });

    app.get('/livez', async () => ({ status: 'ok' }));
    return app;
}
