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

UFRAGS = """
[eyeline.pc.currentLocalDescription, eyeline.pc.currentRemoteDescription]
  .map(({ sdp }) => /ice-ufrag:(.*)/.exec(sdp)[1])
"""

RESTART_ICE = """
async ({ withinMs }) => {
  const { pc } = window.eyeline;
  const until = performance.now() + withinMs;
  const ufrags = () =>
    [pc.currentLocalDescription, pc.currentRemoteDescription].map(({ sdp }) => /ice-ufrag:(.*)/.exec(sdp)[1]);
  const before = ufrags();
  pc.restartIce();
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    const isNew = ufrags().every((ufrag) => !before.includes(ufrag));
    if (isNew && pc.signalingState === "stable" && pc.connectionState === "connected") return;
    if (performance.now() > until) throw new Error([pc.signalingState, pc.connectionState, ...ufrags()].join(", "));
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
