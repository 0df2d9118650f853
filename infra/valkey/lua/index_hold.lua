-- Keep people away until a moment (inf: until released), whatever was said before; their turn stays.
-- KEYS[1] prefix of the shard's keys
-- ARGV[1] until  ARGV[2..] 16-byte ids; unknown ones are ignored
-- Reply: number of people known
local prefix, hold_until, ids = KEYS[1], tonumber(ARGV[1]), { unpack(ARGV, 2) }
local people, moments = index_read(prefix, ids), {}
for place, person in ipairs(people) do
  if person then
    people[place] = index_held(person, hold_until)
    local _, _, _, _, ready_at = index_person(people[place])
    moments[place] = ready_at
  end
end
return index_keep_away(prefix, ids, people, moments)
