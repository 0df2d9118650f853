-- Helpers of the index_* functions. `prefix` is KEYS[1], what every key of one shard begins with ({v0}:); the names below
-- are declared with their meaning in infra/valkey/keys.py. Undeclared keys are fine: all share the prefix's slot.
--
-- A person is in every ready set of their tier and languages, or in wake, never in both. People in ready who are not hot and whose
-- window ends are also in close.

local INDEX_TIERS = { h = 'hot', c = 'cold', i = 'idle' }

-- The record of a person, or nil. Layout: infra/valkey/index.py `pack`; missing moments are +inf.
local function index_read(prefix, id)
  local packed = redis.call('GET', prefix .. 'person:' .. id)
  if not packed then
    return nil
  end
  local tier, opens_at, closes_at, not_before, last_asked_at, at = struct.unpack('>c1dddd', packed)
  return {
    tier = INDEX_TIERS[tier],
    opens_at = opens_at,
    closes_at = closes_at,
    not_before = not_before,
    last_asked_at = last_asked_at,
    languages = string.sub(packed, at),
  }
end

local function index_write(prefix, id, person)
  redis.call('SET', prefix .. 'person:' .. id, struct.pack('>c1dddd', string.sub(person.tier, 1, 1),
    person.opens_at, person.closes_at, person.not_before, person.last_asked_at) .. person.languages)
end

local function index_ready_key(prefix, tier, language)
  return prefix .. 'ready:' .. tier .. ':' .. language
end

-- When they may be asked: a hot person said "ready now", which beats their window.
local function index_ready_at(person)
  if person.tier == 'hot' then
    return person.not_before
  end
  return math.max(person.not_before, person.opens_at)
end

local function index_window_over(person, now)
  return person.tier ~= 'hot' and now >= person.closes_at
end

local function index_out_of_ready(prefix, id, person)
  for language in string.gmatch(person.languages, '[^,]+') do
    redis.call('ZREM', index_ready_key(prefix, person.tier, language), id)
  end
  redis.call('ZREM', prefix .. 'close', id)
end

-- Out of ready, into wake at the given moment.
local function index_shelve(prefix, id, person, moment)
  index_out_of_ready(prefix, id, person)
  redis.call('ZADD', prefix .. 'wake', moment, id)
end

-- Into ready if they may be asked at `now`, else into wake at the moment they may. True when into ready.
local function index_place(prefix, id, person, now)
  local ready_at = index_ready_at(person)
  if ready_at > now or index_window_over(person, now) then
    index_shelve(prefix, id, person, ready_at)
    return false
  end
  for language in string.gmatch(person.languages, '[^,]+') do
    redis.call('ZADD', index_ready_key(prefix, person.tier, language), person.last_asked_at, id)
  end
  redis.call('ZREM', prefix .. 'wake', id)
  if person.tier ~= 'hot' and person.closes_at < math.huge then
    redis.call('ZADD', prefix .. 'close', person.closes_at, id)
  end
  return true
end
