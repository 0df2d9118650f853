/** A browser's push subscription: whether there can be one, making it, and how the server is told of it. */
import { pause } from "./backoff.js";

const WORKER = "/worker.js";
const DEADLINE_MS = 20_000;

/** `yes`, `no`, or `install`: iOS and iPadOS give pushes only to pages put on the home screen. */
export function pushSupport() {
  const canPush = "serviceWorker" in navigator && "PushManager" in window && "Notification" in window && navigator.locks;
  if (canPush) return "yes";
  return navigator.standalone === false ? "install" : "no";
}

/** The worker of this site, asked for each time so that a new version is seen at once. Rejects where modules are not known. */
export function registerWorker() {
  return navigator.serviceWorker.register(WORKER, { type: "module", updateViaCache: "none" });
}

/** The subscription to this server's key: the one there is, or a new one. The push service may be slow, or not answer. */
export async function subscribed(registration, serverKey) {
  const there = await registration.pushManager.getSubscription();
  if (there && isFor(there, serverKey)) return there;
  await there?.unsubscribe();
  const options = { userVisibleOnly: true, applicationServerKey: bytesOf(serverKey) };
  return Promise.race([registration.pushManager.subscribe(options), tooSlow()]);
}

/** Tells the push service to forget us. What the server still sends goes nowhere, and it hears so. */
export async function unsubscribe(registration) {
  const subscription = await registration?.pushManager.getSubscription();
  return Promise.race([subscription?.unsubscribe() ?? true, tooSlow()]);
}

/** What `PUT /v1/me/devices/{id}` takes: this subscription, or none. */
export function deviceWith(subscription) {
  if (!subscription) return { platform: "web", push: [] };
  const { endpoint, keys } = subscription.toJSON();
  return { platform: "web", push: [{ kind: "webpush", value: endpoint, keys: { p256dh: keys.p256dh, auth: keys.auth } }] };
}

function isFor(subscription, serverKey) {
  const key = subscription.options?.applicationServerKey;
  return !key || String(new Uint8Array(key)) === String(bytesOf(serverKey)); // not every browser tells
}

/** Base64url to bytes: not every browser takes the key as text. */
function bytesOf(base64url) {
  const text = atob(base64url.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}

async function tooSlow() {
  await pause(DEADLINE_MS);
  throw new Error("the push service does not answer");
}
