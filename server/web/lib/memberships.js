/**
 * What a volunteer is in: groups of people who trust them, desks they answer for; and joining by an invite.
 *
 * A link `#invite=CODE` fills in the code: to join, somebody still has to say so.
 */
import { ApiError, NetworkError } from "./api.js";
import { button, element } from "./elements.js";
import { Trusted } from "./trusted.js";
import { say } from "./words.js";

const IN_ADDRESS = /^#invite=([0-9A-Za-z-]{8,32})$/;

export class Memberships {
  #page;
  #trusted;
  #list = document.getElementById("memberships");
  #code = document.getElementById("invite-code");
  #said = document.getElementById("memberships-said");
  #joining = document.getElementById("join");
  #invited = false;

  constructor(page, api) {
    this.#page = page;
    this.#trusted = new Trusted(api);
    this.#trusted.on("changed", () => this.#show());
    document.getElementById("invite-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#join(this.#code.value.trim());
    });
    addEventListener("hashchange", () => this.#takeFromAddress());
    this.#takeFromAddress();
  }

  load() {
    return this.#trusted.load();
  }

  /** Brings an invite that was opened before the person, once, when the page has nothing else to ask of them. */
  offer() {
    if (!this.#invited || !this.#joining.checkVisibility()) return;
    this.#invited = false;
    this.#say(say("invited"));
    this.#joining.focus();
  }

  forget() {
    this.#trusted.forget();
    this.#code.value = "";
    this.#said.textContent = "";
  }

  /** The address forgets the code: it is worth something, and stays in a history. */
  #takeFromAddress() {
    const found = IN_ADDRESS.exec(location.hash);
    if (!found) return;
    history.replaceState(null, "", location.pathname + location.search);
    [, this.#code.value] = found;
    this.#invited = true;
    this.offer();
  }

  #show() {
    const groups = this.#trusted.groups.map((group) => this.#item(groupWords(group), () => this.#trusted.leaveGroup(group)));
    const desks = this.#trusted.desks
      .filter((desk) => desk.member_id)
      .map((desk) => this.#item(say("desk_named", desk), () => this.#trusted.leaveDesk(desk)));
    this.#list.replaceChildren(...groups, ...desks);
    this.#list.hidden = !this.#list.children.length;
  }

  #item(name, leave) {
    const leaving = button(say("leave"), () => this.#leave(name, leave), { label: say("leave_named", { name }), kind: "quiet" });
    return element("li", {}, element("span", { text: name }), leaving);
  }

  async #join(code) {
    if (!code) return;
    try {
      const name = await this.#trusted.join(code);
      this.#code.value = "";
      this.#say(say("joined", { name }));
    } catch (error) {
      this.#say(whyNotJoined(error), { urgent: true });
      this.#code.focus();
    }
  }

  async #leave(name, leave) {
    try {
      await leave();
      this.#say(say("left_group", { name }));
      this.#code.focus();
    } catch (error) {
      this.#say(say(error instanceof NetworkError ? "no_server" : "not_done"), { urgent: true });
    }
  }

  #say(words, options) {
    this.#said.textContent = words;
    this.#page.speak(words, options);
  }
}

function groupWords({ name, owner_name: owner, direct }) {
  const named = owner ? say("group_of", { name, owner }) : name;
  return direct ? `${named} (${say("group_direct")})` : named;
}

function whyNotJoined(error) {
  if (error instanceof NetworkError) return say("no_server");
  if (!(error instanceof ApiError)) return say("not_done");
  const known = { not_found: "invite_not_valid", limit_reached: "group_full", too_fast: "too_fast" };
  return say(known[error.code] ?? "not_done");
}
