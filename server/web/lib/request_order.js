/** Which of two views of the requester's request is the later one: an HTTP reply may be overtaken by the socket. */

const STATES = ["waiting", "connecting", "in_call", "ended"];

/** Within an epoch the state only advances; a return to waiting raises the epoch; what has ended stays so. */
export function isNewer(request, known) {
  if (!known || known.id !== request.id) return !known || known.state === "ended" || request.state !== "ended";
  if (known.state === "ended") return false;
  if (request.epoch !== known.epoch) return request.epoch > known.epoch;
  const [now, before] = [STATES.indexOf(request.state), STATES.indexOf(known.state)];
  return now === before ? request.asked >= known.asked : now > before;
}
