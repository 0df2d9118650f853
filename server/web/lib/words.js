/**
 * Words in the person's language: picks the catalogue, fills the page, formats numbers, languages and lists.
 *
 * `?lang=da` chooses by hand. `lang` and `dir` of the document follow, so that screen readers speak with the right voice.
 */
import { CATALOGUES } from "./catalogue.js";

const RIGHT_TO_LEFT = new Set(["ar", "arc", "ckb", "dv", "fa", "he", "ks", "ps", "sd", "syr", "ug", "ur", "yi"]);

function chosen() {
  const wished = [new URLSearchParams(location.search).get("lang"), ...navigator.languages];
  for (const tag of wished) {
    const base = baseLanguage(tag ?? "");
    if (CATALOGUES[base]) return base;
  }
  return "en";
}

/** The language of these words (a key of the catalogue). */
export const locale = chosen();
const words = CATALOGUES[locale];
const plurals = new Intl.PluralRules(locale);
const numbers = new Intl.NumberFormat(locale);

/** The word for `key`, with `{name}` filled from `params`; a `count` in them chooses between plural forms. */
export function say(key, params = {}) {
  const entry = words[key] ?? CATALOGUES.en[key] ?? key;
  const text = typeof entry === "string" ? entry : (entry[plurals.select(params.count)] ?? entry.other);
  return text.replace(/\{(\w+)\}/g, (_, name) => {
    const value = params[name];
    return typeof value === "number" ? numbers.format(value) : String(value ?? "");
  });
}

/** As `say`; a call without a picture has words of its own: `<key>_voice`, `<key>_text`. */
export function sayOf(mode, key, params = {}) {
  return say(mode === "video" ? key : `${key}_${mode}`, params);
}

export function hasWord(key) {
  return key in words;
}

/** "pt-BR" -> "pt"; anything that is no language tag gives an empty string. */
export function baseLanguage(tag) {
  try {
    return new Intl.Locale(tag).language;
  } catch {
    return "";
  }
}

const languageNames = new Intl.DisplayNames(locale, { type: "language" });

/** "da-DK" -> "Danish". */
export function languageName(tag) {
  const base = baseLanguage(tag);
  return base ? languageNames.of(base) : tag;
}

/** "Danish or English". */
export function languageList(tags) {
  const names = [...new Set(tags.map(languageName))];
  return new Intl.ListFormat(locale, { type: "disjunction" }).format(names);
}

/** "12 seconds", "1 minute 5 seconds". */
export function duration(seconds) {
  const minutes = Math.floor(seconds / 60);
  const rest = Math.floor(seconds % 60);
  if (!minutes) return say("seconds", { count: rest });
  return rest ? `${say("minutes", { count: minutes })} ${say("seconds", { count: rest })}` : say("minutes", { count: minutes });
}

const moments = new Intl.DateTimeFormat(locale, { weekday: "long", day: "numeric", month: "long", hour: "2-digit", minute: "2-digit" });

/** A moment on the clock of whoever reads it: "Monday, November 30 at 09:00 AM". */
export function when(moment) {
  return moments.format(Date.parse(moment));
}

/** Short weekday names, Monday (1) first. */
export function weekdays(style = "short") {
  const format = new Intl.DateTimeFormat(locale, { weekday: style, timeZone: "UTC" });
  return [1, 2, 3, 4, 5, 6, 7].map((day) => format.format(Date.UTC(2024, 0, day))); // 1 January 2024 was a Monday
}

/** Puts words on every element that names them by `data-words` (text), `data-label` or `data-placeholder`. */
export function fillPage(root = document) {
  document.documentElement.lang = locale;
  document.documentElement.dir = RIGHT_TO_LEFT.has(locale) ? "rtl" : "ltr";
  for (const element of root.querySelectorAll("[data-words]")) element.textContent = say(element.dataset.words);
  for (const element of root.querySelectorAll("[data-label]")) element.setAttribute("aria-label", say(element.dataset.label));
  for (const element of root.querySelectorAll("[data-placeholder]")) element.placeholder = say(element.dataset.placeholder);
}
