"""What tests run inside the pages. Those that wait resolve when it is so, and reject after their deadline."""

# Every sentence put into a live region, which is what a screen reader speaks.
LISTEN = """
window.heard = [];
new MutationObserver((records) => {
  for (const { target, addedNodes } of records) {
    const region = (target.closest ? target : target.parentElement)?.closest("[aria-live]");
    if (!region) continue;
    for (const node of addedNodes) window.heard.push({ region: region.id, text: node.textContent });
  }
}).observe(document, { childList: true, subtree: true, characterData: true });
"""

# Playwright's own waiting for functions needs `eval`, which the pages' policy forbids.
HEARS = """
async ({ words, withinMs }) => {
  const until = performance.now() + withinMs;
  while (!window.heard.some(({ text }) => text.includes(words))) {
    if (performance.now() > until) throw new Error(`not "${words}" but ${JSON.stringify(window.heard)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
"""

# Resolves when a counter of the received media has grown by so much since it was first looked at.
GROWS = """
async ({ kind, field, by, withinMs }) => {
  const until = performance.now() + withinMs;
  let connection = null;
  let first = 0;
  let now = 0;
  for (;;) {
    const { pc } = window.eyeline;
    const stats = pc ? [...(await pc.getStats()).values()] : [];
    now = stats.find((stat) => stat.type === "inbound-rtp" && stat.kind === kind)?.[field] ?? 0;
    if (connection !== pc) [connection, first] = [pc, now];
    if (now - first >= by && now > 0) return now;
    if (performance.now() > until) {
      const states = pc && [pc.connectionState, pc.iceConnectionState, pc.signalingState].join(", ");
      throw new Error(`${kind} ${field} went from ${first} to ${now}, not further (${states})`);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
"""

# Resolves when nothing is heard for half a second, though packets still come.
SILENT = """
async ({ withinMs }) => {
  const until = performance.now() + withinMs;
  const measure = async () => {
    const stats = [...(await window.eyeline.pc.getStats()).values()];
    return stats.find((stat) => stat.type === "inbound-rtp" && stat.kind === "audio");
  };
  for (let before = await measure(); ; ) {
    await new Promise((resolve) => setTimeout(resolve, 1500)); // the fake microphone beeps once a second
    const now = await measure();
    const energy = now.totalAudioEnergy - before.totalAudioEnergy;
    if (energy < 1e-6 && now.packetsReceived > before.packetsReceived) return;
    if (performance.now() > until) throw new Error(`still heard: ${energy}`);
    before = now;
  }
}
"""

SELECTED_PAIR = """
async () => {
  const stats = await window.eyeline.pc.getStats();
  const transport = [...stats.values()].find((stat) => stat.type === "transport");
  const pair = stats.get(transport.selectedCandidatePairId);
  return [pair.localCandidateId, pair.remoteCandidateId].map((id) => stats.get(id).candidateType);
}
"""

# How the browser speaks to its relay.
RELAY_PROTOCOL = """
async () => {
  const stats = await window.eyeline.pc.getStats();
  const transport = [...stats.values()].find((stat) => stat.type === "transport");
  return stats.get(stats.get(transport.selectedCandidatePairId).localCandidateId).relayProtocol ?? null;
}
"""

UFRAGS = """
[eyeline.pc.currentLocalDescription, eyeline.pc.currentRemoteDescription]
  .map(({ sdp }) => /ice-ufrag:(.*)/.exec(sdp)[1])
"""

RESTART_ICE = "eyeline.pc.restartIce()"

# Resolves when both ufrags are others than they were, and the connection stands.
REPAIRED = """
async ({ before, withinMs }) => {
  const { pc } = window.eyeline;
  const until = performance.now() + withinMs;
  const ufrags = () =>
    [pc.currentLocalDescription, pc.currentRemoteDescription].map(({ sdp }) => /ice-ufrag:(.*)/.exec(sdp)[1]);
  for (;;) {
    const isNew = ufrags().every((ufrag) => !before.includes(ufrag));
    if (isNew && pc.signalingState === "stable" && pc.connectionState === "connected") return;
    if (performance.now() > until) throw new Error([pc.signalingState, pc.connectionState, ...ufrags()].join(", "));
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
"""

# Resolves when this side has an offer out that nobody has answered.
OFFERS = """
async ({ withinMs }) => {
  const { pc } = window.eyeline;
  const until = performance.now() + withinMs;
  while (pc.signalingState !== "have-local-offer") {
    if (performance.now() > until) throw new Error([pc.signalingState, pc.connectionState].join(", "));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
"""

PICTURE_IS_SHOWN = """
(video) => new Promise((resolve) => {
  const look = () => {
    if (video.videoWidth) resolve([video.videoWidth, video.videoHeight]);
    else video.requestVideoFrameCallback(look);
  };
  look();
})
"""

# `pushManager.subscribe()` hangs where no push service can be reached: the page gets a subscription that was made up.
# Kept in the browser's storage, as a real one would be, so that a reload finds it.
SUBSCRIPTIONS = """
{
  const kept = () => JSON.parse(localStorage.getItem("test.subscription"));
  const bytes = (length) => Array.from(crypto.getRandomValues(new Uint8Array(length)));
  const base64url = (numbers) =>
    btoa(String.fromCharCode(...numbers)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const subscription = () => {
    const made = kept();
    return made && {
      endpoint: made.endpoint,
      options: { applicationServerKey: new Uint8Array(made.serverKey).buffer },
      toJSON: () => ({ endpoint: made.endpoint, expirationTime: null, keys: made.keys }),
      unsubscribe: async () => (localStorage.removeItem("test.subscription"), true),
    };
  };
  PushManager.prototype.getSubscription = async () => subscription();
  PushManager.prototype.subscribe = async ({ applicationServerKey }) => {
    const made = {
      endpoint: `https://updates.push.services.mozilla.com/wpush/v2/${base64url(bytes(24))}`,
      keys: { p256dh: base64url([4, ...bytes(64)]), auth: base64url(bytes(16)) },
      serverKey: Array.from(applicationServerKey),
    };
    localStorage.setItem("test.subscription", JSON.stringify(made));
    return subscription();
  };
}
"""

# After `SUBSCRIPTIONS`: every subscription is this one.
SUBSCRIBED_AS = """
PushManager.prototype.subscribe = async ({ applicationServerKey }) => {
  const made = { ...SUBSCRIPTION, serverKey: Array.from(applicationServerKey) };
  localStorage.setItem("test.subscription", JSON.stringify(made));
  return PushManager.prototype.getSubscription();
};
"""

# In a service worker: counts what it shows from now on; gives how much so far.
COUNT_SHOWING = """
() => {
  if (self.timesShown === undefined) {
    self.timesShown = 0;
    const { registration } = self;
    const show = registration.showNotification.bind(registration);
    registration.showNotification = async (...words) => {
      await show(...words);
      self.timesShown += 1;
    };
  }
  return self.timesShown;
}
"""

# In a service worker: all its notifications, once it has shown so many. Chromium forgets one that is being shown while
# somebody asks which there are, so it is not asked before.
SHOWN = """
async ({ times, withinMs }) => {
  const until = performance.now() + withinMs;
  while (self.timesShown < times) {
    if (performance.now() > until) throw new Error("nothing was shown");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const all = await self.registration.getNotifications();
  return all.map(({ title, body, lang, dir, tag, silent, renotify, requireInteraction, vibrate, actions, data }) => {
    const labels = actions.map(({ action, title }) => [action, title]);
    return { title, body, lang, dir, tag, silent, renotify, requireInteraction, vibrate, labels, data };
  });
}
"""

# On a page: the titles of all notifications, a moment after a worker that cannot be asked itself noted a ring.
RUNG = """
async (withinMs) => {
  const { kept } = await import("/static/lib/kept.js");
  const until = performance.now() + withinMs;
  while (!(await kept("rings"))?.length) {
    if (performance.now() > until) throw new Error("no ring was noted");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await new Promise((resolve) => setTimeout(resolve, 500));
  const registration = await navigator.serviceWorker.getRegistration("/");
  return (await registration.getNotifications()).map(({ title }) => title);
}
"""

# In a service worker: how many notifications there are, when it is so many or the time is over.
COUNT_SHOWN = """
async ({ count, withinMs }) => {
  const until = performance.now() + withinMs;
  for (;;) {
    const all = await self.registration.getNotifications();
    if (all.length === count || performance.now() > until) return all.length;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
"""

# In a service worker: a click that no person made. Only a real one may open windows, so their addresses are noted.
CLICK = """
async (action) => {
  const [notification] = await self.registration.getNotifications();
  const opened = [];
  Object.defineProperty(self.clients, "openWindow", {
    configurable: true,
    value: async (address) => void opened.push(address),
  });
  const event = new NotificationEvent("notificationclick", { notification, action });
  const work = [];
  event.waitUntil = (promise) => work.push(promise);
  self.dispatchEvent(event);
  await Promise.all(work);
  return opened;
}
"""

# In a service worker: the push service gave this browser another address.
CHANGE_SUBSCRIPTION = """
async () => {
  const endpoint = "https://updates.push.services.mozilla.com/wpush/v2/new";
  const keys = { p256dh: btoa(String.fromCharCode(4, ...new Array(64).fill(9))).slice(0, 87), auth: "A".repeat(22) };
  const work = [];
  const event = Object.assign(new Event("pushsubscriptionchange"), {
    oldSubscription: null,
    newSubscription: { endpoint, toJSON: () => ({ endpoint, keys }) },
    waitUntil: (promise) => work.push(promise),
  });
  self.dispatchEvent(event);
  await Promise.all(work);
}
"""

# What is kept for pages and worker alike, under a key; with `change` (fields, or a whole value), changed first.
KEPT = """
([key, change]) => new Promise((resolve, reject) => {
  const opening = indexedDB.open("eyeline");
  opening.onerror = () => reject(opening.error);
  opening.onsuccess = () => {
    const database = opening.result;
    const store = database.transaction("kept", "readwrite").objectStore("kept");
    const reading = store.get(key);
    reading.onsuccess = () => {
      const value = reading.result ?? null;
      const next = !change || Array.isArray(change) ? (change ?? value) : { ...value, ...change };
      if (change) store.put(next, key);
      store.transaction.oncomplete = () => (database.close(), resolve(next));
    };
  };
})
"""

AGE_TOKEN = """
(key) => localStorage.setItem(key, JSON.stringify({ ...JSON.parse(localStorage.getItem(key)), access_token: "old" }))
"""
