/**
 * Whom to ask: anybody, people one trusts, or a desk; and whether others are asked too when they do not come.
 *
 * The choice is kept in this browser: who never wants strangers must not meet one after a reload. What is chosen and gone
 * is asked for all the same, and refused with words.
 */
import { say, when } from "./words.js";

const KEPT = "eyeline.whom";
const OTHERS_AFTER_S = 30;

export class Whom {
  #trusted;
  #whom = document.getElementById("whom");
  #others = document.getElementById("others");
  #hint = document.getElementById("help-hint");
  #person = "";
  #choice = { whom: "", name: "", others: true };

  constructor(trusted) {
    this.#trusted = trusted;
    trusted.on("changed", () => this.#show());
    for (const control of [this.#whom, this.#others]) control.addEventListener("change", () => this.#chosen());
  }

  /** The choices of this person. */
  of(person) {
    this.#person = person;
    this.#choice = { whom: "", name: "", others: true, ...kept(`${KEPT}.${person}`) };
    this.#show();
  }

  anybody() {
    this.#keep({ whom: "", name: "", others: true });
    this.#show();
  }

  /** The name of what is chosen; empty for anybody. */
  get name() {
    return this.#choice.name;
  }

  /** What a request says of it. */
  get wish() {
    const [kind, id] = this.#choice.whom.split(":");
    if (!id) return {};
    return { [`${kind}_id`]: id, then_public_after_s: this.#choice.others ? OTHERS_AFTER_S : null };
  }

  #chosen() {
    const whom = this.#whom.value;
    this.#keep({ whom, name: this.#names().get(whom) ?? this.#choice.name, others: this.#others.value === "others" });
    this.#show();
  }

  #keep(choice) {
    this.#choice = choice;
    try {
      localStorage.setItem(`${KEPT}.${this.#person}`, JSON.stringify(choice));
    } catch (error) {
      console.info("the choice is not kept:", error.name); // a private window
    }
  }

  #show() {
    const { whom, name, others } = this.#choice;
    const closed = new Map(this.#trusted.desks.filter((desk) => !desk.open).map((desk) => [`desk:${desk.id}`, desk]));
    const names = this.#names();
    if (!names.has(whom)) names.set(whom, name); // not read yet, or gone
    const options = Array.from(names, ([value, words]) => new Option(optionWords(words, closed.get(value)), value));
    this.#whom.replaceChildren(...options);
    this.#whom.value = whom;
    this.#others.value = others ? "others" : "nobody";
    document.getElementById("whom-choice").hidden = options.length === 1;
    document.getElementById("others-choice").hidden = !whom;
    this.#hint.textContent = this.#words(closed.get(whom));
  }

  #names() {
    const { groups, desks } = this.#trusted;
    return new Map([
      ["", say("whom_anybody")],
      ...groups.map(({ id, name }) => [`group:${id}`, name]),
      ...desks.map(({ id, name }) => [`desk:${id}`, name]),
    ]);
  }

  #words(closedDesk) {
    const { whom, name, others } = this.#choice;
    if (!whom) return say("help_hint");
    const words = say(others ? "help_hint_first" : "help_hint_only", { name, seconds: OTHERS_AFTER_S });
    return closedDesk ? `${words} ${closedWords(closedDesk.opens_at)}` : words;
  }
}

/** In words, when a closed desk opens next, on the clock of whoever reads it. */
export function closedWords(opensAt) {
  return opensAt ? say("desk_closed", { when: when(opensAt) }) : say("desk_closed_for_good");
}

function optionWords(name, closedDesk) {
  return closedDesk ? say("desk_option_closed", { name }) : name;
}

function kept(key) {
  try {
    return JSON.parse(localStorage.getItem(key)) ?? {};
  } catch {
    return {};
  }
}
