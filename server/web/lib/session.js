/**
 * One sign-in of one person on this browser: tokens, their renewal, and where they are kept between page loads.
 *
 * The device id is made once per browser profile. Sign-ins are kept per page role, and per name where the address says
 * `?as=name`, so that tabs of different people never use each other's tokens; tabs of the same sign-in share them.
 */
import { ApiError, exchange } from "./api.js";
import { pause } from "./backoff.js";
import { Emitter } from "./emitter.js";
import { uuid7 } from "./ids.js";

const DEVICE_KEY = "eyeline.device";
const STORAGE_SEEN_MS = 200;

/** The id of this browser profile, made at first use. */
export function deviceId(storage = localStorage) {
  let id = storage.getItem(DEVICE_KEY);
  if (!id) {
    id = uuid7();
    storage.setItem(DEVICE_KEY, id);
  }
  return id;
}

/** Events: `renewed` (new access token), `ended` (signed out, or the refresh chain was ended by the server). */
export class Session extends Emitter {
  #key;
  #storage;
  #kept = null;
  #renewal = null;

  /** @param {string} role of the page: requester, volunteer or admin.  @param {string|null} as a name from the address. */
  constructor(role, { as = null, storage = localStorage } = {}) {
    super();
    this.#key = `eyeline.session.${role}${as ? `.${as}` : ""}`;
    this.#storage = storage;
    this.#kept = this.#stored();
  }

  get signedIn() {
    return this.#kept !== null;
  }

  get accessToken() {
    return this.#kept?.access_token ?? null;
  }

  /** When the access token ends, as the server's clock says it. */
  get expiresAt() {
    return this.#kept?.expires_at ?? null;
  }

  get name() {
    return this.#kept?.name ?? null;
  }

  get deviceId() {
    return deviceId(this.#storage);
  }

  /** Signs in through the development provider (any name). Gives the contract's `user`. */
  async signIn(name) {
    const reply = await exchange("POST", "/v1/sessions", {
      body: { provider: "dev", token: name, device: { id: this.deviceId, platform: "web" } },
    });
    const { user, ...tokens } = reply;
    this.#keep({ ...tokens, name });
    return user;
  }

  /**
   * Gets a new pair of tokens, unless somebody already did since `staleToken` was current. One renewal runs at a time,
   * over all tabs of this sign-in: a refresh token that is shown twice ends the chain.
   */
  renew(staleToken = this.accessToken) {
    this.#renewal ??= this.#renewOnce(staleToken).finally(() => {
      this.#renewal = null;
    });
    return this.#renewal;
  }

  async #renewOnce(staleToken) {
    const renew = async () => {
      this.#adoptFromOtherTab();
      if (!this.#kept) throw new ApiError(401, { code: "unauthorized", message: "not signed in" });
      if (this.accessToken === staleToken) await this.#refresh();
    };
    await (navigator.locks ? lockedUntilSeen(this.#key, renew) : renew());
    this.emit("renewed", this.accessToken);
  }

  async #refresh() {
    try {
      const reply = await exchange("POST", "/v1/sessions/refresh", {
        body: { refresh_token: this.#kept.refresh_token, device_id: this.deviceId },
      });
      const { user: _user, ...tokens } = reply;
      this.#keep({ ...this.#kept, ...tokens });
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) this.#forget();
      throw error;
    }
  }

  /** Signs out on the server if it can be reached, and here in any case. */
  async signOut() {
    const token = this.accessToken;
    this.#forget();
    if (!token) return;
    try {
      await exchange("DELETE", "/v1/sessions/current", { token, keepalive: true });
    } catch (error) {
      console.info("signed out here only:", error.message);
    }
  }

  #keep(record) {
    this.#kept = record;
    this.#storage.setItem(this.#key, JSON.stringify(record));
  }

  #forget() {
    if (this.#stored()?.session_id === this.#kept?.session_id) this.#storage.removeItem(this.#key);
    this.#kept = null;
    this.emit("ended");
  }

  #stored() {
    try {
      return JSON.parse(this.#storage.getItem(this.#key));
    } catch {
      return null;
    }
  }

  /** Another tab of the same sign-in may have renewed; a tab where somebody else signed in is none of ours. */
  #adoptFromOtherTab() {
    const stored = this.#stored();
    if (stored && this.#kept && stored.session_id === this.#kept.session_id) this.#kept = stored;
  }
}

/**
 * Runs `work` alone among all tabs. The lock is kept a moment longer than the work: what one tab writes to localStorage
 * reaches the others' processes a little later than the lock would.
 */
function lockedUntilSeen(name, work) {
  return new Promise((resolve, reject) => {
    navigator.locks.request(name, async () => {
      await work().then(resolve, reject);
      await pause(STORAGE_SEEN_MS);
    });
  });
}
