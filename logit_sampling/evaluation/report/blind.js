// Pairs of texts of one prompt without names, for a person to judge.

// Numbers in [0, 1) that a seed decides (mulberry32).
function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

// All pairs of different texts, in an order and with sides that the seed decides.
function pairsOf(results, seed, most) {
  const next = random(seed), found = [];
  for (let i = 0; i < results.length; i++) {
    for (let j = i + 1; j < results.length; j++) {
      for (const prompt of data.prompts.keys()) {
        const run = Math.floor(next() * data.seeds.length), swapped = next() < 0.5;
        const [left, right] = swapped ? [results[j], results[i]] : [results[i], results[j]];
        const texts = [left, right].map(result => textOf(result, prompt, run));
        found.push({ order: next(), prompt, run, left: left.name, right: right.name, texts });
      }
    }
  }
  return found.filter(({ texts: [a, b] }) => a && b && a !== b).sort((a, b) => a.order - b.order).slice(0, most);
}

// Wilson's 95 % interval of a share.
function wilson(wins, all) {
  const z = 1.959964, p = wins / all, middle = p + z * z / (2 * all);
  const half = z * Math.sqrt(p * (1 - p) / all + z * z / (4 * all * all));
  return [middle - half, middle + half].map(end => end / (1 + z * z / all));
}

function tally(pairs, answers) {
  const found = new Map();
  answers.forEach((answer, i) => {
    const { left, right } = pairs[i];
    const [first, second] = [left, right].sort((a, b) => names.indexOf(a) - names.indexOf(b));
    const key = JSON.stringify([first, second]);
    const own = found.get(key) ?? { first, second, wins: 0, losses: 0, equal: 0 };
    if (answer === 0) own.equal++;
    else if ((answer === 1 ? left : right) === first) own.wins++;
    else own.losses++;
    found.set(key, own);
  });
  return [...found.values()];
}

const names = everyone.map(result => result.name);
// What a browser remembers belongs to these texts alone.
const memory = (() => {
  const text = JSON.stringify([data.prompts, everyone.map(result => [result.name, result.texts[0]])]);
  let hash = 0;
  for (let i = 0; i < text.length; i++) hash = (Math.imul(hash, 31) + text.charCodeAt(i)) | 0;
  const key = `logit-sampling judgement ${hash >>> 0}`;
  const safely = act => { try { return act(); } catch { return null; } }; // a browser may forbid it
  return {
    read: () => safely(() => JSON.parse(localStorage.getItem(key))),
    write: value => safely(() => localStorage.setItem(key, JSON.stringify(value))),
    clear: () => safely(() => localStorage.removeItem(key)),
  };
})();

function download(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

if (everyone.length > 1 && data.prompts.length) {
  const holder = make("div", { "aria-live": "polite" });
  let state = null, pairs = []; // state: seed, most, samplers, answers
  const button = (text, act) => make("button", { type: "button", onclick: act }, text);

  const setUp = () => {
    state = null;
    const boxes = chooser(everyone, 4, () => {});
    const seed = make("input", { type: "number", value: 1, min: 0 });
    const most = make("input", { type: "number", value: 30, min: 1 });
    const start = (given, answers) => {
      state = { ...given, answers };
      pairs = pairsOf(everyone.filter(result => given.samplers.includes(result.name)), given.seed, given.most);
      show();
    };
    const old = memory.read();
    holder.replaceChildren(boxes, make("div", { class: "bar" },
      make("label", {}, "pairs, at most", most), make("label", {}, "seed of order and sides", seed),
      button("start", () => start({ seed: Number(seed.value), most: Number(most.value), samplers: boxes.chosen().map(result => result.name) }, [])),
      old ? button(`go on after ${old.answers.length}`, () => start(old, old.answers)) : null));
  };

  const answer = value => {
    state.answers.push(value);
    memory.write(state);
    show();
  };
  const back = () => {
    state.answers.pop();
    memory.write(state);
    show();
  };

  const show = () => {
    const place = state.answers.length;
    if (place >= pairs.length) { results(); return; }
    const { prompt, texts } = pairs[place], focused = holder.contains(document.activeElement);
    holder.replaceChildren(
      make("div", { class: "bar" }, make("progress", { value: place, max: pairs.length, "aria-label": "judged" }), `${place} of ${pairs.length}, seed ${state.seed}`),
      make("article", {}, make("h3", { dir: "auto" }, data.prompts[prompt]),
        make("div", { class: "pair" }, texts.map(text => make("div", { dir: "auto" }, text)))),
      make("div", { class: "bar" }, button("1: left is better", () => answer(1)), button("2: right is better", () => answer(2)), button("0: equal", () => answer(0)),
        place ? button("back", back) : null, place ? button("stop here", results) : null));
    if (focused) holder.querySelector("button").focus();
  };

  const results = () => {
    const judged = pairs.slice(0, state.answers.length);
    const rows = tally(judged, state.answers);
    const list = judged.map(({ prompt, run, left, right }, i) => ({
      prompt: data.prompts[prompt], seed: data.seeds[run], left, right, better: ["equal", left, right][state.answers[i]],
    }));
    const save = { seed: state.seed, judgements: list, pairs: rows };
    if (judged.length === pairs.length) memory.clear();
    state = null;
    const quoted = value => `"${String(value).replaceAll('"', '""')}"`;
    const lines = [["prompt", "seed", "left", "right", "better"], ...list.map(row => Object.values(row))];
    const percent = value => `${(100 * value).toFixed(0)}%`;
    holder.replaceChildren(rows.length ? make("table", { class: "numbers" },
      make("thead", {}, make("tr", {}, ["pair", "first better", "second better", "equal", "first, of those not equal"].map(title => make("th", { scope: "col" }, title)))),
      make("tbody", {}, rows.map(({ first, second, wins, losses, equal }) => {
        const all = wins + losses;
        const share = all ? `${percent(wins / all)} [${wilson(wins, all).map(percent).join(", ")}]` : "-";
        return make("tr", {}, make("th", { scope: "row" }, `${first} / ${second}`), [wins, losses, equal, share].map(value => make("td", {}, String(value))));
      }))) : make("p", {}, "There is no pair of different texts."),
      make("div", { class: "bar" },
        button("save as CSV", () => download("judgements.csv", "text/csv", lines.map(line => line.map(quoted).join(",")).join("\n") + "\n")),
        button("save as JSON", () => download("judgements.json", "application/json", JSON.stringify(save, null, 1))),
        button("judge again", setUp)));
  };

  document.addEventListener("keydown", event => {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (!state || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (["0", "1", "2"].includes(event.key)) answer(Number(event.key));
  });
  section("judge").append(make("p", {}, "Two texts of one prompt, without names: which is better? Keys ",
    make("kbd", {}, "1"), " left, ", make("kbd", {}, "2"), " right, ", make("kbd", {}, "0"),
    " equal. Pairs of equal texts are left out; what is judged stays in this browser until all are."), holder);
  setUp();
}
