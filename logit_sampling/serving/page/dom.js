// Elements, numbers as text, and the few habits that all parts of the page share.

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter(child => child !== null && child !== undefined));
  return element;
}

// A text among the children is a text, whatever it says: what a model writes is never markup.
export const make = (tag, attributes = {}, ...children) =>
  fill(document.createElement(tag), attributes, children);
export const draw = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
export const part = id => document.getElementById(id);

export const LETTERS = ["A", "B"];

const counts = new Intl.NumberFormat("en");
export const counted = (number, what) => `${counts.format(number)} ${what}${number === 1 ? "" : "s"}`;

// A probability to three digits. What is shown is rounded; what it was stays in the attributes.
export function percent(probability) {
  const value = probability * 100;
  if (value === 0) return "0 %";
  if (value >= 99.95) return "100 %";
  if (value >= 10) return `${value.toFixed(1)}\u00a0%`;
  if (value >= 0.1) return `${value.toFixed(2)}\u00a0%`;
  if (value >= 0.01) return `${value.toFixed(3)}\u00a0%`;
  return value < 1e-99 ? "≈ 0 %" : `${value.toExponential(0).replace("e-", "e−")}\u00a0%`;
}
export const chance = logProbability =>
  logProbability === null || logProbability === undefined ? 0 : Math.exp(logProbability);

// A number of the server, rounded for the eye and whole for the title and for other programs.
export function number(value, text, what = "") {
  if (value === null || value === undefined) return make("span", { class: "number" }, text);
  return make("span", { class: "number", "data-value": String(value), title: `${what}${what ? " " : ""}${value}` }, text);
}

// What is wrong with a line, without the line, which stands beside it.
export const brief = error => error.replace(/^sampler (['"]).*?\1: /s, "").replace(/; known: .*/s, "");

// What the page says aloud, once, to those who cannot see it change.
export function announce(text) {
  part("said").textContent = text;
}

let hide = 0;
export function notice(text, action = null) {
  const box = part("notice");
  box.replaceChildren(make("span", {}, text));
  if (action) box.append(make("button", { type: "button", onclick: () => { box.hidden = true; action.run(); } }, action.name));
  box.append(make("button", { type: "button", class: "plain", "aria-label": "Close this message", onclick: () => { box.hidden = true; } }, "✕"));
  box.hidden = false;
  clearTimeout(hide);
  hide = setTimeout(() => { box.hidden = true; }, action ? 12000 : 5000);
}

export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    notice(`${what} copied.`);
  } catch {
    const field = make("textarea", { "aria-label": what }, text); // where the clipboard may not be used
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    notice(done ? `${what} copied.` : "The browser does not let the page copy.");
  }
}

export function save(name, blob) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
