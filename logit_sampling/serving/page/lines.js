// Chains of cards, and the line of text that says the same to the library.
//
// A chain is {on, greedy, cards, line}: `line` is null, or a line that the cards cannot say (one in
// the order of another system, say), which is passed on as it is. A card is {switch, values, off}.

let strategies = new Map(); // by the setting that switches each on
const names = new Map(); // what other systems call a setting -> what it is called here
let owners = new Map(); // the strategies that have a setting, by its name
export function learn(list) {
  strategies = new Map(list.map(strategy => [strategy.switch, strategy]));
  owners = new Map();
  for (const strategy of list) {
    for (const setting of strategy.settings) {
      owners.set(setting.name, [...(owners.get(setting.name) ?? []), strategy]);
      for (const alias of setting.aliases ?? []) names.set(alias, setting.name);
    }
  }
}
const SYSTEMS = { default: "Default order here", hf: "Hugging Face", vllm: "vLLM", "llama.cpp": "llama.cpp", keras_hub: "KerasHub" };
export const systemName = name => SYSTEMS[name] ?? name;
export const strategyOf = card => strategies.get(card.switch);
// Some strategies can be switched on in two ways, which are two cards.
export const titleOf = one => ([...strategies.values()].filter(other => other.name === one.name).length > 1
  ? `${one.name} (${one.switch})` : one.name);
export const known = () => [...strategies.values()];

export function freshCard(name) {
  const values = {};
  for (const setting of strategies.get(name).settings) {
    if (setting.required) values[setting.name] = setting.start;
  }
  return { switch: name, values, off: false };
}

export const written = value => (typeof value === "number" ? String(value) : JSON.stringify(value));

// The cards that are on and have no effect, because the likeliest token is taken: the temperature of
// a greedy chain, what follows a temperature of 0, and what keeps the likeliest token before it. The
// library refuses them, so they are left out of the line.
export function idle(chain) {
  const on = chain.cards.filter(card => !card.off);
  const ranged = on.some(card => card.switch === "dynatemp_range" && card.values.dynatemp_range !== 0);
  const heats = card => card.switch === "temperature";
  const zero = on.findIndex(card => heats(card) && card.values.temperature === 0);
  if (!chain.greedy && (zero < 0 || ranged)) return new Set();
  const found = new Set(chain.greedy ? on.filter(heats) : on.slice(zero + 1));
  const before = chain.greedy ? on.filter(card => !heats(card)) : on.slice(0, zero);
  while (before.length && strategyOf(before.at(-1)).keeps_best) found.add(before.pop());
  return found;
}
export function active(chain) {
  const without = idle(chain);
  return chain.cards.filter(card => !card.off && !without.has(card));
}

// The stage of each card that is on, and the stages that no card stands for. A card whose value
// means off has no stage, and neither has one that another card speaks for.
export function matched(chain, stages) {
  const rest = [...stages], own = new Map();
  for (const card of active(chain)) {
    const place = rest.findIndex(stage => stage.name.startsWith(`${strategyOf(card).name}(`));
    own.set(card, place < 0 ? null : rest.splice(place, 1)[0]);
  }
  return { own, rest };
}

// The settings of the cards that are on. A setting of several cards, such as repeat_last_n, is said once.
export function settingsOf(chain) {
  const said = new Map();
  for (const card of active(chain)) {
    for (const { name } of strategyOf(card).settings) {
      const value = card.values[name];
      if (chain.greedy && name === "temperature") continue;
      if (value !== undefined && value !== null && !said.has(name)) said.set(name, value);
    }
  }
  return [...said];
}

export function lineOf(chain, order = "written") {
  if (chain.line !== null) return order === "written" ? chain.line : reordered(chain.line, order);
  const settings = settingsOf(chain).map(([name, value]) => `${name}=${written(value)}`);
  if (!settings.length) return chain.greedy ? "greedy" : "sample";
  return [...(chain.greedy ? ["greedy"] : []), `order=${order}`, ...settings].join(" ");
}

// A line with another order, or null where it says more than settings.
function reordered(line, order) {
  const parts = partsOf(line);
  if (!parts || parts.some(([name, value]) => value === null && name !== "greedy" && name !== "sample")) return null;
  const words = parts.filter(([, value]) => value === null).map(([name]) => name);
  const settings = parts.filter(([name, value]) => value !== null && name !== "order").map(([name, , text]) => `${name}=${text}`);
  return [...words, `order=${order}`, ...settings].join(" ");
}

// Settings as a JSON object or as options of a command line, such as --top-k 40, as a line.
export function asLine(text) {
  const own = text.trim();
  if (own.startsWith("{")) {
    try {
      return Object.entries(JSON.parse(own)).filter(([, value]) => value !== null).map(([name, value]) => `${name}=${written(value)}`).join(" ");
    } catch {
      return own;
    }
  }
  if (!own.startsWith("--")) return own;
  return own.replace(/(^|\s)--([a-z][\w-]*)(?:\s+|=)(?!--)(\S+)/g, (_, before, name, value) => `${before}${name.replaceAll("-", "_")}=${value}`);
}

// [name, value, text of the value] for each part of a line, and [word, null] for a word alone; null
// if it is no line.
function partsOf(line) {
  const parts = [], name = /[\s,]*([^\s,=]+)(\s*=\s*)?/y;
  let place = 0;
  while (/[^\s,]/.test(line.slice(place))) {
    name.lastIndex = place;
    const found = name.exec(line);
    if (!found) return null;
    place = name.lastIndex;
    if (found[2] === undefined) {
      parts.push([found[1], null]);
      continue;
    }
    const end = endOfValue(line, place);
    const text = line.slice(place, end);
    place = end;
    try {
      parts.push([found[1], JSON.parse(text), text]);
    } catch {
      parts.push([found[1], text, text]);
    }
  }
  return parts;
}

// Where a value ends: at white space or a comma, but not inside of brackets or quotes.
function endOfValue(line, place) {
  let depth = 0, quoted = false;
  for (let i = place; i < line.length; i++) {
    const sign = line[i];
    if (quoted) {
      if (sign === "\\") i++;
      else if (sign === '"') quoted = false;
    } else if (sign === '"') quoted = true;
    else if ("[{".includes(sign)) depth++;
    else if ("]}".includes(sign)) depth--;
    else if (!depth && /[\s,]/.test(sign)) return i;
  }
  return line.length;
}

// The chain that a line says: in cards if they can say it, and else as the line it is.
export function chainOf(line) {
  const raw = { on: true, greedy: false, cards: [], line: line.trim() };
  const parts = partsOf(line);
  if (!parts) return raw;
  const chain = { on: true, greedy: false, cards: [], line: null };
  let order = "default";
  for (const [said, value] of parts) {
    const name = names.get(said) ?? said;
    if (value === null && (name === "greedy" || name === "sample")) chain.greedy = name === "greedy";
    else if (name === "order") order = value;
    else {
      const having = owners.get(name);
      if (!having || value === null) return raw;
      const cards = chain.cards.filter(card => having.includes(strategyOf(card)));
      if (!cards.length) {
        const strategy = having.find(one => one.switch === name) ?? having[0];
        cards.push({ switch: strategy.switch, values: {}, off: false });
        chain.cards.push(cards[0]);
      }
      for (const card of cards) card.values[name] = value;
    }
  }
  // In another order the line may pass the logits through the stages in another order than it is
  // written in; that is the library's to know.
  return order === "written" || chain.cards.length < 2 ? chain : raw;
}
