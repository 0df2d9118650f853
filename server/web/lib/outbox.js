/**
 * Client messages the server has not acknowledged yet, oldest first.
 *
 * They survive the socket: after a reconnect all of them are sent again, in order, under the same ids, and the server
 * answers a repeated id without doing it twice.
 */
const LIMIT = 256;

/** The server refused a message (`error` frame), or it was given up here. Codes as in the contract. */
export class FrameError extends Error {
  constructor({ code = "unknown", message = "", retryable = false, details = {} } = {}) {
    super(message || code);
    this.name = "FrameError";
    this.code = code;
    this.retryable = retryable;
    this.details = details ?? {};
  }
}

export class Outbox {
  #entries = new Map();

  /**
   * Keeps `frame` (which has an `id`) until it is settled. `replaces` names a kind of message of which only the newest
   * matters (ready, media): an older unacknowledged one is dropped. The promise never counts as an unhandled rejection.
   */
  add(frame, { replaces = null } = {}) {
    if (replaces) this.#drop((entry) => entry.replaces === replaces, "superseded");
    if (this.#entries.size >= LIMIT) this.discardOldest();
    const settled = new Promise((resolve, reject) => {
      this.#entries.set(frame.id, { frame, replaces, resolve, reject });
    });
    settled.catch(() => {});
    return settled;
  }

  /** Acknowledged. */
  settle(id) {
    this.#take(id)?.resolve();
  }

  refuse(id, error) {
    this.#take(id)?.reject(new FrameError(error));
  }

  has(id) {
    return this.#entries.has(id);
  }

  /** What to send again after a reconnect, in order. */
  frames() {
    return Array.from(this.#entries.values(), (entry) => entry.frame);
  }

  /** After 4400 or 4413: the server reads in order, so what it choked on is the oldest it has not answered. */
  discardOldest(code = "bad_frame") {
    const [oldest] = this.#entries.keys();
    if (oldest !== undefined) this.refuse(oldest, { code });
  }

  /** Messages of a call that is over, or of a superseded attempt, are not worth sending again. */
  forgetCall(callId, beforeAttempt = Infinity) {
    this.#drop(({ frame }) => frame.call === callId && frame.attempt < beforeAttempt, "call_ended");
  }

  clear(code) {
    this.#drop(() => true, code);
  }

  #drop(matches, code) {
    for (const [id, entry] of [...this.#entries]) if (matches(entry)) this.refuse(id, { code });
  }

  #take(id) {
    const entry = this.#entries.get(id);
    this.#entries.delete(id);
    return entry;
  }
}
