/**
 * When one connection is to be repaired by an ICE restart, and when it is beyond that. Holds no timer and no clock: every
 * method is told the time in ms, and gives the same for the same times.
 *
 * A restart is wished for by a connection that stays `disconnected`, by one that `failed`, by a change of network, and by
 * whoever sees nothing. Those of both sides count for the pace. The polite side leaves the first move to the other for a
 * moment, so that offers seldom cross; without signalling nothing is tried, for nobody would hear of it.
 */
export const DISCONNECTED_MS = 2000;
export const POLITE_MS = 2000;
export const APART_MS = 5000;
export const AT_MOST = 5;
export const AT_MOST_IN_MS = 60_000;
export const GIVE_UP_MS = 12_000;

export class IceRepair {
  #lead;
  #wishedAt = Infinity;
  #restarts = [];
  #troubleSince;
  #signallingSince;
  #wasConnected = false;

  /** A connection that is being built now; whether the other side can be reached through the server. */
  constructor({ polite, signalling, now }) {
    this.#lead = polite ? POLITE_MS : 0;
    this.#troubleSince = now;
    this.#signallingSince = signalling ? now : null;
  }

  /** A restart is wished for and has not been made, by either side, nor become needless. */
  get wished() {
    return this.#wishedAt < Infinity;
  }

  /** When the restart is due; Infinity when none is. */
  get restartAt() {
    if (this.#signallingSince === null) return Infinity;
    const last = this.#restarts.at(-1) ?? -Infinity;
    const fullUntil = (this.#restarts.at(-AT_MOST) ?? -Infinity) + AT_MOST_IN_MS;
    return Math.max(this.#wishedAt, last + APART_MS, fullUntil);
  }

  /** When to build anew: signalling works, and the connection has not come (back) for long, nor by the last restart. */
  get giveUpAt() {
    if (this.#signallingSince === null || this.#troubleSince === null) return Infinity;
    const last = this.#restarts.at(-1) ?? -Infinity;
    return Math.max(Math.max(this.#troubleSince, this.#signallingSince) + GIVE_UP_MS, last + APART_MS);
  }

  /** The connection's `connectionState`. */
  link(state, now) {
    if (state === "connected") {
      this.#wishedAt = Infinity;
      this.#troubleSince = null;
      this.#wasConnected = true;
    } else if (state === "disconnected" || state === "failed") {
      this.#troubleSince ??= now;
      this.wish(state === "failed" ? now : now + DISCONNECTED_MS);
    }
  }

  /** What was gathered while nobody could be reached may be no way at all: the way back is tried anew before long. */
  signalling(works, now) {
    const isBack = works && this.#signallingSince === null;
    if (isBack && this.#wasConnected && this.#troubleSince !== null) this.wish(now + DISCONNECTED_MS);
    if (works) this.#signallingSince ??= now;
    else this.#signallingSince = null;
  }

  /** From this time on. */
  wish(at) {
    this.#wishedAt = Math.min(this.#wishedAt, at + this.#lead);
  }

  /** Either side made its offer. */
  restarted(now) {
    this.#wishedAt = Infinity;
    this.#restarts = [...this.#restarts, now].slice(-AT_MOST);
  }

  /** A new connection was asked for: if none comes, ask again after as long. */
  gaveUp(now) {
    this.#troubleSince = now;
  }
}
