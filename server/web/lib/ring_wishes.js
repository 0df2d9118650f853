/**
 * What was pressed on a notification: told by the service worker, or by the address with which it opened this page.
 *
 * Event: `wish` ({type, request_id, epoch}, taken); types are `answer`, `ring` (to see it first), `not_now`, and for who
 * asked `free` (somebody is). Whoever hears it calls `taken`, or the worker sees to it itself.
 */
import { Emitter } from "./emitter.js";
import { noteRing } from "./ring_memory.js";

const IN_ADDRESS = /^#(answer|ring|free)=([0-9a-f-]{36})\.(\d+)$/;

export class RingWishes extends Emitter {
  /** To be called when somebody listens. */
  begin() {
    const found = IN_ADDRESS.exec(location.hash);
    if (found) {
      history.replaceState(null, "", location.pathname + location.search); // a reload must not answer again
      const [, type, id, epoch] = found;
      this.emit("wish", { type, request_id: id, epoch: Number(epoch) }, () => {});
    }
    navigator.serviceWorker?.addEventListener("message", ({ data, ports: [port] }) => {
      this.emit("wish", data, () => port?.postMessage("taken"));
    });
    navigator.serviceWorker?.startMessages();
  }
}

/** The ring ended on this page: its notification goes, and one that is still on its way will not ring. */
export async function ringOver({ request_id, epoch }) {
  if (!request_id) return; // a call of another kind
  await noteRing({ request_id, epoch }, { over: true });
  try {
    const registration = await navigator.serviceWorker?.getRegistration("/");
    for (const shown of (await registration?.getNotifications({ tag: request_id })) ?? []) {
      if (shown.data?.rings && shown.data.epoch <= epoch) shown.close();
    }
  } catch (error) {
    console.info("notifications stay:", error.message); // the server takes them back as well
  }
}
