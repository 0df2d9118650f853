-- Helpers of the index_* functions. `prefix` is KEYS[1], what every key of one shard begins with ({v0}:); the names below
-- are declared with their meaning in infra/valkey/keys.py. Undeclared keys are fine: all share the prefix's slot.
--
-- A person is in every ready set of their tier and languages, or in wake, never in both. People in ready who are not hot and whose
-- window ends are also in close, and stay there while they are away for a while.
--
-- Every call of a command costs more than what it does, so functions gather what they change and do it at once. Making a table
-- costs as much as three questions to a string, so a person is handed about as their packed record.

local INDEX_TIERS = { h = 'hot', c = 'cold', i = 'idle' }
local INDEX_HEAD_START_S = 259200 -- matching/turns.py NEWCOMER_HEAD_START_S
local INDEX_ARGS_MAX = 4000
local INDEX_KINDS_MAX = 10000

-- -- people

-- Where the parts of a record begin, after the letter. Layout: infra/valkey/index.py `pack`; missing moments are +inf.
local INDEX_OPENS_AT, INDEX_CLOSES_AT, INDEX_NOT_BEFORE, INDEX_LAST_ASKED_AT, INDEX_LANGUAGES = 2, 10, 18, 26, 34

local function index_moment(person, part)
  return (struct.unpack('>d', person, part))
end

-- Their record with another moment from which on they may be asked.
local function index_held(person, not_before)
  return struct.pack('>c17dc0', person, not_before, string.sub(person, INDEX_LAST_ASKED_AT))
end

-- Their record after they were asked: both moments only move forward.
local function index_asked(person, asked_at, hold_until)
  local not_before, last_asked_at = struct.unpack('>dd', person, INDEX_NOT_BEFORE)
  return struct.pack('>c17ddc0', person, math.max(not_before, hold_until), math.max(last_asked_at, asked_at),
    string.sub(person, INDEX_LANGUAGES))
end

-- The records of these ids, in order; false for those who are not known.
local function index_read(prefix, ids)
  return #ids > 0 and redis.call('HMGET', prefix .. 'people', unpack(ids)) or {}
end

-- Kinds worked out so far, by letter, then by languages. Only remembers what follows from these: each process may forget it.
local index_kinds, index_kinds_count = {}, 0

local function index_new_kind(letter, languages)
  local small = string.lower(letter)
  local kind = { tier = INDEX_TIERS[small], newcomer = letter ~= small, languages = {}, speaks = {}, ready = {} }
  for language in string.gmatch(languages, '[^,]+') do
    kind.languages[#kind.languages + 1], kind.speaks[language] = language, true
  end
  return kind
end

-- What many people have in common: { tier =, newcomer =, languages = { 'en', 'da' }, speaks = { en = true, da = true },
-- ready = { [prefix] = keys of the sets they belong into } }.
local function index_kind(person)
  local letter, languages = string.sub(person, 1, 1), string.sub(person, INDEX_LANGUAGES)
  local of_letter = index_kinds[letter]
  local kind = of_letter and of_letter[languages]
  if kind then
    return kind
  end
  if index_kinds_count == INDEX_KINDS_MAX then
    index_kinds, index_kinds_count = {}, 0
  end
  kind = index_new_kind(letter, languages)
  index_kinds[letter] = index_kinds[letter] or {}
  index_kinds[letter][languages], index_kinds_count = kind, index_kinds_count + 1
  return kind
end

local function index_ready_key(prefix, tier, language)
  return prefix .. 'ready:' .. tier .. ':' .. language
end

-- The ready sets people of a kind belong into.
local function index_ready_keys(prefix, kind)
  local keys = kind.ready[prefix]
  if not keys then
    keys = {}
    for place, language in ipairs(kind.languages) do
      keys[place] = index_ready_key(prefix, kind.tier, language)
    end
    kind.ready[prefix] = keys
  end
  return keys
end

-- What ready sets are sorted by (matching/turns.py).
local function index_turn(person, kind)
  local last_asked_at = index_moment(person, INDEX_LAST_ASKED_AT)
  return kind.newcomer and last_asked_at - INDEX_HEAD_START_S or last_asked_at
end

-- When they may be asked: a hot person said "ready now", which beats their window.
local function index_ready_at(person, kind)
  local not_before = index_moment(person, INDEX_NOT_BEFORE)
  return kind.tier == 'hot' and not_before or math.max(not_before, index_moment(person, INDEX_OPENS_AT))
end

-- When their window ends, inf if that is nothing to them.
local function index_closes_at(person, kind)
  return kind.tier == 'hot' and math.huge or index_moment(person, INDEX_CLOSES_AT)
end

-- Whether they belong into ready at `now`.
local function index_may_be_asked(person, kind, now)
  return index_ready_at(person, kind) <= now and now < index_closes_at(person, kind)
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

local function index_writes(changes, id, person)
  local records, size = changes.records, #changes.records
  records[size + 1], records[size + 2] = id, person
end

local function index_out_of_ready(changes, prefix, id, kind)
  for _, key in ipairs(index_ready_keys(prefix, kind)) do
    index_removes(changes, key, id)
  end
end

-- Into ready, at the place of their turn.
local function index_into_ready(changes, prefix, id, person, kind)
  local turn, closes_at = index_turn(person, kind), index_closes_at(person, kind)
  for _, key in ipairs(index_ready_keys(prefix, kind)) do
    index_adds(changes, key, turn, id)
  end
  if closes_at < math.huge then
    index_adds(changes, prefix .. 'close', closes_at, id)
  end
end

-- Out of ready, into wake at the given moment.
local function index_shelve(changes, prefix, id, kind, moment)
  index_out_of_ready(changes, prefix, id, kind)
  index_adds(changes, prefix .. 'wake', moment, id)
end

-- Out of all sets.
local function index_out(changes, prefix, id, kind)
  index_out_of_ready(changes, prefix, id, kind)
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

-- Write people who were given another moment from which on they may be asked; those who were in ready leave it. Records of people
-- who are not known are false. Gives how many are known.
local function index_keep_away(prefix, ids, people)
  local changes, known, wake = index_changes(), {}, {}
  for place, person in ipairs(people) do
    if person then
      local size = #wake
      index_writes(changes, ids[place], person)
      known[#known + 1] = place
      wake[size + 1], wake[size + 2] = index_ready_at(person, index_kind(person)), ids[place]
    end
  end
  if #known == 0 then
    return 0
  end
  -- Mostly they are in wake already: then there is nothing to remove.
  if redis.call('ZADD', prefix .. 'wake', unpack(wake)) > 0 then
    for _, place in ipairs(known) do
      index_out_of_ready(changes, prefix, ids[place], index_kind(people[place]))
    end
  end
  index_apply(changes, prefix)
  return #known
end

-- -- going through a ready set

-- Up to `wanted` people from the head of a ready set who may be asked, but for the excluded (16-byte ids, one after the
-- other): their ids, and their records. Whoever does not belong into the set is put away with `changes`. Also gives 1 if
-- `slack` more entries than were wanted or excluded were looked at before the set's end, else 0.
local function index_walk(changes, prefix, tier, language, now, wanted, excluded_ids, slack)
  local excluded, excluded_count = {}, 0
  for at = 1, #excluded_ids, 16 do
    excluded[string.sub(excluded_ids, at, at + 15)] = true
    excluded_count = excluded_count + 1
  end
  local ready, budget, from, ids, people = index_ready_key(prefix, tier, language), wanted + excluded_count + slack, 0, {}, {}
  while #ids < wanted and budget > 0 do
    -- Not more than are wanted: mostly the first ones are those.
    local page = redis.call('ZRANGE', ready, from, from + math.min(budget, math.max(wanted - #ids, 4)) - 1)
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
      local id, kind = candidates[place], person and index_kind(person)
      if #ids == wanted then
        break
      elseif not kind or kind.tier ~= tier or not kind.speaks[language] then
        index_removes(changes, ready, id) -- what the record does not say is not so
      elseif index_closes_at(person, kind) <= now then
        index_removes(changes, prefix .. 'close', id)
        index_shelve(changes, prefix, id, kind, now) -- the next sweep tells that new edges are needed
      else
        ids[#ids + 1], people[#people + 1] = id, person
      end
    end
  end
  return ids, people, #ids < wanted and 1 or 0
end

-- What is told of people found: their ids, and their turns (big-endian doubles), one after the other.
local function index_told(ids, people)
  local turns = {}
  for place, person in ipairs(people) do
    turns[place] = index_turn(person, index_kind(person))
  end
  return table.concat(ids), #ids > 0 and struct.pack('>' .. string.rep('d', #ids), unpack(turns)) or ''
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
