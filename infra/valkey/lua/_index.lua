-- Helpers of the index_* functions. `prefix` is KEYS[1], what every key of one shard begins with ({v0}:); the names below
-- are declared with their meaning in infra/valkey/keys.py. Undeclared keys are fine: all share the prefix's slot.
--
-- A person is in every ready set of their tier and languages, or in wake, never in both. People in ready who are not hot and whose
-- window ends are also in close.
--
-- Every call of a command costs more than what it does, so functions gather what they change and do it at once.

local INDEX_TIERS = { h = 'hot', c = 'cold', i = 'idle' }
local INDEX_HEAD_START_S = 259200 -- matching/turns.py NEWCOMER_HEAD_START_S
local INDEX_LAYOUT = '>c1dddd'
local INDEX_ARGS_MAX = 4000

-- -- people

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

local function index_pack(person)
  return struct.pack(INDEX_LAYOUT, person.letter, person.opens_at, person.closes_at, person.not_before,
    person.last_asked_at) .. person.languages
end

-- The people of these ids, in order; false for those who are not known.
local function index_read(prefix, ids)
  local people = {}
  if #ids > 0 then
    for place, packed in ipairs(redis.call('HMGET', prefix .. 'people', unpack(ids))) do
      people[place] = packed and index_unpack(packed)
    end
  end
  return people
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

-- Whether they belong into ready at `now`.
local function index_may_be_asked(person, now)
  return index_ready_at(person) <= now and not index_window_over(person, now)
end

local function index_has_close(person)
  return person.tier ~= 'hot' and person.closes_at < math.huge
end

local function index_ready_key(prefix, tier, language)
  return prefix .. 'ready:' .. tier .. ':' .. language
end

-- -- changes, gathered by key and done at once: what is removed, then what is added

local function index_changes()
  return { removed = {}, added = {}, records = {} }
end

local function index_remember(groups, key)
  local group = groups[key]
  if not group then
    group = {}
    groups[key] = group
  end
  return group
end

local function index_removes(changes, key, id)
  local group = index_remember(changes.removed, key)
  group[#group + 1] = id
end

local function index_adds(changes, key, score, id)
  local group = index_remember(changes.added, key)
  local size = #group
  group[size + 1], group[size + 2] = score, id
end

local function index_writes(changes, id, packed)
  local records, size = changes.records, #changes.records
  records[size + 1], records[size + 2] = id, packed
end

local function index_out_of_ready(changes, prefix, id, person)
  for language in string.gmatch(person.languages, '[^,]+') do
    index_removes(changes, index_ready_key(prefix, person.tier, language), id)
  end
  if index_has_close(person) then
    index_removes(changes, prefix .. 'close', id)
  end
end

-- Into ready, at the place of their turn.
local function index_into_ready(changes, prefix, id, person)
  for language in string.gmatch(person.languages, '[^,]+') do
    index_adds(changes, index_ready_key(prefix, person.tier, language), index_turn(person), id)
  end
  if index_has_close(person) then
    index_adds(changes, prefix .. 'close', person.closes_at, id)
  end
end

-- Out of ready, into wake at the given moment.
local function index_shelve(changes, prefix, id, person, moment)
  index_out_of_ready(changes, prefix, id, person)
  index_adds(changes, prefix .. 'wake', moment, id)
end

local function index_do(command, key, args)
  for at = 1, #args, INDEX_ARGS_MAX do
    redis.call(command, key, unpack(args, at, math.min(at + INDEX_ARGS_MAX - 1, #args)))
  end
end

local function index_apply(changes, prefix)
  index_do('HSET', prefix .. 'people', changes.records)
  for key, args in pairs(changes.removed) do
    index_do('ZREM', key, args)
  end
  for key, args in pairs(changes.added) do
    index_do('ZADD', key, args)
  end
end

-- People kept away until a moment of their own; those who were in ready leave it.
local function index_keep_away(prefix, ids, people)
  local changes, known = index_changes(), {}
  for place, person in ipairs(people) do
    if person then
      index_writes(changes, ids[place], index_pack(person))
      index_adds(changes, prefix .. 'wake', index_ready_at(person), ids[place])
      known[#known + 1] = place
    end
  end
  if #known == 0 then
    return 0
  end
  -- Mostly they are in wake already: then there is nothing to remove.
  if redis.call('ZADD', prefix .. 'wake', unpack(changes.added[prefix .. 'wake'])) > 0 then
    for _, place in ipairs(known) do
      index_out_of_ready(changes, prefix, ids[place], people[place])
    end
  end
  changes.added = {}
  index_apply(changes, prefix)
  return #known
end

-- -- going through a ready set

-- Up to `wanted` people from the head of a ready set who may be asked, but for the excluded (16-byte ids, one after the
-- other): their ids, and who they are. Whoever does not belong into the set is put away with `changes`. Also gives 1 if
-- `slack` more entries than were wanted or excluded were looked at before the set's end, else 0.
local function index_walk(changes, prefix, tier, language, now, wanted, excluded_ids, slack)
  local excluded, excluded_count = {}, 0
  for at = 1, #excluded_ids, 16 do
    excluded[string.sub(excluded_ids, at, at + 15)] = true
    excluded_count = excluded_count + 1
  end
  local ready, budget, from, ids, people = index_ready_key(prefix, tier, language), wanted + excluded_count + slack, 0, {}, {}
  while #ids < wanted and budget > 0 do
    local page = redis.call('ZRANGE', ready, from, from + math.min(budget, wanted - #ids + 4) - 1)
    if #page == 0 then
      return ids, people, 0
    end
    from, budget = from + #page, budget - #page
    local candidates = {}
    for _, id in ipairs(page) do
      if not excluded[id] then
        candidates[#candidates + 1] = id
      end
    end
    for place, person in ipairs(index_read(prefix, candidates)) do
      local id = candidates[place]
      if #ids == wanted then
        break
      elseif not person or person.tier ~= tier or not index_speaks(person, language) then
        index_removes(changes, ready, id) -- what the record does not say is not so
      elseif index_window_over(person, now) then
        index_shelve(changes, prefix, id, person, now) -- the next sweep tells that new edges are needed
      else
        ids[#ids + 1], people[#people + 1] = id, person
      end
    end
  end
  return ids, people, #ids < wanted and 1 or 0
end

-- What is told of people found: id and turn of each.
local function index_told(ids, people)
  local told = {}
  for place, id in ipairs(ids) do
    told[place] = id .. struct.pack('>d', index_turn(people[place]))
  end
  return told
end

-- -- the life of the data

-- Everything but the generation.
local function index_empty(prefix)
  for _, language in ipairs(redis.call('SMEMBERS', prefix .. 'languages')) do
    for _, tier in pairs(INDEX_TIERS) do
      redis.call('UNLINK', index_ready_key(prefix, tier, language))
    end
  end
  redis.call('UNLINK', prefix .. 'wake', prefix .. 'close', prefix .. 'people', prefix .. 'languages')
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
