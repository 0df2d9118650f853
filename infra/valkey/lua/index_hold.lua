-- Keep people away until a moment (inf: until released), whatever was said before; their turn stays.
-- KEYS[1] prefix of the shard's keys
-- ARGV[1] until  ARGV[2..] 16-byte ids; unknown ones are ignored
-- Reply: number of people known
local prefix, hold_until, known = KEYS[1], tonumber(ARGV[1]), 0
for at = 2, #ARGV do
  local person = index_read(prefix, ARGV[at])
  if person then
    person.not_before = hold_until
    index_write(prefix, ARGV[at], person)
    index_shelve(prefix, ARGV[at], person, index_ready_at(person))
    known = known + 1
  end
end
return known
