-- People were asked: remember their turn and keep them away. Only ever moves both forward, so a late or repeated
-- confirmation cannot cut short what was decided since.
-- KEYS[1] prefix of the shard's keys
-- ARGV[1] asked_at  ARGV[2] until  ARGV[3..] 16-byte ids; unknown ones are ignored
-- Reply: number of people known
local prefix, asked_at, hold_until, ids = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), { unpack(ARGV, 3) }
local people, moments = index_read(prefix, ids), {}
for place, person in ipairs(people) do
  if person then
    people[place], moments[place] = index_asked(person, asked_at, hold_until)
  end
end
return index_keep_away(prefix, ids, people, moments)
