/** The people a requester trusts: groups, who is in them, and invites to pass on. */
import { ApiError, NetworkError } from "./api.js";
import { button, element } from "./elements.js";
import { say, when } from "./words.js";

export class GroupsEditor {
  #page;
  #trusted;
  #list = document.getElementById("groups");
  #name = document.getElementById("group-name");
  #said = document.getElementById("people-said");
  #invites = new Map();

  constructor(page, trusted) {
    this.#page = page;
    this.#trusted = trusted;
    trusted.on("changed", () => this.#show());
    document.getElementById("group-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#make(this.#name.value.trim());
    });
  }

  forget() {
    this.#invites.clear();
    this.#name.value = "";
    this.#said.textContent = "";
  }

  // What is shown.

  #show() {
    this.#list.replaceChildren(...this.#trusted.groups.map((group) => this.#group(group)));
  }

  #group(group) {
    const { id, name, members } = group;
    const shown = element("div", { kind: "group", id: `group-${id}` });
    const people = element("ul", { kind: "people" }, ...members.map((member) => this.#member(group, member)));
    shown.append(
      element("h4", { text: name, tabindex: "-1" }),
      members.length ? people : element("p", { text: say("group_empty"), kind: "hint" }),
      ...this.#invite(group),
      element(
        "div",
        { kind: "row" },
        button(say("invite_somebody"), () => this.#makeInvite(group), { label: say("invite_to", { name }) }),
        button(say("dissolve"), () => this.#dissolve(group), { label: say("dissolve_group", { name }), kind: "quiet" }),
      ),
      this.#direct(group),
    );
    return shown;
  }

  #member(group, member) {
    const name = member.display_name ?? say("somebody_since", { when: when(member.joined_at) });
    const asked = member.state === "active" ? "" : ` ${say("member_unavailable")}`;
    const label = say("remove_from_group", { member: name, name: group.name });
    const remove = button(say("remove"), () => this.#remove(group, member, name), { label, kind: "quiet" });
    return element("li", {}, element("span", { text: `${name}${asked}` }), remove);
  }

  /** Whether addresses may be known among these people; a line says what that means. */
  #direct(group) {
    const hint = `direct-${group.id}`;
    const box = element("input", { type: "checkbox", "aria-describedby": hint });
    box.checked = group.direct === true;
    box.addEventListener("change", () => this.#setDirect(group, box));
    const label = element("label", { kind: "check" }, box, element("span", { text: say("direct_switch") }));
    return element("div", {}, label, element("p", { id: hint, kind: "hint", text: say("direct_hint") }));
  }

  #invite(group) {
    if (!group.open_invites) this.#invites.delete(group.id); // used, or void
    const invite = this.#invites.get(group.id);
    const open = element(
      "div",
      { kind: "row" },
      element("span", { text: say("invites_open", { count: group.open_invites }) }),
      button(say("withdraw_invites"), () => this.#withdraw(group), { label: say("withdraw_named", group), kind: "quiet" }),
    );
    return [invite && this.#code(group, invite), group.open_invites && open].filter(Boolean);
  }

  /** The code for the eye and for the ear, the link to pass on. */
  #code(group, { code, url, expires_at: expiresAt }) {
    const link = element("input", { readonly: "", value: url, "aria-label": say("invite_link") });
    link.addEventListener("focus", () => link.select());
    const actions = element("div", { kind: "row" }, button(say("copy_link"), () => this.#copy(link)));
    if (navigator.share) actions.append(button(say("share_link"), () => this.#share(url)));
    const spoken = element("span", { text: spelled(code), kind: "visually-hidden" });
    return element(
      "div",
      { kind: "invite" },
      element("h5", { text: say("invite_title", { name: group.name }), tabindex: "-1" }),
      element("p", { text: say("invite_for", { when: when(expiresAt) }) }),
      element("p", { kind: "code" }, element("span", { text: inTwo(code), "aria-hidden": "true" }), spoken),
      link,
      actions,
    );
  }

  // What is done.

  async #make(name) {
    if (!name) return;
    await this.#try(async () => {
      await this.#trusted.make(name);
      this.#name.value = "";
      this.#say(say("group_made", { name }));
      this.#focus(this.#trusted.groups.at(-1)?.id, "h4");
    });
  }

  async #makeInvite(group) {
    await this.#try(async () => {
      const invite = await this.#trusted.invite(group);
      this.#invites.set(group.id, invite);
      this.#show();
      this.#said.textContent = ""; // the code is shown, and goes when it is used
      this.#page.speak(say("invite_made", { code: spelled(invite.code) }));
      this.#focus(group.id, "h5");
    });
  }

  async #setDirect(group, box) {
    const direct = box.checked;
    await this.#try(async () => {
      await this.#trusted.setDirect(group, direct);
      this.#say(say(direct ? "direct_on" : "direct_off", { name: group.name }));
      this.#focus(group.id, "input[type=checkbox]");
    });
    box.checked = group.direct === true; // of a list that was drawn anew this one is gone
  }

  async #withdraw(group) {
    await this.#try(async () => {
      this.#invites.delete(group.id);
      await this.#trusted.withdrawInvites(group);
      this.#say(say("invites_withdrawn"));
      this.#focus(group.id, "h4");
    });
  }

  async #remove(group, member, name) {
    await this.#try(async () => {
      await this.#trusted.removeMember(group, member);
      this.#say(say("member_removed", { member: name, name: group.name }));
      this.#focus(group.id, "h4");
    });
  }

  async #dissolve(group) {
    if (!confirm(say("dissolve_really", { name: group.name }))) return;
    await this.#try(async () => {
      await this.#trusted.dissolve(group);
      this.#say(say("group_dissolved", { name: group.name }));
      this.#name.focus();
    });
  }

  async #copy(link) {
    try {
      await navigator.clipboard.writeText(link.value);
      this.#say(say("link_copied"));
    } catch {
      link.focus(); // selected, to be copied by hand
      this.#say(say("link_not_copied"));
    }
  }

  async #share(url) {
    try {
      await navigator.share({ text: say("invite_text"), url });
    } catch (error) {
      if (error.name !== "AbortError") this.#say(say("not_done"));
    }
  }

  async #try(work) {
    try {
      await work();
    } catch (error) {
      this.#say(why(error), { urgent: true });
    }
  }

  #say(words, options) {
    this.#said.textContent = words;
    this.#page.speak(words, options);
  }

  #focus(groupId, selector) {
    document.getElementById(`group-${groupId}`)?.querySelector(selector)?.focus();
  }
}

function why(error) {
  if (error instanceof NetworkError) return say("no_server");
  if (error instanceof ApiError && error.code === "limit_reached") return say("limit_reached");
  if (error instanceof ApiError && error.status === 429) return say("too_fast");
  return say("not_done");
}

function inTwo(code) {
  return `${code.slice(0, code.length / 2)} ${code.slice(code.length / 2)}`;
}

/** One sign after another, so that a voice spells and does not read. */
function spelled(code) {
  return [...code].join(" ");
}
