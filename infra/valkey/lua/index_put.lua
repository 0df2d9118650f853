-- Insert or replace people.
-- KEYS[1] prefix of the shard's keys
-- ARGV[1] now; then for each person: 16-byte id, packed record
-- Reply: number of people
local prefix, now = KEYS[1], tonumber(ARGV[1])
for at = 2, #ARGV, 2 do
  local id = ARGV[at]
  local former = index_read(prefix, id)
  if former then
    index_out_of_ready(prefix, id, former)
  end
  redis.call('SET', prefix .. 'person:' .. id, ARGV[at + 1])
  local person = index_read(prefix, id)
  for language in string.gmatch(person.languages, '[^,]+') do
    redis.call('SADD', prefix .. 'languages', language)
  end
  index_place(prefix, id, person, now)
end
return (#ARGV - 1) / 2
