-- Helpers about the life of one shard's data; its fields are described in infra/valkey/keys.py at `generation`.
-- `prefix` is KEYS[1], what every key of the shard begins with.

-- The server process we run on: after a restart or a failover it is another one, and its data may be older than it looks.
local function generation_server()
  return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
end

local function generation_now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- 'complete', 'rebuilding' while somebody holds the lease on that, else 'absent'.
local function generation_state(prefix)
  local known = redis.call('HMGET', prefix .. 'generation', 'state', 'server', 'lease_until_ms')
  if not known[1] or known[2] ~= generation_server() then
    return 'absent'
  elseif known[1] == 'rebuilding' and tonumber(known[3]) <= generation_now_ms() then
    return 'absent'
  end
  return known[1]
end

-- Whether an empty answer would be the truth: rebuilt completely, on this very server process, since the last wipe.
local function generation_is_complete(prefix)
  return generation_state(prefix) == 'complete'
end

-- Whether `owner` is the one who rebuilds here.
local function generation_rebuilt_by(prefix, owner)
  local known = redis.call('HMGET', prefix .. 'generation', 'state', 'server', 'owner')
  return known[1] == 'rebuilding' and known[2] == generation_server() and known[3] == owner
end
