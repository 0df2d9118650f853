-- Helpers of the index_* functions. `prefix` is KEYS[1], what every key of one shard begins with ({v0}:); the names below
-- are declared with their meaning in infra/valkey/keys.py. Undeclared keys are fine: all share the prefix's slot.
--
-- A person is in every ready set of their tier and languages, or in wake, never in both. People in ready who are not hot and whose
-- window ends are also in close, and stay there while they are away for a while.
--
-- Every call of a command costs more than what it does, so functions gather what they change and do it at once. Making a table
-- costs as much as three questions to a string, so a person is handed about as their packed record.

local INDEX_ALL_TIERS = { 'hot', 'cold', 'idle' }
-- By the letter a record begins with.
local INDEX_TIERS = { h = 'hot', H = 'hot', c = 'cold', C = 'cold', i = 'idle', I = 'idle' }
local INDEX_NEWCOMER = { H = true, C = true, I = true }
local INDEX_HEAD_START_S = 259200 -- matching/turns.py NEWCOMER_HEAD_START_S
local INDEX_ARGS_MAX = 4000
local INDEX_LANGUAGES_MAX = 10000

-- -- people

-- Where parts of a record begin. Layout: infra/valkey/index.py `pack`; missing moments are +inf.
local INDEX_LAST_ASKED_AT, INDEX_LANGUAGES = 26, 34
local INDEX_NEVER = 1 / 0 -- libraries cannot be used while this is loaded

-- Their record with another moment from which on they may be asked.
local function index_held(person, not_before)
  return struct.pack('>c17dc0', person, not_before, string.sub(person, INDEX_LAST_ASKED_AT))
end

-- Their record after they were asked, where both moments only move forward; and when they may be asked again.
local function index_asked(person, asked_at, hold_until)
  local letter, opens_at, _, not_before, last_asked_at = struct.unpack('>c1dddd', person)
  not_before, last_asked_at = math.max(not_before, hold_until), math.max(last_asked_at, asked_at)
  local asked = struct.pack('>c17ddc0', person, not_before, last_asked_at, string.sub(person, INDEX_LANGUAGES))
  return asked, INDEX_TIERS[letter] == 'hot' and not_before or math.max(not_before, opens_at)
end

-- The records of these ids, in order; false for those who are not known.
local function index_read(prefix, ids)
  return #ids > 0 and redis.call('HMGET', prefix .. 'people', unpack(ids)) or {}
end

-- Languages as they stand in records -> { 'en', 'da', en = true, da = true }. Only remembers what follows from these: each process
-- may forget it. Few tables, as each of them is gone through whenever Lua collects garbage.
local index_languages, index_languages_count = {}, 0

local function index_new_languages(text)
  local languages = {}
  for language in string.gmatch(text, '[^,]+') do
    languages[#languages + 1], languages[language] = language, true
  end
  if index_languages_count == INDEX_LANGUAGES_MAX then
    index_languages, index_languages_count = {}, 0
  end
  index_languages[text], index_languages_count = languages, index_languages_count + 1
  return languages
end

-- What a record says: tier and languages, which say in what ready sets they belong; what these are sorted by (matching/turns.py);
-- when their window ends, inf if that is nothing to them; and when they may be asked. A hot person said "ready now", which beats
-- their window.
local function index_person(person)
  local letter, opens_at, closes_at, not_before, last_asked_at, at = struct.unpack('>c1dddd', person)
  local tier, text = INDEX_TIERS[letter], string.sub(person, at)
  local languages = index_languages[text] or index_new_languages(text)
  local turn = INDEX_NEWCOMER[letter] and last_asked_at - INDEX_HEAD_START_S or last_asked_at
  if tier == 'hot' then
    return tier, languages, turn, INDEX_NEVER, not_before
  end
  return tier, languages, turn, closes_at, math.max(opens_at, not_before)
end

local function index_ready_key(prefix, tier, language)
  return prefix .. 'ready:' .. tier .. ':' .. language
end

-- -- changes, gathered by key and done at once: what is removed, then what is added

local function index_changes()
  return { removed = {}, added = {}, records = {} }
end

local function index_removes(changes, key, id)
  local group = changes.removed[key]
  if group then
    group[#group + 1] = id
  else
    changes.removed[key] = { id }
  end
end

local function index_adds(changes, key, score, id)
  local group = changes.added[key]
  if group then
    local size = #group
    group[size + 1], group[size + 2] = score, id
  else
    changes.added[key] = { score, id }
  end
end

local function index_writes(changes, id, person)
  local records, size = changes.records, #changes.records
  records[size + 1], records[size + 2] = id, person
end

local function index_out_of_ready(changes, prefix, id, tier, languages)
  for place = 1, #languages do
    index_removes(changes, index_ready_key(prefix, tier, languages[place]), id)
  end
end

-- Into ready, at the place of their turn.
local function index_into_ready(changes, prefix, id, tier, languages, closes_at, turn)
  for place = 1, #languages do
    index_adds(changes, index_ready_key(prefix, tier, languages[place]), turn, id)
  end
  if closes_at < INDEX_NEVER then
    index_adds(changes, prefix .. 'close', closes_at, id)
  end
end

-- Out of ready, into wake at the given moment.
local function index_shelve(changes, prefix, id, tier, languages, moment)
  index_out_of_ready(changes, prefix, id, tier, languages)
  index_adds(changes, prefix .. 'wake', moment, id)
end

-- Out of all sets.
local function index_out(changes, prefix, id, tier, languages)
  index_out_of_ready(changes, prefix, id, tier, languages)
  index_removes(changes, prefix .. 'wake', id)
  index_removes(changes, prefix .. 'close', id)
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

-- Write people's records and keep each away until their moment; those who were in ready leave it. Records of people who are not
-- known are false. Gives how many are known.
local function index_keep_away(prefix, ids, people, moments)
  local changes, wake, size = index_changes(), {}, 0
  for place = 1, #ids do
    if people[place] then
      index_writes(changes, ids[place], people[place])
      wake[size + 1], wake[size + 2] = moments[place], ids[place]
      size = size + 2
    end
  end
  if size == 0 then
    return 0
  end
  -- Mostly they are in wake already: then there is nothing to remove.
  if redis.call('ZADD', prefix .. 'wake', unpack(wake)) > 0 then
    for place = 1, #ids do
      if people[place] then
        local tier, languages = index_person(people[place])
        index_out_of_ready(changes, prefix, ids[place], tier, languages)
      end
    end
  end
  index_apply(changes, prefix)
  return size / 2
end

-- -- going through a ready set

-- 16-byte ids, one after the other, as the keys of a table; and how many.
local function index_each(packed_ids)
  local ids, count = {}, 0
  for at = 1, #packed_ids, 16 do
    ids[string.sub(packed_ids, at, at + 15)], count = true, count + 1
  end
  return ids, count
end

local function index_without(ids, excluded)
  local others = {}
  for _, id in ipairs(ids) do
    if not excluded[id] then
      others[#others + 1] = id
    end
  end
  return others
end

-- Up to `wanted` people from the head of a ready set who may be asked, but for the excluded: their ids, languages, and turns. Whoever
-- does not belong into the set is put away with `changes`. Also gives 1 if `slack` more entries than were wanted or excluded
-- were looked at before the set's end, else 0.
local function index_walk(changes, prefix, tier, language, now, wanted, excluded_ids, slack)
  local excluded, excluded_count = index_each(excluded_ids)
  local ready, budget, from = index_ready_key(prefix, tier, language), wanted + excluded_count + slack, 0
  local count, ids, all_languages, turns = 0, {}, {}, {}
  while count < wanted and budget > 0 do
    -- Not more than are wanted: mostly the first ones are those.
    local page = redis.call('ZRANGE', ready, from, from + math.min(budget, math.max(wanted - count, 4)) - 1)
    if #page == 0 then
      return ids, all_languages, turns, 0
    end
    from, budget = from + #page, budget - #page
    local candidates = excluded_count == 0 and page or index_without(page, excluded)
    local people = index_read(prefix, candidates)
    for place = 1, #candidates do
      if count == wanted then
        break
      end
      local id, person_tier, languages, turn, closes_at = candidates[place], nil, nil, nil, nil
      if people[place] then
        person_tier, languages, turn, closes_at = index_person(people[place])
      end
      if person_tier ~= tier or not languages[language] then
        index_removes(changes, ready, id) -- what the record does not say is not so
      elseif closes_at <= now then
        index_removes(changes, prefix .. 'close', id)
        index_shelve(changes, prefix, id, tier, languages, now) -- the next sweep tells that new edges are needed
      else
        count = count + 1
        ids[count], all_languages[count], turns[count] = id, languages, turn
      end
    end
  end
  return ids, all_languages, turns, count < wanted and 1 or 0
end

-- What is told of people found: their ids, and their turns (big-endian doubles), one after the other.
local function index_told(ids, turns)
  return table.concat(ids), #ids > 0 and struct.pack('>' .. string.rep('d', #ids), unpack(turns)) or ''
end

-- -- the life of the data

-- Everything but the generation.
local function index_empty(prefix)
  for _, language in ipairs(redis.call('SMEMBERS', prefix .. 'languages')) do
    for _, tier in ipairs(INDEX_ALL_TIERS) do
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
