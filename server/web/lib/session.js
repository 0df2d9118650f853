/**
 * One sign-in of one person on this browser: tokens, their renewal, and where they are kept between page loads.
 *
 * The device id is made once per browser profile. Sign-ins are kept per page role, and per name where the address says
 * `?as=name`, so that tabs of different people never use each other's tokens; tabs of the same sign-in share them. The
 * service worker rings for volunteers while no page is open: it has a copy (`kept_sessions.js`), and renews it too.
 */
import { ApiError, exchange } from "./api.js";
import { pause } from "./backoff.js";
import { Emitter } from "./emitter.js";
import { uuid7 } from "./ids.js";
import { forgetSession, keepSession, keptSession, newerOf, renewed } from "./kept_sessions.js";

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
  #isShared;

  /** @param {string} role of the page: requester, volunteer or admin.  @param {string|null} as a name from the address. */
  constructor(role, { as = null, storage = localStorage } = {}) {
    super();
    this.#key = `eyeline.session.${role}${as ? `.${as}` : ""}`;
    this.#storage = storage;
    this.#isShared = role === "volunteer" && Boolean(navigator.locks && globalThis.indexedDB);
    this.#kept = this.#stored();
  }

  /** Under which it is kept, and renewed by one at a time. */
  get key() {
    return this.#key;
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

  /** At the start of a page: the worker may have renewed the session while none was open. */
  async settle() {
    if (!this.#kept || !this.#isShared) return;
    await navigator.locks.request(this.#key, async () => {
      await this.#adopt();
      if (this.#kept) await this.#keep(this.#kept);
    });
  }

  /** Signs in through the development provider (any name). Gives the contract's `user`. */
  async signIn(name) {
    const reply = await exchange("POST", "/v1/sessions", {
      body: { provider: "dev", token: name, device: { id: this.deviceId, platform: "web" } },
    });
    const { user, ...tokens } = reply;
    await this.#keep({ ...tokens, name });
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
      await this.#adopt();
      if (!this.#kept) throw new ApiError(401, { code: "unauthorized", message: "not signed in" });
      if (this.accessToken === staleToken) await this.#refresh();
    };
    await (navigator.locks ? lockedUntilSeen(this.#key, renew) : renew());
    this.emit("renewed", this.accessToken);
  }

  async #refresh() {
    try {
      const record = this.#kept;
      const next = await renewed(record, this.deviceId);
      if (this.#kept === record) await this.#keep(next); // else signed out meanwhile
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

  /** The copy first: were the page to end in between, it would be taken up at the next start. */
  async #keep(record) {
    this.#kept = record;
    if (this.#isShared) await keepSession(this.#key, { ...record, device_id: this.deviceId });
    if (this.#kept === record) this.#storage.setItem(this.#key, JSON.stringify(record)); // not signed out meanwhile
  }

  #forget() {
    const id = this.#kept?.session_id;
    if (this.#stored()?.session_id === id) this.#storage.removeItem(this.#key);
    if (this.#isShared && id) forgetSession(this.#key, id);
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

  /** Another tab of the same sign-in, or the worker, may have renewed; where somebody else signed in is none of ours. */
  async #adopt() {
    const stored = this.#stored();
    if (stored && this.#kept && stored.session_id === this.#kept.session_id) this.#kept = stored;
    const copy = this.#kept && this.#isShared ? await keptSession(this.#key) : null;
    if (this.#kept && copy) this.#kept = newerOf(this.#kept, copy);
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
