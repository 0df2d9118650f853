-- Helpers about the life of one shard's data; its fields are described in infra/valkey/keys.py at `generation`.
-- `prefix` is KEYS[1], what every key of the shard begins with; `shards` is how many shards the caller counts.

local generation_run_id

-- The server process we run on: after a restart or a failover it is another one, and its data may be older than it looks.
local function generation_server()
  -- Asked once: whatever gives this process another run id also loads this library anew.
  generation_run_id = generation_run_id or string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  return generation_run_id
end

local function generation_now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- 'complete', 'rebuilding' while somebody holds the lease on that, else 'absent'.
local function generation_state(prefix, shards)
  local known = redis.call('HMGET', prefix .. 'generation', 'state', 'server', 'shards', 'lease_until_ms')
  if not known[1] or known[2] ~= generation_server() or known[3] ~= shards then
    return 'absent'
  elseif known[1] == 'rebuilding' and tonumber(known[4]) <= generation_now_ms() then
    return 'absent'
  end
  return known[1]
end

-- Whether an empty answer would be the truth: everybody was put (of this language, if one is given) by people who count as
-- many shards, on this very server process, since the last wipe.
local function generation_answers(prefix, shards, language)
  local known = redis.call('HMGET', prefix .. 'generation', 'state', 'server', 'shards', 'put:' .. (language or ''))
  return known[2] == generation_server() and known[3] == shards and (known[1] == 'complete' or known[4] ~= false)
end

-- Whether people may be put by somebody who counts so many shards: not where others of another number are at home.
local function generation_admits(prefix, shards)
  local known = redis.call('HMGET', prefix .. 'generation', 'server', 'shards')
  return known[1] ~= generation_server() or known[2] == shards
end

-- Whether `owner` is the one who rebuilds here.
local function generation_rebuilt_by(prefix, owner)
  local known = redis.call('HMGET', prefix .. 'generation', 'state', 'server', 'owner')
  return known[1] == 'rebuilding' and known[2] == generation_server() and known[3] == owner
end
