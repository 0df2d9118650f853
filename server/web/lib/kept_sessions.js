/**
 * Sign-ins as the service worker sees them. A page's session is copied here, and whoever renews it, page or worker, does
 * so under the session's lock and writes it here first: so what is here is never older than what a page has.
 *
 * `rung`: the sign-in this browser rings for while no page is open (one, as a browser has one push subscription), and
 * the page to open for it.
 */
import { exchange } from "./api.js";
import { keep, kept } from "./kept.js";

const RUNG = "rung";

/** The copy of the session kept under its key; null when there is none, or none that can be read. */
export async function keptSession(key) {
  try {
    return (await kept(key)) ?? null;
  } catch (error) {
    console.info("no copy of the session:", error.message);
    return null;
  }
}

/** Never throws: without the copy only the worker has less to act with. */
export async function keepSession(key, record) {
  try {
    await keep(key, () => record);
  } catch (error) {
    console.info("the session was not copied:", error.message);
  }
}

/** Somebody else may have signed in under the key meanwhile: theirs stays. */
export async function forgetSession(key, sessionId) {
  try {
    await keep(key, (record) => (record?.session_id === sessionId ? undefined : record));
  } catch (error) {
    console.info("the copy of the session stays:", error.message);
  }
}

/** Of two records of one session the one renewed more often; somebody else's is never taken. */
export function newerOf(record, other) {
  const isSame = other && other.session_id === record.session_id;
  return isSame && (other.renewals ?? 0) > (record.renewals ?? 0) ? other : record;
}

/** A new pair of tokens. To be called under the session's lock: a refresh token shown twice ends the chain. */
export async function renewed(record, deviceId) {
  const reply = await exchange("POST", "/v1/sessions/refresh", {
    body: { refresh_token: record.refresh_token, device_id: deviceId },
  });
  const { user: _user, ...tokens } = reply;
  return { ...record, ...tokens, renewals: (record.renewals ?? 0) + 1 };
}

/** `{key, page, serverKey}`, or null. */
export function rung() {
  return keptSession(RUNG);
}

export function ringFor(whom) {
  return keep(RUNG, () => whom);
}

/** Stops ringing for this sign-in; another's stays. Gives whether it was this one's. */
export async function ringNoMoreFor(key) {
  let was = false;
  await keep(RUNG, (whom) => {
    was = whom?.key === key;
    return was ? undefined : whom;
  });
  return was;
}
