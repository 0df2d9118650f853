/**
 * Loads a page again whose scripts did not come: browsers break off what they load when the network changes, and the page
 * would stay empty and silent. No module itself, for those are what is missing.
 */
(() => {
  const SHORTEST_MS = 500;
  const LONGEST_MS = 30_000;
  const KEPT = "eyeline.reloaded";

  /** Twice as long each time, until it has gone well for twice the longest wait. */
  function nextWaitMs() {
    try {
      const { waitMs, at } = JSON.parse(sessionStorage.getItem(KEPT) ?? '{ "waitMs": 0, "at": 0 }');
      const isNew = Date.now() - at > 2 * LONGEST_MS;
      const next = isNew ? SHORTEST_MS : Math.min(Math.max(2 * waitMs, SHORTEST_MS), LONGEST_MS);
      sessionStorage.setItem(KEPT, JSON.stringify({ waitMs: next, at: Date.now() }));
      return next;
    } catch {
      return LONGEST_MS / 6; // storage is barred: nothing is known of the times before
    }
  }

  /** Not before the server answers: a page of the browser's own would be the end of it. */
  async function reload() {
    await new Promise((resolve) => setTimeout(resolve, nextWaitMs()));
    const { ok } = await fetch(location.href, { method: "HEAD", cache: "no-store" }).catch(() => ({ ok: false }));
    if (!ok) return reload();
    location.reload();
    return undefined;
  }

  let reloading = false;
  function missed({ target }) {
    if (reloading || !(target instanceof HTMLScriptElement)) return;
    reloading = true;
    reload();
  }
  addEventListener("error", missed, { capture: true }); // it does not bubble
})();
