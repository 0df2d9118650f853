/** The volunteer's wishes about the requester's camera (the contract's `control`): done where the device can, and told. */

/** Gives the key of the words that say what became of it. */
export async function fulfil(media, { name, value }) {
  if (name === "torch") return (await tried(media.setTorch(value))) ? `torch_${value ? "on" : "off"}` : "torch_missing";
  if (name === "zoom") return (await tried(media.setZoom(value))) ? "zoom_changed" : "zoom_missing";
  return "photo_wish";
}

/** A camera that says it can and then cannot is a camera that cannot. */
async function tried(change) {
  try {
    return await change;
  } catch {
    return false;
  }
}
