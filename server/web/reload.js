/**
 * Loads a page again whose scripts did not come: browsers break off what they load when the network changes, and the page
 * would stay empty and silent. No module itself, for those are what is missing.
 */
(() => {
  const SHORTEST_MS = 500;
  const LONGEST_MS = 30_000;
  const KEPT = "eyeline.reloaded";

  /** Twice as long each time, until it has gone well for as long as the longest wait. */
  function nextWaitMs() {
    const { waitMs = 0, at = 0 } = JSON.parse(sessionStorage.getItem(KEPT) ?? "{}");
    const wait = Date.now() - at < 2 * LONGEST_MS ? Math.min(Math.max(2 * waitMs, SHORTEST_MS), LONGEST_MS) : SHORTEST_MS;
    sessionStorage.setItem(KEPT, JSON.stringify({ waitMs: wait, at: Date.now() }));
    return wait;
  }

  /** Not before the server answers: a page of the browser's own would be the end of it. */
  async function reload() {
    await new Promise((resolve) => setTimeout(resolve, nextWaitMs()));
    try {
      await fetch(location.href, { method: "HEAD", cache: "no-store" });
    } catch {
      return reload();
    }
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
