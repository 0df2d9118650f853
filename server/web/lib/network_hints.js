/**
 * What the browser says of the network and the page, as two wishes: `hurry` (it may be back: try now) and `probe` (it may
 * be gone: ask now). Hints are never trusted alone; they only make us look sooner. Gives a function that stops listening.
 */
export function onNetworkHints({ hurry, probe }) {
  const visible = () => document.visibilityState === "visible" && hurry();
  addEventListener("online", hurry);
  addEventListener("offline", probe);
  document.addEventListener("visibilitychange", visible);
  return () => {
    removeEventListener("online", hurry);
    removeEventListener("offline", probe);
    document.removeEventListener("visibilitychange", visible);
  };
}
