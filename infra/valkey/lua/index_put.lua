-- Insert or replace people.
-- KEYS[1] prefix of the shard's keys
-- ARGV[1] shards  ARGV[2] now  ARGV[3] 1 if only those who are not known yet, else 0; then for each person: 16-byte id,
-- packed record
-- Reply: number of people put; nil where another number of shards is counted
local prefix, now, only_new = KEYS[1], tonumber(ARGV[2]), ARGV[3] == '1'
if not generation_admits(prefix, ARGV[1]) then
  return false
end
local people, put, listed = prefix .. 'people', 0, {}
for at = 4, #ARGV, 2 do
  local id, packed = ARGV[at], ARGV[at + 1]
  local former = redis.call('HGET', people, id)
  if not (former and only_new) then
    local person = index_unpack(packed)
    redis.call('HSET', people, id, packed)
    put = put + 1
    if not listed[person.languages] then
      listed[person.languages] = true
      for language in string.gmatch(person.languages, '[^,]+') do
        redis.call('SADD', prefix .. 'languages', language)
      end
    end
    if former then
      index_out_of_ready(prefix, id, index_unpack(former))
      redis.call('ZREM', prefix .. 'wake', id)
    end
    if index_may_be_asked(person, now) then
      index_into_ready(prefix, id, person)
    else
      redis.call('ZADD', prefix .. 'wake', index_ready_at(person), id)
    end
  end
end
return put
