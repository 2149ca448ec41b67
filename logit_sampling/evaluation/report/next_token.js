// The distribution of the next token: the model's pale behind, that of each sampler in front.

if (data.nextTokens.length) {
  const panels = make("div", { class: "panels" });
  let current = 0;
  const boxes = chooser(Object.keys(data.nextTokens[0].samplers).map(name => ({ name })), 6, () => show());
  const show = () => {
    text.textContent = data.nextTokens[current].prompt;
    panels.replaceChildren();
    for (const { name } of boxes.chosen()) {
      const own = data.nextTokens[current], [count, mass] = own.kept[name];
      const holder = make("div");
      panels.append(make("div", {}, make("h3", {}, name), make("p", { class: "note" },
        `keeps ${count.toLocaleString("en")} of ${(own.tokens.length + own.others.tokens).toLocaleString("en")} tokens, `
        + `${(100 * mass).toFixed(1)}% of the model's probability`), holder));
      atEachWidth(holder, width => holder.replaceChildren(bars(own, name, width)));
    }
  };
  const text = make("b", { style: "white-space: pre-wrap" });
  const names = data.nextTokens.map((own, i) => `${i + 1}: …${own.prompt.slice(-40)}`);
  section("next").append(
    make("div", { class: "bar" }, menu("after", names, 0, i => { current = i; show(); })), boxes,
    make("p", {}, text), make("p", { class: "note" }, "Bars are square roots of probabilities: one of 1 leaves one of 0.01 visible."),
    panels);
  show();
}

function bars({ tokens, model, samplers, others }, name, width) {
  const rows = tokens.map((token, i) => [token, model[i], samplers[name][i]]);
  if (others.tokens) rows.push([`${others.tokens.toLocaleString("en")} others`, others.model, others.samplers[name]]);
  const left = 8 + Math.min(width * 0.4, Math.max(...rows.map(row => widthOf(row[0]))));
  const most = Math.max(...Object.values(samplers).flat(), ...model, others.model, ...Object.values(others.samplers));
  const x = p => left + (width - left - 8) * Math.sqrt(p / most);
  const result = data.results.find(own => own.name === name || own.name === `${own.model}: ${name}`);
  const colour = result ? looks.get(result).colour : "var(--c0)";
  const parts = [0, 0.01, 0.1, 0.3, 0.6, 1].filter(p => p <= most).flatMap(p => [
    draw("path", { class: "grid", d: `M${x(p)} 0V${rows.length * 16 + 10}` }),
    draw("text", { class: "tick", x: x(p), y: rows.length * 16 + 24, "text-anchor": "middle" }, String(p)),
  ]);
  rows.forEach(([label, before, after], i) => {
    const y = 16 * i + (i === tokens.length ? 6 : 0);
    parts.push(draw("rect", { class: "pale", x: left, y: y + 1, height: 13, width: x(before) - left }),
      draw("rect", { fill: colour, x: left, y: y + 4, height: 7, width: x(after) - left },
        draw("title", {}, `${label}: ${before} by the model, ${after} by ${name}`)),
      draw("text", { x: left - 6, y: y + 12, "text-anchor": "end" }, label));
  });
  const label = `probabilities of the next token by the model and by ${name}`;
  return chart(label, width, rows.length * 16 + 30, parts);
}
