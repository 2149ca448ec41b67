// One card of a chain: a strategy with its settings, and what its stage did to the distribution.

import { counted, make, number, percent } from "./dom.js";
import { strategyOf, systemName, titleOf, written } from "./lines.js";

const STEPS = 1000; // positions of a slider on a log scale
const bound = (open, value) => (value === null ? "" : `${open ? "more than" : "from"} ${value}`);
const above = (open, value) => (value === null ? "" : `${open ? "below" : "up to"} ${value}`);

// "from 0, below 1": the range as a text.
export function range(setting) {
  const parts = [bound(setting.open_low, setting.low), above(setting.open_high, setting.high)];
  return parts.filter(Boolean).join(", ");
}

function wrong(setting, value) {
  if (setting.kind === "integer" && !Number.isInteger(value)) return "a whole number is needed";
  const low = setting.low !== null && (setting.open_low ? value <= setting.low : value < setting.low);
  const high = setting.high !== null && (setting.open_high ? value >= setting.high : value > setting.high);
  return !Number.isFinite(value) ? "a number is needed" : low || high ? `it has to be ${range(setting)}` : "";
}

// A slider that moves in equal ratios where the scale is logarithmic.
function slider(setting, value, change) {
  const [low, high, step] = setting.slider;
  const scale = setting.log && low > 0;
  const toPlace = x => (scale ? STEPS * Math.log(Math.max(low, x) / low) / Math.log(high / low) : x);
  const fromPlace = x => {
    const exact = scale ? low * (high / low) ** (x / STEPS) : Number(x);
    const value = Number((Math.round(exact / step) * step).toPrecision(6));
    // An end that does not belong to the range is not to be had by the slider.
    if (setting.open_low && value <= setting.low) return Number((setting.low + step).toPrecision(6));
    if (setting.open_high && value >= setting.high) return Number((setting.high - step).toPrecision(6));
    return value;
  };
  const element = make("input", {
    type: "range",
    min: scale ? 0 : low,
    max: scale ? STEPS : high,
    step: scale ? 1 : step,
    "aria-label": `${setting.name}, slider`,
    oninput: () => {
      const next = fromPlace(element.value), way = Number(element.value) - element.at;
      // A place on is less than a step where the scale is fine: an arrow key still moves by one.
      change(next === element.of && way ? Math.max(low, Math.min(high, next + Math.sign(way) * step)) : next);
    },
  });
  element.put = x => {
    element.value = toPlace(x ?? low);
    Object.assign(element, { of: x, at: Number(element.value) });
    element.setAttribute("aria-valuetext", String(x ?? "default"));
  };
  element.put(value);
  return element;
}

function field(setting, card, prefix, change) {
  const id = `${prefix}-${setting.name}`;
  const now = () => card.values[setting.name];
  const told = make("small", { class: "wrong", id: `${id}-told` });
  const say = text => {
    told.textContent = text;
    input.toggleAttribute("aria-invalid", Boolean(text));
    if (text) input.setAttribute("aria-invalid", "true");
  };
  const set = value => {
    if (value === undefined) delete card.values[setting.name];
    else card.values[setting.name] = value;
    say("");
    change(setting.name);
  };
  const typed = () => {
    const text = input.value.trim();
    if (!text && input.validity.badInput) return say("a number is needed");
    if (!text) return setting.required ? say("a value is needed") : (moving?.put(undefined), set(undefined));
    if (setting.kind === "json") {
      try {
        return set(JSON.parse(text));
      } catch {
        return say("JSON is needed, such as [1, 2]");
      }
    }
    const value = Number(text), problem = wrong(setting, value);
    if (problem) return say(problem);
    moving?.put(value);
    return set(value);
  };
  const numeric = setting.kind === "number" || setting.kind === "integer";
  const input = setting.kind === "boolean"
    ? make("input", { type: "checkbox", id, checked: now() === true, onchange: () => set(input.checked) })
    : make("input", {
      id,
      type: numeric ? "number" : "text",
      step: setting.kind === "integer" ? 1 : "any",
      min: numeric ? setting.low : null,
      max: numeric ? setting.high : null,
      value: now() === undefined || now() === null ? "" : numeric ? String(now()) : written(now()),
      placeholder: setting.required ? null : "default",
      "aria-describedby": `${id}-told`,
      oninput: typed,
    });
  const moving = setting.slider && numeric
    ? slider(setting, now(), value => { input.value = String(value); moving.put(value); set(value); }) : null;
  const hint = [range(setting), setting.text].filter(Boolean).join("; ");
  const element = make("div", { class: `field ${setting.kind}`, "data-setting": setting.name },
    make("label", { for: id, title: hint }, setting.name), moving, input, told);
  element.put = value => {
    if (setting.kind === "boolean") input.checked = value === true;
    else input.value = value === undefined || value === null ? "" : numeric ? String(value) : written(value);
    moving?.put(value);
  };
  return element;
}

// What stands between backticks is code.
const marked = text => text.split("`").map((part, i) => (i % 2 ? make("code", {}, part) : part));

// `say` has {change, move(by), remove, drag}; `prefix` makes ids that occur once on the page.
export function cardOf(card, prefix, say) {
  const strategy = strategyOf(card);
  const effect = make("div", { class: "effect" });
  const handle = make("button", {
    type: "button",
    class: "handle",
    "aria-label": `Move ${strategy.name}: arrow keys up and down, or drag`,
    title: "Drag, or use the arrow keys",
    onkeydown: event => {
      const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
      if (by) { event.preventDefault(); say.move(by); }
    },
    onpointerdown: event => say.drag(event),
  }, "⠿");
  const button = (name, label, run) =>
    make("button", { type: "button", class: "plain", "aria-label": `${label} ${strategy.name}`, title: label, onclick: run }, name);
  const on = make("input", { type: "checkbox", checked: !card.off, "aria-label": `${strategy.name} is on`, title: "on or off", onchange: () => {
    card.off = !on.checked;
    element.classList.toggle("off", card.off);
    say.change();
  } });
  const elsewhere = strategy.systems.filter(system => system !== "default");
  const [first, ...others] = strategy.settings;
  const fields = setting => field(setting, card, prefix, say.change);
  const needed = others.filter(setting => setting.required), rest = others.filter(setting => !setting.required);
  const element = make("li", { class: `card${card.off ? " off" : ""}`, "data-switch": card.switch },
    make("div", { class: "title" }, handle, on, make("h3", { title: strategy.summary }, titleOf(strategy)),
      button("↑", "Move up", () => say.move(-1)), button("↓", "Move down", () => say.move(1)),
      button("✕", "Remove", say.remove)),
    fields(first), needed.map(fields),
    make("details", {}, make("summary", {}, rest.length ? `${counted(rest.length, "more setting")}, and what it does` : "What it does"),
      rest.map(fields), make("p", {}, marked(strategy.summary)),
      strategy.source ? make("p", { class: "note" }, strategy.source) : null,
      elsewhere.length ? make("p", { class: "note" }, `Also in ${elsewhere.map(systemName).join(", ")}.`) : null,
      strategy.memory ? make("p", { class: "note" }, "It learns from the draws; here it starts afresh at each token.") : null),
    effect);
  element.handle = handle;
  // `stage` is null where the card is on and has none, undefined where nothing is known.
  element.tell = stage => {
    effect.hidden = stage === undefined;
    if (stage) effect.replaceChildren(...effectOf(stage));
    else if (stage === null) effect.replaceChildren("Changes nothing: its value means off, or another card does it.");
  };
  element.idle = () => {
    effect.hidden = false;
    effect.replaceChildren("No effect: the likeliest token is taken, whatever this says.");
  };
  element.put = (name, value) => element.querySelector(`[data-setting="${name}"]`)?.put(value);
  element.tell(undefined);
  return element;
}

// What one stage did: tokens, mass and entropy, with the removed mass as a bar.
export function effectOf(stage) {
  const bar = make("span", { class: "mass", "aria-hidden": "true" }, make("i"));
  bar.firstChild.style.width = `${100 * Math.min(1, stage.removed_mass)}%`;
  const tokens = number(stage.tokens_after, stage.tokens_after.toLocaleString("en"), "tokens left:");
  const mass = number(stage.removed_mass, percent(stage.removed_mass), "mass removed:");
  const before = number(stage.entropy_before, stage.entropy_before.toFixed(2), "entropy before:");
  const after = number(stage.entropy_after, stage.entropy_after.toFixed(2), "entropy after:");
  [tokens, mass, before, after].forEach((each, i) =>
    each.setAttribute("data-what", ["tokens_after", "removed_mass", "entropy_before", "entropy_after"][i]));
  return [bar,
    make("span", {}, tokens, stage.tokens_after === 1 ? " token left" : " tokens left"),
    make("span", {}, mass, " of the mass removed"),
    make("span", {}, "entropy ", before, " → ", after, " nats")];
}
