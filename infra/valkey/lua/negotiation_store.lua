-- Replace the state of one attempt's negotiation if nobody else did since it was read.
-- KEYS: negotiation   ARGV: revision it was read at (0: absent), state, keep_ms
-- Reply: 1 when replaced, 0 when another was first.
local revision = tonumber(redis.call('HGET', KEYS[1], 'revision') or 0)
if revision ~= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'revision', revision + 1, 'state', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
