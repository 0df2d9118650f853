/** The languages a volunteer helps in: each with a way to remove it, and a list to add from. Saved at every change. */
import { CODES } from "./language_codes.js";
import { baseLanguage, languageName, locale, say } from "./words.js";

export class LanguagesEditor {
  #page;
  #api;
  #tags = [];
  #list = document.getElementById("languages");
  #choice = document.getElementById("add-language");

  constructor(page, api) {
    this.#page = page;
    this.#api = api;
    document.getElementById("language-form").addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#choice.value) this.#save([...this.#tags, this.#choice.value]);
    });
  }

  show(tags) {
    this.#tags = tags;
    this.#list.replaceChildren(...tags.map((tag) => this.#chip(tag)));
    const known = new Set(tags.map(baseLanguage));
    const collator = new Intl.Collator(locale);
    const options = CODES.filter((code) => !known.has(code))
      .map((code) => new Option(languageName(code), code))
      .sort((one, other) => collator.compare(one.text, other.text));
    this.#choice.replaceChildren(...options);
  }

  #chip(tag) {
    const item = document.createElement("li");
    const name = document.createElement("span");
    name.textContent = languageName(tag);
    const remove = document.createElement("button");
    remove.type = "button";
    remove.className = "quiet";
    remove.textContent = say("remove");
    remove.setAttribute("aria-label", say("remove_language", { language: languageName(tag) }));
    remove.disabled = this.#tags.length === 1; // who speaks nothing can be rung for nobody
    remove.addEventListener("click", () => this.#save(this.#tags.filter((other) => other !== tag)));
    item.append(name, remove);
    return item;
  }

  async #save(tags) {
    try {
      const reply = await this.#api.patch("/v1/me", { languages: tags });
      this.show((reply.user ?? reply).languages);
      this.#page.speak(say("languages_saved"));
    } catch {
      this.#page.speak(say("not_saved"), { urgent: true });
      this.#page.status(say("not_saved"));
    }
    this.#choice.focus();
  }
}
