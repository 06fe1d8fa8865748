// Redis: how many units are left, who holds how many, and which key bought which order. One script
// decides a purchase at once.
import { Redis } from 'ioredis';

// KEYS: left (sku -> units), held (sku|shopper -> units), keys (shopper|key -> order)
// ARGV: sku, shopper, qty, limit, idempotency key, order
const RESERVE = `
local prior = redis.call('HGET', KEYS[3], ARGV[2] .. '|' .. ARGV[5])
if prior then return {'replayed', prior} end
local left = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '0')
local qty, holder = tonumber(ARGV[3]), ARGV[1] .. '|' .. ARGV[2]
if tonumber(redis.call('HGET', KEYS[2], holder) or '0') + qty > tonumber(ARGV[4]) then
    return {'limit_reached'}
end
if left < qty then return {'sold_out', left} end
redis.call('HINCRBY', KEYS[1], ARGV[1], -qty)
redis.call('HINCRBY', KEYS[2], holder, qty)
redis.call('HSET', KEYS[3], ARGV[2] .. '|' .. ARGV[5], ARGV[6])
return {'reserved'}`;

// The same keys; ARGV: sku, shopper, qty, idempotency key
const GIVE_BACK = `
redis.call('HINCRBY', KEYS[1], ARGV[1], ARGV[3])
redis.call('HINCRBY', KEYS[2], ARGV[1] .. '|' .. ARGV[2], -ARGV[3])
redis.call('HDEL', KEYS[3], ARGV[2] .. '|' .. ARGV[4])`;

const KEPT_AFTER_END_S = 24 * 3600;

export class Gate {
    constructor({ redis }) {
        this.redis = new Redis({
            path: redis,
            enableAutoPipelining: true,
            scripts: {
                reserve: { lua: RESERVE, numberOfKeys: 3 },
                giveBack: { lua: GIVE_BACK, numberOfKeys: 3 },
            },
        });
    }

    close() {
        return this.redis.quit();
    }

    // Answers [outcome, detail]: reserved | replayed, order | limit_reached | sold_out, units left.
    reserve(sale, item, { id, sku, shopper, idem, qty }) {
        return this.redis.reserve(...sale.keys, sku, shopper, qty, item.limit, idem, id);
    }

    giveBack(sale, { sku, shopper, idem, qty }) {
        return this.redis.giveBack(...sale.keys, sku, shopper, qty, idem);
    }

    open(sale) {
        return this.redis.hset(sale.keys[0], Object.fromEntries(sale.items.map((i) => [i.sku, i.stock])));
    }

    async left(sale) {
        const units = await this.redis.hmget(sale.keys[0], sale.items.map((i) => i.sku));
        return units.map((n, i) => Number(n ?? sale.items[i].stock));
    }

    end(sale) {
        return Promise.all(sale.keys.map((key) => this.redis.expire(key, KEPT_AFTER_END_S)));
    }

    static keys(sale) {
        return ['left', 'held', 'keys'].map((part) => `baseline:{${sale}}:${part}`);
    }
}
