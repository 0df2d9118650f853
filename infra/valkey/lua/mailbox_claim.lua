-- Become the owner; tell the former one; continue the client's run of numbers if nothing of it is lost, else say so.
-- KEYS: mailbox, messages   ARGV: session (16 bytes), node, new incarnation, keep_ms, client's incarnation or '', its seq
-- Reply: {owner epoch, incarnation, seq, resumed 0|1, entries after the client's seq when resumed}
local box = redis.call('HMGET', KEYS[1], 'incarnation', 'seq', 'epoch', 'node')
local incarnation, seq, client_seq = box[1], tonumber(box[2]), tonumber(ARGV[6])
if box[4] then mailbox_publish(box[4], ARGV[1], box[3], '-', '') end
local resumed, entries = 0, {}
if incarnation and ARGV[5] == incarnation and client_seq <= seq then
  entries = redis.call('XRANGE', KEYS[2], (client_seq + 1) .. '-0', '+')
  if #entries == seq - client_seq then resumed = 1 else entries = {} end
elseif not incarnation or ARGV[5] == incarnation then
  -- No mailbox; or the client has seen more than we still know, so numbers would repeat.
  redis.call('DEL', KEYS[2])
  incarnation, seq = ARGV[3], 0
end
local epoch = mailbox_next_epoch(box[3])
redis.call('HSET', KEYS[1], 'incarnation', incarnation, 'seq', seq, 'epoch', epoch, 'node', ARGV[2])
mailbox_keep(KEYS[1], KEYS[2], ARGV[4])
return {epoch, incarnation, seq, resumed, entries}
