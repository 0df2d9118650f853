/** Elements made in code. */

/** A button; `label` is its name where its words alone do not say what it is about. */
export function button(words, onClick, { label = null, kind = "" } = {}) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = kind;
  made.textContent = words;
  if (label) made.setAttribute("aria-label", label);
  made.addEventListener("click", onClick);
  return made;
}

export function element(tag, { text = "", kind = "", ...attributes } = {}, ...children) {
  const made = document.createElement(tag);
  made.className = kind;
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}
