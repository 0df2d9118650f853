-- Helpers of the index_* functions. `prefix` is KEYS[1], what every key of one shard begins with ({v0}:); the names below
-- are declared with their meaning in infra/valkey/keys.py. Undeclared keys are fine: all share the prefix's slot.
--
-- A person is in every ready set of their tier and languages, or in wake, never in both. People in ready who are not hot and whose
-- window ends are also in close.

local INDEX_TIERS = { h = 'hot', c = 'cold', i = 'idle' }
local INDEX_HEAD_START_S = 259200 -- matching/turns.py NEWCOMER_HEAD_START_S
local INDEX_LAYOUT = '>c1dddd'

-- A person from their record. Layout: infra/valkey/index.py `pack`; missing moments are +inf.
local function index_unpack(packed)
  local letter, opens_at, closes_at, not_before, last_asked_at, at = struct.unpack(INDEX_LAYOUT, packed)
  local small = string.lower(letter)
  return {
    letter = letter,
    tier = INDEX_TIERS[small],
    newcomer = letter ~= small,
    opens_at = opens_at,
    closes_at = closes_at,
    not_before = not_before,
    last_asked_at = last_asked_at,
    languages = string.sub(packed, at),
  }
end

-- The person of this id, or nil.
local function index_read(prefix, id)
  local packed = redis.call('HGET', prefix .. 'people', id)
  return packed and index_unpack(packed) or nil
end

local function index_write(prefix, id, person)
  redis.call('HSET', prefix .. 'people', id, struct.pack(INDEX_LAYOUT, person.letter, person.opens_at, person.closes_at,
    person.not_before, person.last_asked_at) .. person.languages)
end

local function index_ready_key(prefix, tier, language)
  return prefix .. 'ready:' .. tier .. ':' .. language
end

-- Everything but the generation.
local function index_empty(prefix)
  for _, language in ipairs(redis.call('SMEMBERS', prefix .. 'languages')) do
    for _, tier in pairs(INDEX_TIERS) do
      redis.call('UNLINK', index_ready_key(prefix, tier, language))
    end
  end
  redis.call('UNLINK', prefix .. 'wake', prefix .. 'close', prefix .. 'people', prefix .. 'languages')
end

-- What ready sets are sorted by (matching/turns.py).
local function index_turn(person)
  return person.newcomer and person.last_asked_at - INDEX_HEAD_START_S or person.last_asked_at
end

local function index_speaks(person, language)
  return person.languages == language or string.find(',' .. person.languages .. ',', ',' .. language .. ',', 1, true)
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

local function index_has_close(person)
  return person.tier ~= 'hot' and person.closes_at < math.huge
end

local function index_out_of_ready(prefix, id, person)
  for language in string.gmatch(person.languages, '[^,]+') do
    redis.call('ZREM', index_ready_key(prefix, person.tier, language), id)
  end
  if index_has_close(person) then
    redis.call('ZREM', prefix .. 'close', id)
  end
end

-- Into ready, at the place of their turn.
local function index_into_ready(prefix, id, person)
  for language in string.gmatch(person.languages, '[^,]+') do
    redis.call('ZADD', index_ready_key(prefix, person.tier, language), index_turn(person), id)
  end
  if index_has_close(person) then
    redis.call('ZADD', prefix .. 'close', person.closes_at, id)
  end
end

-- Out of ready, into wake at the given moment.
local function index_shelve(prefix, id, person, moment)
  -- Whoever was in wake before is not in ready.
  if redis.call('ZADD', prefix .. 'wake', moment, id) == 1 then
    index_out_of_ready(prefix, id, person)
  end
end

-- Whether they belong into ready at `now`.
local function index_may_be_asked(person, now)
  return index_ready_at(person) <= now and not index_window_over(person, now)
end

-- Into ready if they may be asked at `now`, else into wake at the moment they may. True when into ready.
local function index_place(prefix, id, person, now)
  if not index_may_be_asked(person, now) then
    index_shelve(prefix, id, person, index_ready_at(person))
    return false
  end
  redis.call('ZREM', prefix .. 'wake', id)
  index_into_ready(prefix, id, person)
  return true
end

-- Out of ready until the lease is over.
local function index_lease(prefix, id, person, lease_until)
  person.not_before = lease_until
  index_write(prefix, id, person)
  index_shelve(prefix, id, person, index_ready_at(person))
end

-- What a draw tells of a person: id and turn.
local function index_told(id, person)
  return id .. struct.pack('>d', index_turn(person))
end

-- Up to `wanted` people from the head of a ready set who may be asked, but for the excluded (16-byte ids, one after the
-- other). `pick` sees each, and says whether it took them out of the set. Whoever does not belong there is put away. Also
-- gives 1 if `slack` more entries than were wanted or excluded had been looked at before the set's end, else 0.
local function index_walk(prefix, tier, language, now, wanted, excluded_ids, slack, pick)
  local excluded, excluded_count = {}, 0
  for at = 1, #excluded_ids, 16 do
    excluded[string.sub(excluded_ids, at, at + 15)] = true
    excluded_count = excluded_count + 1
  end
  local ready, budget, passed, picked = index_ready_key(prefix, tier, language), wanted + excluded_count + slack, 0, {}
  while #picked < wanted and budget > 0 do
    -- Whoever is taken leaves the set, so that the next page begins right after those passed.
    local page = redis.call('ZRANGE', ready, passed, passed + math.min(budget, wanted - #picked + 8) - 1)
    if #page == 0 then
      return picked, 0
    end
    budget = budget - #page
    for _, id in ipairs(page) do
      if #picked == wanted then
        break
      elseif excluded[id] then
        passed = passed + 1
      else
        local person = index_read(prefix, id)
        if not person or person.tier ~= tier or not index_speaks(person, language) then
          redis.call('ZREM', ready, id) -- what the record does not say is not so
        elseif index_window_over(person, now) then
          index_shelve(prefix, id, person, now) -- the next sweep tells that new edges are needed
        else
          picked[#picked + 1] = index_told(id, person)
          if not pick(id, person) then
            passed = passed + 1
          end
        end
      end
    end
  end
  return picked, #picked < wanted and 1 or 0
end

-- Begin the shard's data anew if what is there is not ours: of a server before a restart or failover, whose age is unknown,
-- or of people who count another number of shards. What is ready or waits must then come from Postgres alone. Done by
-- whoever sees it first: what is put afterwards is kept.
local function index_settle(prefix, shards, generation_id)
  local key = prefix .. 'generation'
  local known = redis.call('HMGET', key, 'id', 'server', 'shards')
  if known[2] == generation_server() and known[3] == shards then
    return
  end
  if known[2] then
    index_empty(prefix)
    redis.call('DEL', key)
  end
  redis.call('HSET', key, 'id', known[1] or generation_id, 'server', generation_server(), 'shards', shards, 'before',
    known[3] or 0)
end
