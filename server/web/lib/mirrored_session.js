/** The sign-in the service worker acts for while no page does: what `Api` needs of a session. */
import { ApiError } from "./api.js";
import { forgetSession, keepSession, keptSession, renewed, rung } from "./kept_sessions.js";

export class MirroredSession {
  #key;
  #record;

  /** The sign-in this browser rings for, or null: signed out, or ringing was never switched on. */
  static async open() {
    const whom = await rung();
    const record = whom && (await keptSession(whom.key));
    return record ? new MirroredSession(whom.key, record) : null;
  }

  constructor(key, record) {
    this.#key = key;
    this.#record = record;
  }

  get accessToken() {
    return this.#record.access_token;
  }

  get deviceId() {
    return this.#record.device_id;
  }

  /** Under the same lock as the pages: what one of them renewed meanwhile is taken instead. */
  renew(staleToken) {
    return navigator.locks.request(this.#key, async () => {
      const record = await keptSession(this.#key);
      if (!record) throw new ApiError(401, { code: "unauthorized", message: "signed out" });
      this.#record = record.access_token === staleToken ? await this.#renewOnce(record) : record;
    });
  }

  async #renewOnce(record) {
    try {
      const next = await renewed(record, record.device_id);
      await keepSession(this.#key, next);
      return next;
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) await forgetSession(this.#key, record.session_id);
      throw error;
    }
  }
}
