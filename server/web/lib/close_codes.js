/** What a client does after the server closed its socket: the contract's close codes as a table. */

/** Resume with full jitter: the connection, not the client, was at fault. */
const RESUME = { action: "resume" };

const BY_CODE = new Map([
  [4400, { action: "discard", reason: "bad_frame" }],
  [4401, { action: "renew", reason: "signed_out" }],
  [4403, { action: "stop", reason: "suspended" }],
  [4408, RESUME],
  [4409, { action: "stop", reason: "taken_over" }],
  [4413, { action: "discard", reason: "frame_too_large" }],
  [4429, { action: "resume", slow: true }],
  [4430, RESUME],
  [1012, RESUME],
]);

/** `action`: resume | renew (refresh the token once, then resume) | discard (throw a frame away, resume once) | stop. */
export function afterClose(code) {
  return BY_CODE.get(code) ?? RESUME;
}
