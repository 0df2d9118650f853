/** A photo of what the camera sees, as fine as the device can, and without a word about who took it where. */
import { PHOTO_BYTES_AT_MOST } from "./photo_channel.js";

const QUALITIES = [0.92, 0.8, 0.6];

/** Gives a JPEG. Drawing it anew leaves the picture and nothing else: no place, no time, no device (EXIF). */
export async function takePhoto(track) {
  const picture = await capture(track);
  try {
    const canvas = document.createElement("canvas");
    canvas.width = picture.width;
    canvas.height = picture.height;
    canvas.getContext("2d").drawImage(picture, 0, 0);
    return await encoded(canvas);
  } finally {
    picture.close();
  }
}

async function capture(track) {
  if ("ImageCapture" in window) {
    try {
      return await createImageBitmap(await new ImageCapture(track).takePhoto(), { imageOrientation: "from-image" });
    } catch (error) {
      console.info("the camera takes no photo of its own:", error.name); // then one of its frames, as large as they come
    }
  }
  return grab(track);
}

async function grab(track) {
  const settings = track.getSettings();
  const { width, height } = track.getCapabilities?.() ?? {};
  if (width?.max > settings.width) await track.applyConstraints({ width: { ideal: width.max }, height: { ideal: height.max } });
  const video = document.createElement("video");
  try {
    video.muted = true;
    video.playsInline = true;
    video.srcObject = new MediaStream([track]);
    await video.play();
    return await createImageBitmap(video);
  } finally {
    video.srcObject = null;
    if (width?.max > settings.width) {
      await track.applyConstraints({ width: { ideal: settings.width }, height: { ideal: settings.height } });
    }
  }
}

async function encoded(canvas) {
  let blob = null;
  for (const quality of QUALITIES) {
    blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", quality));
    if (blob && blob.size <= PHOTO_BYTES_AT_MOST) return blob;
  }
  throw new Error(blob ? "the photo is too large" : "the photo could not be encoded");
}
