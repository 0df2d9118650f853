-- Generic cell rate algorithm (ITU-T I.371) for many cells at once. The bucket is kept as time, so that halving the rate
-- halves what a full one holds.
-- KEYS[1] the budget
-- ARGV[1] microseconds between messages at the full rate  ARGV[2] how many messages  ARGV[3] microseconds' worth it holds
-- Reply: 0 (counted), else microseconds until so many may go; not counted.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local kept = redis.call('HMGET', KEYS[1], 'due', 'divisor', 'slow_until')
local due = math.max(tonumber(kept[1]) or now, now)
local slow_until = tonumber(kept[3]) or 0
local divisor = slow_until > now and tonumber(kept[2]) or 1
local cost, holds = tonumber(ARGV[1]) * divisor * tonumber(ARGV[2]), tonumber(ARGV[3])
local early = due - now + math.min(cost, holds) - holds
if early > 0 then return math.ceil(early) end
due = due + cost
redis.call('HSET', KEYS[1], 'due', string.format('%.0f', due))
redis.call('PEXPIRE', KEYS[1], math.ceil((math.max(due, slow_until) - now) / 1000))
return 0
