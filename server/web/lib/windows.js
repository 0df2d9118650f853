/** From the service worker to the pages of the person it rings for: to open one, and to tell one. */
const TAKEN_WITHIN_MS = 1000;

/** Brings the page to the front, and with it what was wished (`{type, request_id, epoch}`); opens one where none is. */
export async function openPage(page, wish = null) {
  const open = await openWindow(page);
  if (!open) {
    await self.clients.openWindow(wish ? `${page}#${wish.type}=${wish.request_id}.${wish.epoch}` : page);
    return;
  }
  if (wish) open.postMessage(wish);
  await open.focus();
}

/** Gives whether a page took it: one in the background of a phone may be frozen, and would do it too late. */
export async function tellPage(page, wish) {
  const open = await openWindow(page);
  if (!open) return false;
  const { port1, port2 } = new MessageChannel();
  const taken = new Promise((resolve) => {
    port1.onmessage = () => resolve(true);
    setTimeout(() => resolve(false), TAKEN_WITHIN_MS);
  });
  open.postMessage(wish, [port2]);
  return taken;
}

/** The one of that person's pages they looked at last. */
async function openWindow(page) {
  const wanted = new URL(page, self.location.origin);
  const windows = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  return windows.find(({ url }) => isSamePage(new URL(url), wanted)) ?? null;
}

/** `?as=name` tells one person's page from another's; the language and the like do not. */
function isSamePage(one, other) {
  return one.pathname === other.pathname && one.searchParams.get("as") === other.searchParams.get("as");
}
