// Texts side by side, a prompt at a time as one scrolls: ten thousand of them open at once.

const PART = 15; // prompts that are added at a time
const textOf = (result, prompt, seed) => {
  const row = result.texts[prompt];
  return row[Math.min(seed, row.length - 1)];
};

// A text with what is searched for marked; parts of it are texts, never markup.
function marked(text, pattern) {
  if (!pattern) return [text];
  return text.split(pattern).map((part, i) => (i % 2 ? make("mark", {}, part) : part));
}

if (data.prompts.length && data.results.length) {
  let seed = 0, found = [], rendered = 0, pattern = null;
  const list = make("div"), holder = make("div", { class: "list", tabindex: 0 });
  const count = make("span", { class: "note", role: "status" });
  const more = make("button", { type: "button", onclick: () => add() }, "more");
  const field = make("input", { type: "search", "aria-label": "search in prompts and texts", placeholder: "search in prompts and texts", oninput: () => again() });
  const boxes = chooser(data.results, 4, () => again());

  const column = (result, text) => make("div", { style: `border-color:${looks.get(result).colour}` },
    make("h4", {}, result.name),
    text === null || text === undefined ? make("p", { class: "note" }, "no text") : make("p", { dir: "auto" }, marked(text, pattern)));

  const add = () => {
    const results = [...data.humans.slice(0, 1), ...boxes.chosen()];
    const next = found.slice(rendered, rendered + PART);
    list.append(...next.map(prompt => make("article", {},
      make("small", {}, data.ids[prompt]),
      make("h3", { dir: "auto" }, marked(data.prompts[prompt], pattern)),
      make("div", { class: "columns" }, results.map(result => column(result, textOf(result, prompt, seed)))))));
    rendered += next.length;
    more.hidden = rendered >= found.length;
    const all = found.length === data.prompts.length ? "" : `, ${data.prompts.length} in all`;
    count.textContent = `${found.length} ${found.length === 1 ? "prompt" : "prompts"}${all}`;
  };

  const again = () => {
    const wanted = field.value.trim();
    // One group, so that a split keeps what it splits at.
    pattern = wanted ? new RegExp(`(${wanted.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")})`, "iu") : null;
    const results = [...data.humans.slice(0, 1), ...boxes.chosen()];
    found = [...data.prompts.keys()].filter(prompt => !pattern || pattern.test(data.prompts[prompt])
      || results.some(result => pattern.test(textOf(result, prompt, seed) ?? "")));
    rendered = holder.scrollTop = 0;
    list.replaceChildren();
    add();
  };

  section("texts").append(make("div", { class: "bar" }, field,
    data.seeds.length > 1 ? menu("seed", data.seeds.map(String), 0, i => { seed = i; again(); }) : null, count),
    boxes, holder);
  holder.append(list, make("div", { class: "bar" }, more));
  again();
  new IntersectionObserver(([entry]) => entry.isIntersecting && !more.hidden && add(), { root: holder, rootMargin: "600px" }).observe(more);
}
