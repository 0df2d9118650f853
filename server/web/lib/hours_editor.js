/**
 * The weekly hours in which a volunteer may be woken: rows of days with a beginning and an end.
 *
 * An end at 00:00 is the end of that day (24:00 for the server); an end before the beginning runs over midnight.
 */
import { ApiError } from "./api.js";
import { say, weekdays } from "./words.js";

const USUAL = { days: [1, 2, 3, 4, 5, 6, 7], from: "08:00", to: "21:00" };

export class HoursEditor {
  #page;
  #availability;
  #rows = document.getElementById("hours");
  #saved = document.getElementById("hours-saved");

  constructor(page, availability) {
    this.#page = page;
    this.#availability = availability;
    document.getElementById("add-hours").addEventListener("click", () => {
      const row = this.#row(USUAL);
      this.#rows.append(row);
      row.querySelector("input").focus();
    });
    document.getElementById("hours-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#save();
    });
    this.#rows.addEventListener("input", () => this.#show(""));
  }

  async load(timeZone) {
    document.getElementById("time-zone").textContent = say("time_zone", { zone: timeZone });
    try {
      await this.#availability.load();
      this.#rows.replaceChildren(...this.#availability.weekly.map((hours) => this.#row(hours)));
    } catch {
      this.#show(say("hours_not_loaded"));
    }
  }

  async #save() {
    const weekly = Array.from(this.#rows.children, read).filter((hours) => hours.days.length);
    try {
      await this.#availability.setWeekly(weekly);
      this.#show(say("hours_saved"));
      this.#page.speak(say("hours_saved"));
    } catch (error) {
      const words = say(error instanceof ApiError && error.status === 400 ? "hours_wrong" : "not_saved");
      this.#show(words);
      this.#page.speak(words, { urgent: true });
    }
  }

  #show(words) {
    this.#saved.textContent = words;
  }

  #row({ days, from, to }) {
    const row = document.createElement("fieldset");
    const legend = document.createElement("legend");
    legend.textContent = say("hours_row");
    const [short, long] = [weekdays("short"), weekdays("long")];
    const boxes = short.map((name, index) => dayBox(index + 1, name, long[index], days.includes(index + 1)));
    const week = document.createElement("div");
    week.className = "days";
    week.append(...boxes);
    const times = document.createElement("div");
    times.className = "row";
    const end = to === "24:00" ? "00:00" : to;
    times.append(timeField("from", say("from"), from), timeField("to", say("to"), end), this.#remover(row));
    row.append(legend, week, times);
    return row;
  }

  #remover(row) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet";
    button.textContent = say("remove_hours");
    button.addEventListener("click", () => {
      row.remove();
      document.getElementById("add-hours").focus();
    });
    return button;
  }
}

function dayBox(day, name, fullName, checked) {
  const label = document.createElement("label");
  const box = document.createElement("input");
  box.type = "checkbox";
  box.value = String(day);
  box.checked = checked;
  box.setAttribute("aria-label", fullName);
  const text = document.createElement("span");
  text.textContent = name;
  label.append(box, text);
  return label;
}

function timeField(name, words, value) {
  const label = document.createElement("label");
  const field = document.createElement("input");
  field.type = "time";
  field.name = name;
  field.required = true;
  field.value = value;
  label.append(words, " ", field);
  return label;
}

function read(row) {
  const days = Array.from(row.querySelectorAll("input[type=checkbox]:checked"), (box) => Number(box.value));
  const time = (name) => row.querySelector(`input[name=${name}]`).value.slice(0, 5);
  return { days, from: time("from"), to: time("to") === "00:00" ? "24:00" : time("to") };
}
