-- People may be asked again from a moment on; their turn stays.
-- KEYS[1] prefix of the shard's keys
-- ARGV[1] at  ARGV[2] now  ARGV[3..] 16-byte ids; unknown ones are ignored
-- Reply: number of people known
local prefix, free_at, now, ids = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), { unpack(ARGV, 3) }
local changes = index_changes()
for place, person in ipairs(index_read(prefix, ids)) do
  if person then
    local id, kind = ids[place], index_kind(person)
    person = index_held(person, free_at)
    index_writes(changes, id, person)
    if index_may_be_asked(person, kind, now) then
      index_removes(changes, prefix .. 'wake', id)
      index_into_ready(changes, prefix, id, person, kind)
    else
      index_shelve(changes, prefix, id, kind, index_ready_at(person, kind))
    end
  end
end
index_apply(changes, prefix)
return #changes.records / 2
