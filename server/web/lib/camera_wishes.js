/**
 * The volunteer's wishes about the requester's camera (the contract's `control`): done where the device can, said here, and
 * reported there (`control_state`). A photo is asked for; see `PhotoGiver`.
 */
import { say } from "./words.js";

const WISH_SHOWN_MS = 10_000;

export class CameraWishes {
  #page;
  #media;
  #photo;

  constructor(page, media, photo) {
    this.#page = page;
    this.#media = media;
    this.#photo = photo;
  }

  follow(call) {
    this.#photo.follow(call);
    call.on("control", ({ name, value }) => {
      if (name === "photo") this.#photo.wished(value !== false);
      else if (name === "torch") this.#torch(call, value === true);
      else if (name === "zoom") this.#zoom(call, Number(value));
    });
  }

  async #torch(call, on) {
    const done = await tried(this.#media.setTorch(on));
    this.#tell(done ? `torch_${on ? "on" : "off"}` : "torch_missing");
    report(call, "torch", done ? on : null);
  }

  async #zoom(call, wish) {
    const before = this.#media.zoom ?? 1;
    const factor = await tried(this.#media.setZoom(wish));
    const missing = wish > before ? "zoom_missing_in" : "zoom_missing_out"; // then the person moves
    this.#tell(factor && factor !== before ? "zoom_changed" : missing);
    report(call, "zoom", factor || null);
  }

  #tell(words) {
    this.#page.notice(say(words), { forMs: WISH_SHOWN_MS });
  }
}

/** A camera that says it can and then cannot is a camera that cannot. */
async function tried(change) {
  try {
    return await change;
  } catch {
    return false;
  }
}

async function report(call, name, value) {
  try {
    await call.controlState(name, value, value !== null);
  } catch (error) {
    console.info(`what became of ${name} was not taken:`, error.code); // said aloud it was; the other side may ask again
  }
}
