-- Take people from the head of one ready set, out of all their ready sets, into wake with a lease.
-- KEYS[1] prefix of the shard's keys
-- ARGV[1] shards  ARGV[2] language  ARGV[3] tier  ARGV[4] now  ARGV[5] how many  ARGV[6] excluded ids, 16 bytes each, one
-- after the other  ARGV[7] how many more entries may be looked at than are wanted or excluded  ARGV[8] lease_until
-- Reply: {ids, turns (`index_told`), 1 if that bound was met before the set's end else 0}; nil while the index does not answer
-- for this language
local prefix, language, tier, lease_until = KEYS[1], ARGV[2], ARGV[3], tonumber(ARGV[8])
if not generation_answers(prefix, ARGV[1], language) then
  return false
end
local changes = index_changes()
local ids, languages, turns, more = index_walk(changes, prefix, tier, language, tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6],
  tonumber(ARGV[7]))
for place = 1, #ids do
  index_shelve(changes, prefix, ids[place], tier, languages[place], lease_until)
end
index_apply(changes, prefix)
local told_ids, told_turns = index_told(ids, turns)
return { told_ids, told_turns, more }
