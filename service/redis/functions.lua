#!lua name=snapup
--
-- Snapup's Redis functions: one shard of one sale per call, atomically.
--
-- Keys of a shard share a hash tag, so every call stays on one node:
--   left   hash    sku -> units left, `+sku` -> units ever added, and the controls
--                  #epoch  #ready  #bits (size of seen, in bits)
--                  #wins (batches that sold something)
--                  #back (units ever given back in this epoch)
--   held   hash    `sku|shopper` -> live orders held, 37 bytes each; and #epoch
--   log    stream  intent log: one entry per reserving batch, fields o (owner), e (epoch),
--                  r (row) ...
--   seen   string  one bit per shopper who ever held something here, never cleared within an epoch
-- `#`, `+` and `|` are outside the alphabet of ids (rule R16). A missing control or key means
-- closed, never plenty (rule R17). Everything is checked before the first write, because a script
-- error does not undo earlier writes.
--
-- A row is an order as its worker means to write it (service/redis/row.h draws it):
--   1 version  2 kind  3-18 id  19-34 key  35-38 qty  39-42 limit  43-46 shopper's hash
--   47-50 storefront  51-54 item  55-62 amount  63 flags  64 length of sku  65- sku|shopper
-- A record in `held` is: 1-16 id  17-32 key  33 generation  34-37 qty.

local RECORD = 37
local TAKE = 84 -- 'T'

-- Epoch of the shard if all of its keys agree and it is loaded, else nil.
local function open_epoch(left, held, log, seen)
    local ctl = redis.call('HMGET', left, '#epoch', '#ready', '#bits')
    if not ctl[1] or ctl[2] ~= '1' or not ctl[3] then return nil end
    if redis.call('HGET', held, '#epoch') ~= ctl[1] then return nil end
    if redis.call('EXISTS', log, seen) < 2 then return nil end
    return tonumber(ctl[1]), tonumber(ctl[3])
end

local function wrong_epoch(left)
    return {'EPOCH', redis.call('HGET', left, '#epoch') or '0'}
end

-- Units and key of a shopper's records: sum of qty, and the letter of a record that has this key: M
-- for the order with this id itself, D for another; nil when none has it.
local function weigh(records, key, id)
    local units = 0
    for at = 1, #records, RECORD do
        if string.sub(records, at + 16, at + 31) == key then
            return 0, string.sub(records, at, at + 15) == id and 'M' or 'D'
        end
        units = units + (struct.unpack('>I4', records, at + 33))
    end
    return units
end

-- args: epoch, owner, n, n log ids to delete, rows...
-- Answers {'OK', log id or '', codes, sku, left, sku, left...}; codes has a letter per row:
--   W won (w: and may have used the key)   D the key holds an order already
--   M this very order is held already
--   L limit   S sold out   C no such item here
-- L and S are lower case when the shopper may have held something before: his key is then to be
-- looked up in MariaDB before he is refused (rule R15).
-- A rush spends most of Redis' time here, so: no string is cut twice, none that nobody needs, and
-- nothing is looked up by name in the loop.
local function reserve(keys, args)
    local sub, byte, format, unpack_row = string.sub, string.byte, string.format, struct.unpack
    local left, held, log, seen = keys[1], keys[2], keys[3], keys[4]
    local epoch, bits = open_epoch(left, held, log, seen)
    if not epoch or epoch ~= tonumber(args[1]) then return wrong_epoch(left) end
    local acks = tonumber(args[3])
    if acks > 0 then redis.call('XDEL', log, unpack(args, 4, 3 + acks)) end

    local first, n = 4 + acks, #args - 3 - acks
    if n == 0 then return {'OK', '', ''} end
    local fields, of, skus, units = {}, {}, {}, {}
    for i = 1, n do
        local row = args[first + i - 1]
        local sku = sub(row, 65, 64 + byte(row, 64))
        fields[i], of[i] = sub(row, 65), sku
        if not units[sku] then
            units[sku] = -1
            skus[#skus + 1] = sku
        end
    end
    for i, v in ipairs(redis.call('HMGET', left, unpack(skus))) do
        if v then units[skus[i]] = tonumber(v) end
    end
    local before = redis.call('HMGET', held, unpack(fields))

    -- Commands grow as the rows are judged; `at` says where a field's records stand in `hold`.
    local codes, changed, at = {}, {}, {}
    local order, orders = {'XADD', log, '*', 'o', args[2], 'e', args[1]}, 7
    local hold, holds = {'HSET', held}, 2
    local mark, marks = {'BITFIELD', seen}, 2
    for i = 1, n do
        local row, sku = args[first + i - 1], of[i]
        local qty, limit, hash = unpack_row('>I4I4I4', row, 35)
        local code
        if units[sku] < 0 then
            code = 'C'
        elseif byte(row, 2) == TAKE then -- stock taken back: no shopper, no hold
            code = units[sku] >= qty and 'W' or 'S'
        else
            local field, bit = fields[i], hash % bits
            local place = at[field]
            local records = place and hold[place] or before[i] or ''
            local mine, again = 0, nil
            if records ~= '' then mine, again = weigh(records, sub(row, 19, 34), sub(row, 3, 18)) end
            if again then
                code = again
            elseif mine + qty > limit then
                code = redis.call('GETBIT', seen, bit) == 1 and 'l' or 'L'
            elseif units[sku] < qty then
                code = redis.call('GETBIT', seen, bit) == 1 and 's' or 'S'
            else
                -- Who is to be told 202 at once but may have used the key is told after the commit.
                local early = byte(row, 63) == 1
                code = early and redis.call('GETBIT', seen, bit) == 1 and 'w' or 'W'
                if not place then
                    place = holds + 2
                    hold[holds + 1], at[field], holds = field, place, place
                end
                hold[place] = records .. sub(row, 3, 34) .. '\0' .. sub(row, 35, 38)
                mark[marks + 1], mark[marks + 2] = 'SET', 'u1'
                mark[marks + 3], mark[marks + 4] = format('%d', bit), '1'
                marks = marks + 4
            end
        end
        codes[i] = code
        if code == 'W' or code == 'w' then
            units[sku] = units[sku] - qty
            changed[sku] = true
            order[orders + 1], order[orders + 2] = 'r', row
            orders = orders + 2
        end
    end

    local id = ''
    if next(changed) then
        local set = {'HSET', left}
        for sku in pairs(changed) do
            set[#set + 1] = sku
            set[#set + 1] = units[sku]
        end
        redis.call(unpack(set))
        redis.call('HINCRBY', left, '#wins', 1)
        if holds > 2 then
            redis.call(unpack(hold))
            redis.call(unpack(mark))
        end
        id = redis.call(unpack(order))
    end
    local answer = {'OK', id, table.concat(codes)}
    for _, sku in ipairs(skus) do
        answer[#answer + 1] = sku
        answer[#answer + 1] = units[sku]
    end
    return answer
end

-- args: epoch, n, n log ids to delete, then field, id, generation (one byte), ... per hold to give
-- back. Gives back only what `held` still names, so twice is harmless; refuses while the shard is
-- older than the change it is told of (rule R4). Answers {'OK', sku, left...}.
local function release(keys, args)
    local left, held, log = keys[1], keys[2], keys[3]
    local epoch = open_epoch(left, held, log, keys[4])
    if not epoch or epoch < tonumber(args[1]) then return wrong_epoch(left) end
    local acks = tonumber(args[2])
    local touched, back = {}, 0
    for i = 3 + acks, #args, 3 do
        local field, name = args[i], args[i + 1]
        local records = redis.call('HGET', held, field) or ''
        for at = 1, #records, RECORD do
            if string.sub(records, at, at + 15) == name and
                string.sub(records, at + 32, at + 32) == args[i + 2] then
                local qty = (struct.unpack('>I4', records, at + 33))
                local sku = string.match(field, '^[^|]+')
                local rest = string.sub(records, 1, at - 1) .. string.sub(records, at + RECORD)
                if rest == '' then
                    redis.call('HDEL', held, field)
                else
                    redis.call('HSET', held, field, rest)
                end
                touched[sku] = redis.call('HINCRBY', left, sku, qty)
                back = back + qty
                break
            end
        end
    end
    if back > 0 then redis.call('HINCRBY', left, '#back', back) end
    -- Ids are Redis' wall time, so those of an older epoch may name others' entries here (rule
    -- R10).
    if acks > 0 and epoch == tonumber(args[1]) then
        redis.call('XDEL', log, unpack(args, 3, 2 + acks))
    end
    local answer = {'OK'}
    for sku, units in pairs(touched) do
        answer[#answer + 1] = sku
        answer[#answer + 1] = units
    end
    return answer
end

-- args: epoch, then sku, units ever added, ... Adds what is new to the running total (rule R5).
-- Answers {'OK', sku, left...}.
local function add(keys, args)
    local left, held, log = keys[1], keys[2], keys[3]
    local epoch = open_epoch(left, held, log, keys[4])
    if not epoch or epoch < tonumber(args[1]) then return wrong_epoch(left) end
    local answer = {'OK'}
    for i = 2, #args, 2 do
        local sku, total = args[i], tonumber(args[i + 1])
        local had = tonumber(redis.call('HGET', left, '+' .. sku) or '-1')
        if had >= 0 then
            if total > had then redis.call('HSET', left, '+' .. sku, total) end
            answer[#answer + 1] = sku
            answer[#answer + 1] = redis.call('HINCRBY', left, sku, math.max(total - had, 0))
        end
    end
    return answer
end

-- Appends a page of records to what is held. Two calls for the whole page, as a call costs as much
-- as its work.
local function load_holds(held, args)
    local fields, records = {}, {}
    for i = 3, #args, 2 do
        local field = args[i]
        if not records[field] then fields[#fields + 1] = field end
        records[field] = (records[field] or '') .. args[i + 1]
    end
    local set = {'HSET', held}
    for i, before in ipairs(redis.call('HMGET', held, unpack(fields))) do
        set[#set + 1] = fields[i]
        set[#set + 1] = (before or '') .. records[fields[i]]
    end
    redis.call(unpack(set))
end

-- Writes a shard under a new epoch, in steps that all name it (rule R6).
--   args: epoch, 'close' | epoch, 'begin', bits | epoch, 'holds', field, record, ...
--       | epoch, 'seen', offset in bytes, bytes | epoch, 'end', sku, left, added, ...
-- Answers {'OK'}; {'DONE'} when this epoch is loaded already; {'EPOCH', newer} when another came
-- later. A step whose answer was lost is not sent again; the load starts over from 'begin'.
local function load(keys, args)
    local left, held, log, seen = keys[1], keys[2], keys[3], keys[4]
    local ctl = redis.call('HMGET', left, '#epoch', '#ready', '#bits')
    local now, epoch, step = tonumber(ctl[1] or '0'), tonumber(args[1]), args[2]
    if now > epoch then return {'EPOCH', ctl[1]} end
    if now == epoch and ctl[2] == '1' then return {'DONE'} end
    if step == 'close' then -- what is reserved by now is in the log; nothing more comes
        if ctl[1] then redis.call('HSET', left, '#ready', 0) end
        return {'OK'}
    end
    if step == 'begin' then
        redis.call('DEL', left, held, log, seen)
        redis.call('HSET', left, '#epoch', args[1], '#bits', args[3], '#wins', 0)
        redis.call('HSET', held, '#epoch', args[1])
        redis.call('SETBIT', seen, tonumber(args[3]) - 1, 0) -- there from now on, though empty
        return {'OK'}
    end
    if now ~= epoch then return {'EPOCH', ctl[1] or '0'} end
    if step == 'holds' then
        load_holds(held, args)
        return {'OK'}
    end
    if step == 'seen' then
        redis.call('SETRANGE', seen, args[3], args[4])
        return {'OK'}
    end
    for i = 3, #args, 3 do
        redis.call('HSET', left, args[i], args[i + 1], '+' .. args[i], args[i + 2])
    end
    redis.call('XGROUP', 'CREATE', log, 'snapup', '$', 'MKSTREAM')
    redis.call('HSET', left, '#ready', 1)
    return {'OK'}
end

-- Answers {epoch or '0' when closed, length of the log, control and unit fields of `left`...}.
local function peek(keys, args)
    local epoch = open_epoch(keys[1], keys[2], keys[3], keys[4])
    local answer = redis.call('HGETALL', keys[1])
    table.insert(answer, 1, redis.call('XLEN', keys[3]))
    table.insert(answer, 1, epoch and tostring(epoch) or '0')
    return answer
end

-- Looks for an order that is reserved and perhaps not yet durable.
--   args: id, then fields (`sku|shopper`) it could be held under; none: the log's newest 1,000
--   batches are searched instead.
-- Answers {field, qty}, or {} when it is not there.
local function find(keys, args)
    local id = args[1]
    for i = 2, #args do
        local records = redis.call('HGET', keys[2], args[i]) or ''
        for at = 1, #records, RECORD do
            if string.sub(records, at, at + 15) == id then
                return {args[i], (struct.unpack('>I4', records, at + 33))}
            end
        end
    end
    if #args > 1 then return {} end
    for _, entry in ipairs(redis.call('XREVRANGE', keys[3], '+', '-', 'COUNT', 1000)) do
        for i = 6, #entry[2], 2 do
            local row = entry[2][i]
            if string.sub(row, 3, 18) == id then
                return {string.sub(row, 65), (struct.unpack('>I4', row, 35))}
            end
        end
    end
    return {}
end

redis.register_function('snapup_reserve', reserve)
redis.register_function('snapup_release', release)
redis.register_function('snapup_add', add)
redis.register_function('snapup_load', load)
redis.register_function{function_name = 'snapup_peek', callback = peek, flags = {'no-writes'}}
redis.register_function{function_name = 'snapup_find', callback = find, flags = {'no-writes'}}
