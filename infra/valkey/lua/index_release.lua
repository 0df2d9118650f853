-- People may be asked again from a moment on; their turn stays.
-- KEYS[1] prefix of the shard's keys
-- ARGV[1] at  ARGV[2] now  ARGV[3..] 16-byte ids; unknown ones are ignored
-- Reply: number of people known
local prefix, free_at, now, known = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), 0
for at = 3, #ARGV do
  local person = index_read(prefix, ARGV[at])
  if person then
    person.not_before = free_at
    index_write(prefix, ARGV[at], person)
    index_place(prefix, ARGV[at], person, now)
    known = known + 1
  end
end
return known
