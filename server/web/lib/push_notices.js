/**
 * What a push looks like as a notification. The words come from the server, in the person's language; a title alone, the
 * name, is shown where there are none. A wrong value never throws: whoever is woken and shows nothing is woken no more.
 */
const ICONS = { icon: "/static/icon-192.png", badge: "/static/badge-96.png" };
const BUZZ = [300, 150, 300, 600, 300, 150, 300];
const DIRECTIONS = ["ltr", "rtl"];

/** The payload, with its epoch as a number; null when it cannot be read. */
export function readPush(data) {
  try {
    const push = data.json();
    return typeof push?.type === "string" ? { ...push, epoch: Number(push.epoch) } : null;
  } catch {
    return null;
  }
}

/** Whether it speaks of one round of one request. */
export function isAboutRing(push) {
  return push?.v === "1" && typeof push.request_id === "string" && push.request_id !== "" && Number.isInteger(push.epoch);
}

/** As loud as the device allows, until it is answered or replaced. */
export function loud(push) {
  return notice(push, push, {
    renotify: true,
    requireInteraction: true,
    vibrate: BUZZ,
    actions: [
      { action: "answer", title: text(push.answer) },
      { action: "not_now", title: text(push.not_now) },
    ],
  });
}

/** Words to find later; they take the place of a ring with the same tag. */
export function quiet(push, words = push) {
  return notice(push, words, { silent: true });
}

/** Words that may be heard, once. */
export function plain(push) {
  return notice(push, push, {});
}

/** The same again, without a sound. */
export function repeated({ title, body, lang, dir, tag, actions, requireInteraction, data }) {
  return { title, options: { ...ICONS, body, lang, dir, tag, actions, requireInteraction, data, silent: true } };
}

function notice(push, words, manner) {
  const { type = "", request_id = "", epoch = 0, lang, dir, sent_at } = push ?? {};
  const sentAt = Date.parse(sent_at);
  return {
    title: text(words?.title) || "Eyeline",
    options: {
      ...ICONS,
      ...manner,
      body: text(words?.body),
      lang: text(lang),
      dir: DIRECTIONS.includes(dir) ? dir : "auto",
      tag: text(request_id),
      timestamp: Number.isNaN(sentAt) ? Date.now() : sentAt,
      data: { rings: manner.actions !== undefined, type, request_id, epoch },
    },
  };
}

function text(value) {
  return typeof value === "string" ? value : "";
}
