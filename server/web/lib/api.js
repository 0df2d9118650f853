/**
 * The HTTP side of the contract: JSON in and out, errors as objects, one token refresh on 401.
 *
 * Every call has a deadline. Calls that may be repeated without harm (everything here but a bare POST, and POSTs whose
 * caller says `repeatable`) are tried again when the network or the server is briefly away.
 */
import { Backoff, pause } from "./backoff.js";

/** The server answered with an error of the contract: `{"error": {code, message, retryable, details?}}`. */
export class ApiError extends Error {
  constructor(status, { code = "unknown", message = "", retryable = false, details = {} } = {}, retryAfterMs = 0) {
    super(message || code);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.retryable = retryable;
    this.details = details ?? {};
    this.retryAfterMs = retryAfterMs;
  }
}

/** No answer came: offline, refused, or slower than the deadline. What was asked may or may not have been done. */
export class NetworkError extends Error {
  constructor(cause) {
    super("no answer from the server", { cause });
    this.name = "NetworkError";
  }
}

/** One exchange. Gives the parsed body (null when empty); throws `ApiError` or `NetworkError`. */
export async function exchange(method, path, { body, token, headers = {}, deadlineMs = 10_000, keepalive = false } = {}) {
  const sent = { ...headers, Accept: "application/json" };
  if (token) sent.Authorization = `Bearer ${token}`;
  if (body !== undefined) sent["Content-Type"] = "application/json";
  let response;
  let text;
  try {
    response = await fetch(path, {
      method,
      headers: sent,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(deadlineMs),
      credentials: "omit",
      cache: "no-store",
      keepalive,
    });
    text = await response.text();
  } catch (error) {
    throw new NetworkError(error);
  }
  const reply = parsed(text);
  if (response.ok) return reply;
  const retryAfterMs = 1000 * (Number(response.headers.get("Retry-After")) || 0);
  throw new ApiError(response.status, reply?.error, retryAfterMs);
}

function parsed(text) {
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return null; // a proxy's page instead of ours: the status still says enough
  }
}

function isBrief(error) {
  return error instanceof NetworkError || (error instanceof ApiError && (error.retryable || error.status === 503));
}

/** Authenticated calls on behalf of one `Session`. */
export class Api {
  #session;

  constructor(session) {
    this.#session = session;
  }

  get(path, options) {
    return this.call("GET", path, options);
  }

  put(path, body, options) {
    return this.call("PUT", path, { ...options, body });
  }

  patch(path, body, options) {
    return this.call("PATCH", path, { ...options, body });
  }

  post(path, body = {}, options = {}) {
    return this.call("POST", path, { repeatable: false, ...options, body });
  }

  async call(method, path, { repeatable = true, tries = 4, ...options } = {}) {
    const backoff = new Backoff();
    for (let left = repeatable ? tries : 1; ; left -= 1) {
      try {
        return await this.#authorized(method, path, options);
      } catch (error) {
        if (left <= 1 || !isBrief(error)) throw error;
        await pause(Math.max(backoff.nextMs(), error.retryAfterMs ?? 0));
      }
    }
  }

  async #authorized(method, path, options) {
    const token = this.#session.accessToken;
    try {
      return await exchange(method, path, { ...options, token });
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 401) throw error;
      await this.#session.renew(token);
      return exchange(method, path, { ...options, token: this.#session.accessToken });
    }
  }
}
