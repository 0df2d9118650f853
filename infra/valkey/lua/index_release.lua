-- People may be asked again from a moment on; their turn stays.
-- KEYS[1] prefix of the shard's keys
-- ARGV[1] at  ARGV[2] now  ARGV[3..] 16-byte ids; unknown ones are ignored
-- Reply: number of people known
local prefix, free_at, now, ids = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), { unpack(ARGV, 3) }
local changes = index_changes()
for place, person in ipairs(index_read(prefix, ids)) do
  if person then
    local id = ids[place]
    person = index_held(person, free_at)
    index_writes(changes, id, person)
    local tier, languages, turn, closes_at, ready_at = index_person(person)
    if ready_at <= now and now < closes_at then
      index_removes(changes, prefix .. 'wake', id)
      index_into_ready(changes, prefix, id, tier, languages, closes_at, turn)
    else
      index_shelve(changes, prefix, id, tier, languages, ready_at)
    end
  end
end
index_apply(changes, prefix)
return #changes.records / 2
