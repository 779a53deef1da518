// The detail view: one example, its scores against size and epoch, its copies, its neighbours, and how to cite it.

const dialog = byId("detail");
const ENLARGED = 320, SMALL = 64;  // CSS pixels along a picture's longer side
const COLOURS = ["--series-0", "--series-1", "--series-2", "--series-3", "--series-4"];
const DASHES = ["", "7 3", "2 3", "8 3 2 3", "1 5"];
const SYMBOLS = ["circle", "diamond", "square", "triangle", "star"];

let opened = null;  // position of the example that is shown

// --- opening, moving, closing --------------------------------------------------------------------------------------

async function showDetail() {
  const {dataset, view} = results;
  if (view.example === "") return closeDetail();
  const position = dataset.places.get(Number(view.example));
  if (position === undefined) {
    closeDetail();
    showProblems([`${dataset.name} has no training example ${view.example}; indices lie between ${shownCount(Math.min(...range(dataset)))} and ${shownCount(Math.max(...range(dataset)))}.`]);
    return;
  }
  const turn = latest, another = opened !== position;
  opened = position;
  if (!dialog.open) {
    dialog.replaceChildren(bar(), element("div", {class: "parts", id: "parts"}));
    dialog.showModal();
    byId("detail-title").focus();
  }
  describeBar(position);
  if (another) {
    byId("parts").replaceChildren(summary(position), element("div", {}, element("p", {class: "soft"}, "Loading scores …")));
    dialog.scrollTo(0, 0);
  }
  try {
    await loadFor(dataset, position);
    if (turn === latest) {
      const both = await parts(position);
      if (turn !== latest) return;
      byId("parts").replaceChildren(...both);
      drawCharts();
    }
  } catch (error) {
    if (turn === latest) byId("parts").lastChild.replaceChildren(element("p", {class: "flag", role: "alert"}, error.message));
    if (!(error instanceof MissingFile)) throw error;
  }
}

const range = (dataset) => [dataset.columns.index.reduce((a, b) => Math.min(a, b)), dataset.columns.index.reduce((a, b) => Math.max(a, b))];

function closeDetail() {
  if (!dialog.open) return;
  const tileOf = document.querySelector(`.tile[data-position="${opened}"]`);
  opened = null;
  dialog.close();
  dialog.replaceChildren();
  (tileOf ?? byId("heading")).focus();
}

async function loadFor(dataset, position) {
  const shown = shownNetwork(dataset);
  const chunk = Math.floor(position / study.chunk), neighbours = neighbourhood(dataset);
  await Promise.all([
    (async () => { for (const file of study.vendor) await memflow.run(file); })(),
    ...dataset.networks.map((network) => (network.architecture === shown ? network.loadExample(position) : network.load())),
    ...dataset.families.map(({file}) => memflow.columns(file)),
    dataset.proxies[shown] ? dataset.proxyValues(shown) : null,
    neighbours ? memflow.columns(neighbours.chunks[chunk]) : null,
    dataset.images.test_file ? memflow.columns(dataset.images.test_file) : null,
  ]);
}

// The architecture whose epochs and proxies are shown: the gallery's, unless another is chosen here.
function shownNetwork(dataset) {
  const {shown, architecture} = results.view;
  return dataset.architectures.includes(shown) ? shown : architecture;
}

const neighbourhood = (dataset) => {
  const shown = shownNetwork(dataset), of = dataset.influence.filter(({architecture}) => architecture === shown);
  return of.find(({method}) => method === results.view.method) ?? of[0] ?? dataset.influence[0];
};

function move(step) {
  const {dataset, order} = results, place = order.indexOf(opened) + step;
  if (order.indexOf(opened) < 0 || place < 0 || place >= order.length) return;
  const page = String(Math.floor(place / PAGE) + 1);
  go({example: String(dataset.columns.index[order[place]]), page}, {replace: true});
}

function bar() {
  const button = (id, text, label, onclick) => element("button", {type: "button", id, "aria-label": label, title: label, ".onclick": onclick}, text);
  return element("div", {class: "bar"},
    element("h2", {id: "detail-title", tabindex: "-1", "aria-live": "polite"}),
    element("div", {},
      button("previous", "← Previous", "Previous match (left arrow key)", () => move(-1)),
      button("next", "Next →", "Next match (right arrow key)", () => move(1)),
      button("close", "Close", "Close (Escape key)", () => go({example: ""}))));
}

function describeBar(position) {
  const {dataset, order} = results, place = order.indexOf(position);
  byId("detail-title").replaceChildren(`Example ${dataset.columns.index[position]} of ${dataset.name} `,
    element("span", {class: "soft"}, place < 0 ? "not among the matches" : `${shownCount(place + 1)} of ${plural(order.length, "match", "matches")}`));
  byId("previous").disabled = place <= 0;
  byId("next").disabled = place < 0 || place + 1 >= order.length;
}

function detailKeys(event) {
  if (event.target.closest("select, input, textarea, .scroll") || event.altKey || event.ctrlKey || event.metaKey) return;
  const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
  if (!step) return;
  event.preventDefault();
  move(step);
}

// --- the left part: what the example is ----------------------------------------------------------------------------

function summary(position, test = null) {
  const {dataset} = results;
  return element("section", {"aria-label": "The example"},
    bigPicture(dataset, position), facts(dataset, position), copies(dataset, position, test), citation(dataset, position));
}

function bigPicture(dataset, position) {
  const {size, shown} = dataset.images, made = picture(dataset, "train", position, ENLARGED);
  made.setAttribute("role", "img");
  made.setAttribute("aria-label", `Training example ${dataset.columns.index[position]}, labelled ${className(dataset, position)}`);
  const reduced = size[0] !== shown[0] || size[1] !== shown[1];
  const text = `${size[0]} × ${size[1]} pixels` + (reduced ? `, shown scaled down to ${shown[0]} × ${shown[1]}` : ", enlarged without smoothing");
  return element("figure", {}, made, element("figcaption", {}, `${text}.`));
}

const className = (dataset, position) => dataset.className(dataset.columns.label[position]);

const EXPLAINED = {
  label_noise: (dataset, position) => `flipped label: the original one is ${dataset.className(dataset.columns.original_label[position])}`,
  input_noise: (dataset, position) => `the image was replaced by noise; it was of class ${dataset.className(dataset.columns.original_label[position])}`,
  exact_duplicate: () => "training has exact duplicates of it",
  near_duplicate: () => "training has near duplicates of it",
  conflicting_label: () => "a duplicate in training has another label",
  in_test: () => "the test split has a copy of it",
};

function facts(dataset, position) {
  const flags = study.flags.filter((flag) => dataset.has(position, flag));
  const original = dataset.columns.original_label[position];
  return element("dl", {class: "facts"}, rows([
    ["Label", className(dataset, position)],
    ["Original label", dataset.className(original)],
    ["Index", `${dataset.columns.index[position]}, in the official order`],
    ["Flags", flags.length ? element("ul", {}, flags.map((flag) => element("li", {class: "flag"}, EXPLAINED[flag](dataset, position)))) : "none"],
  ]));
}

const rows = (entries) => entries.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]);

function copies(dataset, position, test) {
  const {exact, near} = dataset.copies(position), shownMost = 12, lists = [];
  for (const [name, found] of [["Exact duplicates in training", exact], ["Near duplicates in training", near]]) {
    if (!found.length) continue;
    const more = found.length > shownMost ? `, of which ${shownMost} are shown` : "";
    lists.push(element("h3", {}, `${name} (${shownCount(found.length)}${more})`),
      element("ul", {class: "thumbnails"}, found.slice(0, shownMost).map((other) => element("li", {}, trainThumbnail(dataset, other)))));
  }
  const inTest = test ? dataset.copiesInTest(position) : [];
  if (inTest.length) {
    lists.push(element("h3", {}, "Copies in the test split"), element("ul", {class: "thumbnails"},
      inTest.map((copy) => element("li", {}, testThumbnail(dataset, copy.position, test, copy.exact ? "exact" : "near")))));
  }
  return element("div", {}, lists);
}

function trainThumbnail(dataset, position) {
  const index = String(dataset.columns.index[position]);
  return element("a", {href: format({...results.view, example: index})}, picture(dataset, "train", position, SMALL),
    element("span", {class: "name"}, `Example ${index}`), element("br"), `label ${className(dataset, position)}`);
}

function testThumbnail(dataset, position, test, ...lines) {
  return element("span", {class: "entry"}, picture(dataset, "test", position, SMALL),
    `Test ${test.index[position]}`, element("br"), `label ${dataset.className(test.label[position])}`,
    lines.flatMap((line) => [element("br"), line]));
}

function citation(dataset, position) {
  const {network, epoch} = results, last = epoch === network.lastEpoch;
  const {table, sha256} = last ? network.tables.last : network.tables.epochs, value = network.at(position, epoch);
  const text = [
    `memorisation ${Number.isNaN(value.score) ? "without a value" : `${shownScore(value.score)} (${shownInterval(value)}, ${shownConfidence})`}, ${network.title}, K = ${network.runs}`,
    `study ${study.study}, dataset ${dataset.name}, training example ${dataset.columns.index[position]}`,
    `dataset fingerprint ${dataset.fingerprint}`,
    `results/${study.study}/${table}${last ? "" : `, epoch ${epoch}`}, row with index ${dataset.columns.index[position]}`,
    `sha256 ${sha256}`,
    ...(study.stamp ? [study.stamp] : []),
    `memflow show ${dataset.name} ${dataset.columns.index[position]} --results results/${study.study}`,
  ].join("\n");
  const area = element("textarea", {id: "cite", readonly: true, rows: 8, spellcheck: "false", ".value": text});
  const done = element("span", {role: "status", class: "soft"});
  const copy = element("button", {type: "button", ".onclick": () => copyText(area, done)}, "Copy");
  return element("div", {class: "cite"}, element("h3", {}, element("label", {for: "cite", class: "check"}, "To cite this row")), area,
    element("div", {class: "copy"}, copy, done));
}

async function copyText(area, done) {
  area.select();
  try {
    await navigator.clipboard.writeText(area.value);
    done.textContent = "Copied.";
  } catch {  // not allowed for pages from disk in every browser
    done.textContent = document.execCommand("copy") ? "Copied." : "Press Ctrl+C to copy what is selected.";
  }
}

// --- the right part: numbers ---------------------------------------------------------------------------------------

// Both parts of the view; the test split is there if anything names its examples.
async function parts(position) {
  const {dataset} = results, test = dataset.images.test_file ? await memflow.columns(dataset.images.test_file) : null;
  return [summary(position, test), element("section", {"aria-label": "Its scores"},
    scoreNow(position),
    element("h3", {}, "Against size"), sizeChart(dataset, position), await typesOf(dataset, position),
    element("h3", {}, "Against epoch"), networkChoice(dataset), epochChart(dataset, position),
    ...await proxyTable(dataset, position), ...await neighbourLists(dataset, position, test))];
}

function scoreNow(position) {
  const {network, epoch} = results, value = network.at(position, epoch);
  const when = epoch === network.lastEpoch ? "" : ` after epoch ${epoch}`;
  const unconverged = network.converged ? "" : ` ${shownCount(network.runs_not_converged)} of the ${plural(network.runs, "run")} did not converge.`;
  if (Number.isNaN(value.score)) {
    return element("div", {}, element("p", {class: "score"}, "No score"),
      element("p", {}, `No run of ${network.title} ${value.nOut ? "was trained on this example" : "held this example out"}, so nothing can be compared.${unconverged}`));
  }
  return element("div", {}, element("p", {class: "score"}, shownScore(value.score), " ", element("span", {class: "soft"}, shownInterval(value))),
    element("p", {class: "soft"}, `${network.title}${when}: of ${plural(value.nIn, "run")} that were trained on this example, ${shownCount(value.rightIn)} got it right; `
      + `of ${shownCount(value.nOut)} that were not, ${shownCount(value.rightOut)}. ${meaning(value)}${unconverged}`));
}

function meaning({score, low, high}) {
  const at = study.memorised_at;
  if (low >= at) return "Memorised, also at the low end of the interval.";
  if (high < at) return `Not memorised at the study’s threshold of ${at}, also at the high end of the interval.`;
  return `${score >= at ? "Above" : "Below"} the study’s threshold of ${at}, but the interval holds both sides: these runs do not tell.`;
}

// Series of one family and one method each, smallest network first; networks of no family are series of one.
function seriesOf(dataset) {
  const shown = offered(dataset, results.view), methods = [...new Set(dataset.networks.map(({method}) => method))];
  const families = [...dataset.families, ...shown.filter(({architecture}) => !dataset.familyOf(architecture))
    .map(({architecture}) => ({key: architecture, title: architecture, architectures: [architecture]}))];
  const unique = [...new Map(families.map((family) => [family.key, family])).values()];
  return unique.flatMap((family, colour) => methods.map((method, style) => ({
    title: method === ONE_HOT ? family.title : `${family.title}, ${method}`,
    colour: `var(${COLOURS[colour % COLOURS.length]})`, style: style % DASHES.length,
    networks: family.architectures.map((name) => shown.find((one) => one.architecture === name && one.method === method)).filter(Boolean),
  }))).filter(({networks}) => networks.length);
}

function sizeChart(dataset, position) {
  const series = seriesOf(dataset).map((one) => ({...one, points: one.networks.map((network) => ({network, ...network.at(position)}))}));
  const lines = series.flatMap(({points}) => points.map(({network, ...value}) => [
    network.architecture, network.method, network.parameters ? shownCount(network.parameters) : "–", ...cells(value),
    network.runs_not_converged ? `${shownCount(network.runs_not_converged)} of ${shownCount(network.runs)}` : "none",
  ]));
  const head = ["Network", "Method", "Parameters", "Score", "Interval", "Right, trained on", "Right, held out", "Not converged"];
  return chart("size", series, "Score after the last epoch, with its interval, against the number of parameters", table(head, lines, 2));
}

function cells(value) {
  if (Number.isNaN(value.score)) return ["–", "–", `${value.rightIn} of ${value.nIn}`, `${value.rightOut} of ${value.nOut}`];
  return [shownScore(value.score), shownInterval(value), `${value.rightIn} of ${value.nIn}`, `${value.rightOut} of ${value.nOut}`];
}

function networkChoice(dataset) {
  const architectures = [...new Set(offered(dataset, results.view).map(({architecture}) => architecture))];
  const select = element("select", {name: "shown"});
  grouped(select, byFamily(dataset, architectures), shownNetwork(dataset));
  select.onchange = async () => {
    const {value} = select;
    await go({shown: value === results.view.architecture ? "" : value}, {replace: true});
    dialog.querySelector("select[name=shown]")?.focus();
  };
  return element("label", {class: "inline"}, "Network ", select);
}

function epochChart(dataset, position) {
  const shown = shownNetwork(dataset), methods = [...new Set(dataset.networks.map(({method}) => method))];
  const series = dataset.networks.filter(({architecture}) => architecture === shown).map((network) => {
    const style = methods.indexOf(network.method);
    return {
      title: network.title, colour: `var(${COLOURS[style % COLOURS.length]})`, style: style % DASHES.length,
      points: network.epochs.map((epoch) => ({epoch, network, ...network.at(position, epoch)})),
    };
  });
  if (series.every(({points}) => points.length < 2)) {
    return element("p", {class: "soft"}, `${shown} was evaluated after its last epoch only, so there is no curve.`);
  }
  if (series.every(({points}) => points.every(({score}) => Number.isNaN(score)))) {
    return element("p", {class: "soft"}, `${shown} has no score of this example at any epoch.`);
  }
  const lines = series.flatMap(({points}) => points.map(({network, epoch, ...value}) => [network.method, String(epoch), ...cells(value)]));
  return chart("epoch", series, `Score of ${shown}, with its interval, against the epoch`,
    table(["Method", "Epoch", "Score", "Interval", "Right, trained on", "Right, held out"], lines, 1));
}

async function typesOf(dataset, position) {
  const lines = await Promise.all(dataset.families.map(async (family) => {
    const columns = await memflow.columns(family.file), type = dataset.type(position, family);
    const label = family.descriptive[columns.descriptive[position] - 1];
    const [change, p, q] = ["delta", "p_value", "q_value"].map((key) => columns[key][position]);
    const tested = Number.isNaN(p) ? "not tested, since no change beyond tau was possible" : `p ${shownP(p)}, q ${shownP(q)} over all examples`;
    return element("li", {}, `${family.title}: `, element("strong", {}, type ?? "no type"),
      `; change from smallest to largest ${shownDifference(change)} (${tested}); by its estimates alone, ${label ?? "no label"}.`);
  }));
  return element("ul", {}, lines);
}

async function proxyTable(dataset, position) {
  const shown = shownNetwork(dataset), entry = dataset.proxies[shown];
  const title = element("h3", {}, `Proxies of ${shown}`);
  if (!entry) {
    const tracked = Object.keys(dataset.proxies);
    return [title, element("p", {class: "soft"}, tracked.length ? `None of ${shown}; there are of ${tracked.join(", ")}.` : "This study measures none.")];
  }
  const columns = await dataset.proxyValues(shown);
  const lines = entry.names.map(({key, name, rising}) => {
    const values = columns[key], value = values[position], sign = rising ? 1 : -1;
    const below = values.reduce((sum, other) => sum + (sign * other < sign * value ? 1 : 0), 0);
    return [name, shownProxy(value), rising ? "high" : "low", Number.isNaN(value) ? "–" : percent(below / values.length)];
  });
  return [title, table(["Proxy", "Value", "Memorised is", "Examples that look less memorised"], lines, 1)];
}

async function neighbourLists(dataset, position, test) {
  const entry = neighbourhood(dataset);
  if (!entry) return [];
  const columns = await memflow.columns(entry.chunks[Math.floor(position / study.chunk)]), start = (position % study.chunk) * study.neighbours;
  const name = entry.method === ONE_HOT ? entry.architecture : `${entry.architecture}, ${entry.method}`;
  const headings = {"all": "Of all classes", "same-class": "Of its own class"};
  const lists = study.scopes.map((scope) => {
    const found = [];
    for (let place = start; place < start + study.neighbours; place++) {
      const other = columns[`${scope}:test`][place];
      if (other) found.push([other - 1, columns[`${scope}:influence`][place], columns[`${scope}:p_value`][place]]);
    }
    const body = found.length ? element("ul", {class: "thumbnails"}, found.map(([other, influence, p]) =>
      element("li", {}, testThumbnail(dataset, other, test, `${shownDifference(influence)}`, `p ${shownP(p)}`))))
      : element("p", {class: "soft"}, "None with an influence above 0.");
    return [element("h4", {}, headings[scope]), body];
  });
  return [element("h3", {}, `Test examples it helps most (${name})`),
    element("p", {class: "soft"}, "Influence: how much more often runs that were trained on this example get the test example right than runs that were not. "
      + "Each p-value is that of no influence for one pair by itself; these pairs were chosen as the largest of many, which makes them look stronger than they are."),
    ...lists.flat()];
}

function table(head, lines, texts) {
  const kind = (column) => (column < texts ? "text" : null);
  return element("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": `Table: ${head.join(", ")}`}, element("table", {},
    element("thead", {}, element("tr", {}, head.map((text, column) => element("th", {scope: "col", class: kind(column)}, text)))),
    element("tbody", {}, lines.map((line) => element("tr", {}, line.map((text, column) =>
      (column ? element("td", {class: kind(column)}, text) : element("th", {scope: "row"}, text))))))));
}

// --- charts --------------------------------------------------------------------------------------------------------

const pending = [];  // charts that wait until they are on the page and have a width

function chart(kind, series, label, alternative) {
  const place = element("div", {class: "chart"});
  pending.push(() => place.replaceChildren(kind === "size" ? drawSizes(series, label, place.clientWidth) : drawEpochs(series, label, place.clientWidth)));
  return element("figure", {}, place, legend(series), element("details", {}, element("summary", {}, "The same as a table"), alternative));
}

function drawCharts() { pending.splice(0).forEach((draw) => draw()); }

function legend(series) {
  return element("ul", {class: "legend"}, series.map(({title, colour, style, points}) => {
    const swatch = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const reference = points.every(({network, epoch}) => epoch === undefined && !network.parameters);
    for (const [key, value] of Object.entries({width: 30, height: 10, "aria-hidden": true})) swatch.setAttribute(key, value);
    swatch.append(Plot.plot({
      width: 30, height: 10, margin: 0, x: {domain: [0, 1], axis: null}, y: {domain: [-1, 1], axis: null},
      marks: [Plot.ruleY([0], {stroke: colour, strokeWidth: 2, strokeDasharray: reference ? "1 3" : DASHES[style]}),
        reference ? null : Plot.dot([0.5], {x: 0.5, y: 0, symbol: SYMBOLS[style], fill: style ? "var(--paper)" : colour, stroke: colour, r: 3.5})],
    }));
    return element("li", {}, swatch, title);
  }));
}

function plot(label, width, x, values, marks) {
  const low = Math.min(-0.1, ...values.map((value) => value.low)), narrow = width < 480;
  const drawn = Plot.plot({
    width, height: narrow ? 230 : 270, marginLeft: 44, marginRight: 16, marginBottom: 38, style: {fontSize: "12px", fontFamily: "inherit"},
    x: {...x, insetLeft: 12, insetRight: 12}, y: {domain: [Math.max(-1, low), 1.03], label: "Score", grid: true, ticks: 5},
    marks: [Plot.ruleY([0], {stroke: "currentColor", strokeOpacity: 0.5}), ...marks],
  });
  for (const part of drawn.querySelectorAll("[aria-label]")) part.removeAttribute("aria-label");  // of shapes, which have no role
  drawn.setAttribute("role", "img");
  drawn.setAttribute("aria-label", `${label}. The numbers are in the table below.`);
  return drawn;
}

function drawSizes(series, label, width) {
  const scored = series.map((one) => ({...one, points: one.points.filter(({score}) => !Number.isNaN(score))}));
  const values = scored.flatMap(({points}) => points);
  const marks = scored.flatMap(({points, colour, style}) => {
    const sized = points.filter(({network}) => network.parameters);
    const x = (point) => point.network.parameters * 1.05 ** style;  // students beside their one-hot twins, not on them
    return [
      Plot.ruleY(points.filter(({network}) => !network.parameters), {y: "score", stroke: colour, strokeDasharray: "1 3", strokeWidth: 2}),
      Plot.ruleX(sized, {x, y1: "low", y2: "high", stroke: colour, strokeWidth: 2, strokeOpacity: 0.4}),
      Plot.line(sized, {x, y: "score", stroke: colour, strokeWidth: 2, strokeDasharray: DASHES[style]}),
      Plot.dot(sized, {x, y: "score", symbol: SYMBOLS[style], r: 4, stroke: colour, fill: style ? "var(--paper)" : colour}),
    ];
  });
  return plot(label, width, {type: "log", label: "Parameters", tickFormat: "~s", ticks: width < 480 ? 4 : 7}, values, marks);
}

function drawEpochs(series, label, width) {
  const scored = series.map((one) => ({...one, points: one.points.filter(({score}) => !Number.isNaN(score))}));
  const values = scored.flatMap(({points}) => points), epochs = [...new Set(values.map(({epoch}) => epoch))].sort((a, b) => a - b);
  const marks = scored.flatMap(({points, colour, style}) => [
    Plot.areaY(points, {x: "epoch", y1: "low", y2: "high", fill: colour, fillOpacity: 0.13}),
    Plot.line(points, {x: "epoch", y: "score", stroke: colour, strokeWidth: 2, strokeDasharray: DASHES[style]}),
    Plot.dot(points, {x: "epoch", y: "score", symbol: SYMBOLS[style], r: 3.5, stroke: colour, fill: style ? "var(--paper)" : colour}),
  ]);
  return plot(label, width, {label: "Epoch", ticks: epochs.length > 12 ? 8 : epochs, tickFormat: "d"}, values, marks);
}

dialog.addEventListener("cancel", (event) => { event.preventDefault(); go({example: ""}); });
dialog.addEventListener("click", ({target}) => { if (target === dialog) go({example: ""}); });
dialog.addEventListener("keydown", detailKeys);
start();
