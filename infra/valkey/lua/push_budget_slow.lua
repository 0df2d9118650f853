-- Halves the rate of the budget for a while; once more while it is halved already.
-- KEYS[1] the budget
-- ARGV[1] microseconds from now until the rate is full again  ARGV[2] the greatest divisor of the rate
-- Reply: the divisor in force.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local kept = redis.call('HMGET', KEYS[1], 'due', 'divisor', 'slow_until')
local slow_until = tonumber(kept[3]) or 0
local divisor = slow_until > now and tonumber(kept[2]) or 1
divisor = math.min(divisor * 2, tonumber(ARGV[2]))
slow_until = math.max(slow_until, now + tonumber(ARGV[1]))
redis.call('HSET', KEYS[1], 'divisor', divisor, 'slow_until', string.format('%.0f', slow_until))
local until_ = math.max(tonumber(kept[1]) or 0, slow_until)
redis.call('PEXPIRE', KEYS[1], math.max(math.ceil((until_ - now) / 1000), 1))
return divisor
