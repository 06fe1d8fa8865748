// What comes in is checked, and what goes out is written, by code that Fastify compiles from these.
const id = { type: 'string', pattern: '^[A-Za-z0-9._:-]{1,64}$' };
const name = { type: 'string', minLength: 1, maxLength: 200 };
const time = { type: 'string', format: 'date-time' };
const text = { type: 'string' };
const integer = { type: 'integer' };
const atLeast = (minimum) => ({ type: 'integer', minimum });

const object = (properties) => ({ type: 'object', properties });
const strict = (properties, optional = []) => ({
    ...object(properties),
    additionalProperties: false,
    required: Object.keys(properties).filter((key) => !optional.includes(key)),
});

export const orderBody = strict({ sale: id, sku: id, qty: { ...atLeast(1), maximum: 1000 } });

export const saleBody = strict({
    id, name, kind: { const: 'flash' }, currency: { type: 'string', pattern: '^[A-Z]{3}$' },
    starts_at: time, ends_at: time, pay_within_s: atLeast(1), shards: atLeast(1),
    items: {
        type: 'array',
        minItems: 1,
        items: strict({ sku: id, name, price: atLeast(1), stock: atLeast(0), limit: atLeast(1) }),
    },
}, ['shards']);

export const order = object({
    object: text, id: text, sale: text, sku: text, qty: integer, shopper: text, state: text, amount: integer,
    currency: text, created_at: text, pay_by: text, paid_at: { type: 'null' }, payments: { type: 'array', items: {} },
});

export const sale = object({
    object: text, id: text, name: text, kind: text, currency: text, state: text, server_time: text, starts_at: text,
    ends_at: text, pay_within_s: integer,
    items: {
        type: 'array',
        items: object({
            sku: text, name: text, price: integer, limit: integer, left: integer, sold_out: { type: 'boolean' },
        }),
    },
});

export const problem = object({
    type: text, title: text, status: integer, code: text, detail: text, left: integer, request_id: text,
});
