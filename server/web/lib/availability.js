/**
 * When a volunteer may be rung, as the server has it: weekly hours, and a time of peace that beats them.
 *
 * Event: `changed`.
 */
import { Emitter } from "./emitter.js";

const PATH = "/v1/me/availability";

export class Availability extends Emitter {
  weekly = [];
  #paused = false;
  #pausedUntil = null;
  #api;
  #now;

  /** `now()`: the server's clock, in ms. */
  constructor(api, now) {
    super();
    this.#api = api;
    this.#now = now;
  }

  /** Until when nobody is to ring them: null (somebody may), or a moment in ms; infinite until they say so. */
  get peaceUntil() {
    if (!this.#pausedUntil) return this.#paused ? Infinity : null;
    const until = Date.parse(this.#pausedUntil);
    return until > this.#now() ? until : null;
  }

  /** Throws `ApiError` or `NetworkError`, as the others do. */
  async load() {
    this.#take(await this.#api.get(PATH));
  }

  async setWeekly(weekly) {
    await this.#change({ weekly });
  }

  /** For so long from now by the server's clock; null: until they say so. */
  async beginPeace(ms) {
    const until = ms === null ? null : new Date(this.#now() + ms).toISOString();
    await this.#change({ paused: true, paused_until: until });
  }

  async endPeace() {
    await this.#change({ paused: false, paused_until: null });
  }

  /** Another page may have changed the rest meanwhile. */
  async #change(changes) {
    const { weekly, paused, paused_until } = await this.#api.get(PATH);
    this.#take(await this.#api.put(PATH, { weekly, paused, paused_until, ...changes }));
  }

  #take({ weekly, paused, paused_until: until }) {
    this.weekly = weekly;
    this.#paused = paused === true;
    this.#pausedUntil = until ?? null;
    this.emit("changed");
  }
}
