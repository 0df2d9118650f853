-- Forget people entirely; unknown ones are ignored.
-- KEYS[1] prefix of the shard's keys
-- ARGV[1..] 16-byte ids
-- Reply: number of people forgotten
local prefix, changes, known = KEYS[1], index_changes(), {}
for place, person in ipairs(index_read(prefix, ARGV)) do
  if person then
    local tier, languages = index_person(person)
    index_out(changes, prefix, ARGV[place], tier, languages)
    known[#known + 1] = ARGV[place]
  end
end
index_do('HDEL', prefix .. 'people', known)
index_apply(changes, prefix)
return #known
