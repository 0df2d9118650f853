/** `window.eyeline`: what is live on this page, to look at (tests do), not to change. */
export function expose(socket, calls = null) {
  window.eyeline = {
    socket,
    get call() {
      return calls?.current ?? null;
    },
    /** The live RTCPeerConnection, or null. */
    get pc() {
      return calls?.current?.pc ?? null;
    },
  };
}
