/**
 * What was heard of the server's numbered messages: each once, in order, none missing.
 *
 * Numbers run without gaps within one incarnation of the mailbox. A welcome carries a snapshot as of its number; replayed
 * messages at or below it change no state, while words and signals among them still count.
 */

/** At or below the snapshot's seq these are already in the snapshot. What is in none says itself until when it is true. */
const STATE_TYPES = new Set(["request", "progress", "offer", "call"]);

export class Inbox {
  #incarnation = null;
  #seq = 0;
  #snapshotSeq = 0;
  #acked = 0;

  /** What `hello` asks to be continued; undefined: nothing. Naming a number also acknowledges it. */
  resume() {
    this.#acked = this.#seq;
    return this.#incarnation === null ? undefined : { incarnation: this.#incarnation, seq: this.#seq };
  }

  /** Start from the snapshot next time, whatever it is. */
  forget() {
    this.#incarnation = null;
  }

  welcome({ incarnation, resumed, seq, offers }) {
    this.#incarnation = incarnation;
    if (!resumed) this.#seq = this.#acked = seq;
    this.#snapshotSeq = seq;
    if (offers?.length) this.#acked = this.#seq - 1; // shown here, they count as delivered when its number is acknowledged
  }

  /** `pass` it on, `drop` it, or there is a `gap` before it: a resume names the last number we have, and fills it. */
  admit(frame) {
    if (typeof frame.seq !== "number") return "pass";
    if (this.#incarnation === null || frame.seq <= this.#seq) return "drop";
    if (frame.seq > this.#seq + 1) return "gap";
    this.#seq = frame.seq;
    frame.replayed = frame.seq <= this.#snapshotSeq;
    return frame.replayed && STATE_TYPES.has(frame.type) ? "drop" : "pass";
  }

  /** Whether the server waits for an acknowledgement. */
  get owes() {
    return this.#incarnation !== null && this.#seq > this.#acked;
  }

  /** The number to acknowledge, taken as told. */
  acknowledge() {
    this.#acked = this.#seq;
    return this.#seq;
  }
}
