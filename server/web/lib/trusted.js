/**
 * The groups and desks a person can turn to, as the server has them. Every change reads them anew.
 *
 * Event: `changed`, when `groups` and `desks` were read.
 */
import { Emitter } from "./emitter.js";

export class Trusted extends Emitter {
  groups = [];
  desks = [];
  #api;

  constructor(api) {
    super();
    this.#api = api;
  }

  /** Keeps what is known when one of them cannot be read: asking anybody works without. */
  async load() {
    const [groups, desks] = await Promise.allSettled([this.#api.get("/v1/groups"), this.#api.get("/v1/desks")]);
    if (groups.status === "fulfilled") this.groups = groups.value.groups;
    if (desks.status === "fulfilled") this.desks = desks.value.desks;
    this.emit("changed");
  }

  forget() {
    this.groups = [];
    this.desks = [];
    this.emit("changed");
  }

  // Of a requester. All throw `ApiError` or `NetworkError`.

  async make(name) {
    await this.#api.post("/v1/groups", { name });
    await this.load();
  }

  /** Whether the group's people connect without a relay. */
  async setDirect(group, direct) {
    await this.#api.patch(`/v1/groups/${group.id}`, { name: group.name, direct });
    await this.load();
  }

  async dissolve(group) {
    await this.#api.call("DELETE", `/v1/groups/${group.id}`);
    await this.load();
  }

  /** Gives `{code, url, expires_at}`. */
  async invite(group) {
    const invite = await this.#api.post(`/v1/groups/${group.id}/invites`);
    await this.load();
    return invite;
  }

  async withdrawInvites(group) {
    await this.#api.call("DELETE", `/v1/groups/${group.id}/invites`);
    await this.load();
  }

  async removeMember(group, member) {
    await this.#api.call("DELETE", `/v1/groups/${group.id}/members/${member.member_id}`);
    await this.load();
  }

  // Of a volunteer.

  /** Gives the name of what was joined. */
  async join(code) {
    const { group, desk } = await this.#api.post(`/v1/invites/${encodeURIComponent(code)}/accept`, {}, { repeatable: true });
    await this.load();
    return (group ?? desk).name;
  }

  async leaveGroup(group) {
    await this.#leave(`/v1/groups/${group.id}/members/${group.member_id}`);
  }

  async leaveDesk(desk) {
    await this.#leave(`/v1/desks/${desk.id}/agents/${desk.member_id}`);
  }

  async #leave(path) {
    try {
      await this.#api.call("DELETE", path);
    } catch (error) {
      if (error.status !== 404) throw error; // out already
    }
    await this.load();
  }
}
