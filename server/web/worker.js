/**
 * The service worker: rings through Web Push while no page is open, and nothing else. It keeps no files: an old client
 * that is served from a cache would be worse than none.
 *
 * Every push shows something, also one that only takes a ring back: browsers end the subscription of who shows nothing.
 * Nothing waits by timers here: a ring that nobody answers is replaced by the server's own word (`missed`).
 */
import { Api } from "/static/lib/api.js";
import { ringFor, rung } from "/static/lib/kept_sessions.js";
import { MirroredSession } from "/static/lib/mirrored_session.js";
import { deviceWith, subscribed } from "/static/lib/push.js";
import { isAboutRing, loud, plain, quiet, readPush, repeated } from "/static/lib/push_notices.js";
import { noteRing, serverNow } from "/static/lib/ring_memory.js";
import { openPage, tellPage } from "/static/lib/windows.js";

const BRIEFLY = { repeatable: true, tries: 2, deadlineMs: 5000 };

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("push", (event) => event.waitUntil(safely(pushed(readPush(event.data)))));
self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(safely(clicked(event.action, event.notification.data)));
});
self.addEventListener("pushsubscriptionchange", (event) => event.waitUntil(safely(resubscribed(event))));

async function safely(work) {
  try {
    await work;
  } catch (error) {
    console.info("not done:", error.message); // nobody looks at a worker: a ring expires by itself, and so does an offer
  }
}

// A push.

async function pushed(push) {
  const { title, options } = await noticeOf(push);
  await self.registration.showNotification(title, options);
}

/** What cannot be read, and types of later, still have to show something: the server's words if it sent any, quietly. */
async function noticeOf(push) {
  if (!isAboutRing(push)) return quiet(push);
  if (push.type === "ring") return (await isTooLate(push)) ? quiet(push, push.over) : loud(push);
  if (push.type === "withdraw" || push.type === "missed") return (await laterRing(push)) ?? quiet(push);
  return push.type === "someone_free" ? plain(push) : quiet(push);
}

async function isTooLate(ring) {
  const known = await noteRing(ring, { over: false });
  if (known && (known.epoch > ring.epoch || (known.epoch === ring.epoch && known.over))) return true;
  return (await serverNow()) >= Date.parse(ring.expires_at);
}

/** The end of an earlier round leaves the ring of a later one as it stands. */
async function laterRing(end) {
  const known = await noteRing(end, { over: true });
  if (!known || known.epoch <= end.epoch) return null;
  const [shown] = await self.registration.getNotifications({ tag: end.request_id });
  return shown ? repeated(shown) : null;
}

// A click.

async function clicked(action, { rings, type, request_id, epoch }) {
  const [usual, wish] = type === "someone_free" ? ["/requester", { type: "free", request_id, epoch }] : ["/volunteer", null];
  const page = (await pageOf(usual)) ?? usual;
  if (!rings) await openPage(page, wish);
  else if (action === "not_now") await decline(page, { request_id, epoch });
  else await openPage(page, { type: action === "answer" ? "answer" : "ring", request_id, epoch });
}

/** The page this browser is woken for, if it is the one for this. */
async function pageOf(path) {
  const page = (await rung())?.page;
  return page && new URL(page, self.location.origin).pathname === path ? page : null;
}

/** An open page does it as if its own button was pressed; with none, or one that is frozen, it is done here. */
async function decline(page, { request_id, epoch }) {
  await noteRing({ request_id, epoch }, { over: true });
  if (await tellPage(page, { type: "not_now", request_id, epoch })) return;
  const session = await MirroredSession.open();
  if (!session) return;
  const path = `/v1/requests/${encodeURIComponent(request_id)}/decline`;
  await new Api(session).post(path, { epoch, reason: "not_now" }, BRIEFLY);
}

// The push service changed its address for us.

async function resubscribed({ newSubscription, oldSubscription }) {
  const [whom, session] = [await rung(), await MirroredSession.open()];
  if (!whom || !session) return;
  const subscription = newSubscription ?? (await subscribed(self.registration, whom.serverKey));
  if (subscription.endpoint === oldSubscription?.endpoint) return;
  await new Api(session).put(`/v1/me/devices/${session.deviceId}`, deviceWith(subscription), BRIEFLY);
}
