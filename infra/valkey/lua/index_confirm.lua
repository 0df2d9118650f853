-- People were asked: remember their turn and keep them away. Only ever moves both forward, so a late or repeated
-- confirmation cannot cut short what was decided since.
-- KEYS[1] prefix of the shard's keys
-- ARGV[1] asked_at  ARGV[2] until  ARGV[3..] 16-byte ids; unknown ones are ignored
-- Reply: number of people known
local prefix, asked_at, hold_until, known = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), 0
for at = 3, #ARGV do
  local person = index_read(prefix, ARGV[at])
  if person then
    person.last_asked_at = math.max(person.last_asked_at, asked_at)
    person.not_before = math.max(person.not_before, hold_until)
    index_write(prefix, ARGV[at], person)
    index_shelve(prefix, ARGV[at], person, index_ready_at(person))
    known = known + 1
  end
end
return known
