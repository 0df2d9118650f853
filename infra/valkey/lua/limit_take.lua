-- Generic cell rate algorithm (ITU-T I.371): lets a call through when it is not too far ahead of an even flow.
-- KEYS[1] the limit's key: when the next call would be on time, microseconds
-- ARGV[1] microseconds between calls on average  ARGV[2] calls that may come at once
-- Reply: 0 (let through and counted), else microseconds until a call may come; not counted.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local every, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local due = tonumber(redis.call('GET', KEYS[1]) or now)
if due < now then due = now end
local early = due - now - every * (burst - 1)
if early > 0 then return early end
due = due + every
redis.call('SET', KEYS[1], string.format('%.0f', due), 'PX', math.ceil((due - now) / 1000))
return 0
