/**
 * What the browser says of the network and the page, as wishes: `hurry` (it may be back: try now), `probe` (it may be gone:
 * ask now) and `changed` (this device has another network, or its network again). Hints are never trusted alone; they
 * only make us look sooner. Gives a function that stops listening.
 */
const nothing = () => {};

export function onNetworkHints({ hurry = nothing, probe = nothing, changed = nothing }) {
  const visible = () => document.visibilityState === "visible" && hurry();
  const back = () => {
    hurry();
    changed();
  };
  const stopTypes = onConnectionType(back);
  addEventListener("online", back);
  addEventListener("offline", probe);
  document.addEventListener("visibilitychange", visible);
  return () => {
    stopTypes();
    removeEventListener("online", back);
    removeEventListener("offline", probe);
    document.removeEventListener("visibilitychange", visible);
  };
}

/** From Wi-Fi to cellular, say (Network Information API, where there is one); mere estimates of speed change all the time. */
function onConnectionType(listener) {
  const { connection } = navigator;
  let type = connection?.type;
  const look = () => {
    if (connection.type === type) return;
    type = connection.type;
    if (type !== "none") listener();
  };
  connection?.addEventListener?.("change", look);
  return () => connection?.removeEventListener?.("change", look);
}
