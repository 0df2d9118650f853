-- Insert or replace people, each once.
-- KEYS[1] prefix of the shard's keys
-- ARGV[1] shards  ARGV[2] now  ARGV[3] 1 if only those who are not known yet, else 0; then for each person: 16-byte id,
-- packed record
-- Reply: number of people put; nil where another number of shards is counted
local prefix, now, only_new = KEYS[1], tonumber(ARGV[2]), ARGV[3] == '1'
if not generation_admits(prefix, ARGV[1]) then
  return false
end
local ids, spoken = {}, {}
for at = 4, #ARGV, 2 do
  ids[#ids + 1] = ARGV[at]
end
local changes, formers = index_changes(), index_read(prefix, ids)
for place, former in ipairs(formers) do
  local id, person = ids[place], ARGV[3 + 2 * place]
  if not (former and only_new) then
    local tier, languages, turn, closes_at, ready_at = index_person(person)
    index_writes(changes, id, person)
    spoken[languages] = true
    if former then
      local tier_before, languages_before = index_person(former)
      index_out(changes, prefix, id, tier_before, languages_before)
    end
    if ready_at <= now and now < closes_at then
      index_into_ready(changes, prefix, id, tier, languages, closes_at, turn)
    else
      index_adds(changes, prefix .. 'wake', ready_at, id)
    end
  end
end
for languages in pairs(spoken) do
  redis.call('SADD', prefix .. 'languages', unpack(languages))
end
index_apply(changes, prefix)
return #changes.records / 2
