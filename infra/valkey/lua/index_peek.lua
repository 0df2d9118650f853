-- Who would be drawn from a ready set, and how many are in it. They stay; those whose window is over do not.
-- KEYS[1] prefix of the shard's keys
-- ARGV[1..7] as of index_draw
-- Reply: {ids, turns, 1 or 0 as of index_draw, people in the set}; nil while the index does not answer for this language
local prefix, language, tier = KEYS[1], ARGV[2], ARGV[3]
if not generation_answers(prefix, ARGV[1], language) then
  return false
end
local changes = index_changes()
local ids, _, turns, more = index_walk(changes, prefix, tier, language, tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6],
  tonumber(ARGV[7]))
index_apply(changes, prefix)
local told_ids, told_turns = index_told(ids, turns)
return { told_ids, told_turns, more, redis.call('ZCARD', index_ready_key(prefix, tier, language)) }
