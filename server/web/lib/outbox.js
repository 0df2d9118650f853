/**
 * Client messages the server has not acknowledged yet, oldest first.
 *
 * They survive the socket: after a reconnect all of them are sent again, in order, under the same ids, and the server
 * answers a repeated id without doing it twice. They survive a refusal for the moment (`retryable`), too: such a message
 * goes again after a short pause, and what follows it of its kind waits until it is answered.
 */
import { Backoff } from "./backoff.js";

const LIMIT = 256;
/** So often a message is written at most that is refused for the moment only. */
const TRIES = 6;

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
  #write;
  #random;
  #open = false;

  /** `write(frame)` puts a frame on the connection, once `opened()` has said that there is one. */
  constructor({ write, random = Math.random }) {
    this.#write = write;
    this.#random = random;
  }

  /**
   * Keeps `frame` (which has an `id`) until it is settled. `replaces` names a kind of message of which only the newest
   * matters (ready, media): an older unacknowledged one is dropped. The promise never counts as an unhandled rejection.
   */
  add(frame, { replaces = null } = {}) {
    if (replaces) this.#drop((entry) => entry.replaces === replaces, "superseded");
    if (this.#entries.size >= LIMIT) this.#giveUp(this.#entries.keys().next().value, { code: "too_many" });
    const settled = new Promise((resolve, reject) => {
      const unwritten = { written: false, refused: false, refusals: 0, timer: null, pauses: new Backoff(this.#random) };
      this.#entries.set(frame.id, { frame, replaces, resolve, reject, ...unwritten });
    });
    settled.catch(() => {});
    this.#flush();
    return settled;
  }

  has(id) {
    return this.#entries.has(id);
  }

  /** A new connection carries everything at once: the order of writing is the order of messages again. */
  opened() {
    this.#open = true;
    for (const entry of this.#entries.values()) {
      clearTimeout(entry.timer);
      entry.written = entry.refused = false;
      entry.timer = null;
    }
    this.#flush();
  }

  closed() {
    this.#open = false;
  }

  /** Acknowledged. */
  settle(id) {
    this.#take(id)?.resolve();
    this.#flush();
  }

  /** Refused by the server; or, by whatever else ends it, given up. */
  refuse(id, error) {
    const entry = this.#entries.get(id);
    if (entry && error.retryable && (entry.refusals += 1) < TRIES) this.#tryLater(entry);
    else this.#giveUp(id, error);
    this.#flush();
  }

  /** After 4400 or 4413: the server reads in order, so what it choked on is the oldest it has not answered. */
  discardOldest(code = "bad_frame") {
    const [oldest] = [...this.#entries.values()].filter(({ written }) => written);
    if (oldest) this.refuse(oldest.frame.id, { code });
  }

  /** Messages of a call that is over, or of a superseded attempt, are not worth sending again. */
  forgetCall(callId, beforeAttempt = Infinity) {
    this.#drop(({ frame }) => frame.call === callId && frame.attempt < beforeAttempt, "call_ended");
    this.#flush();
  }

  clear(code) {
    this.#drop(() => true, code);
  }

  #tryLater(entry) {
    entry.written = false;
    entry.refused = true;
    entry.timer = setTimeout(() => {
      entry.timer = null;
      this.#flush();
    }, entry.pauses.nextMs());
  }

  /** Writes what may go, in order: not what rests, and not what stands behind a refused one of its kind. */
  #flush() {
    if (!this.#open) return;
    const held = new Set();
    for (const entry of this.#entries.values()) {
      const { type } = entry.frame;
      if (!entry.written && entry.timer === null && !held.has(type)) {
        entry.written = true;
        this.#write(entry.frame);
      }
      if (entry.refused) held.add(type);
    }
  }

  #giveUp(id, error) {
    this.#take(id)?.reject(new FrameError(error));
  }

  #drop(matches, code) {
    for (const [id, entry] of [...this.#entries]) if (matches(entry)) this.#giveUp(id, { code });
  }

  #take(id) {
    const entry = this.#entries.get(id);
    clearTimeout(entry?.timer);
    this.#entries.delete(id);
    return entry;
  }
}
