// The gallery: which examples, in which order, by an address that holds all of the view's state.

const PAGE = 96, SIDE = 96;  // tiles on a page, CSS pixels along a tile's longer side
const FLAG_NAMES = {  // of one example, and of several
  label_noise: ["flipped label", "flipped labels"], input_noise: ["noise image", "noise images"],
  exact_duplicate: ["exact duplicate", "exact duplicates"], near_duplicate: ["near duplicate", "near duplicates"],
  conflicting_label: ["conflicting label", "conflicting labels"], in_test: ["copy in test", "copies in test"],
};
const DIFFERENCES = ["minus", "ranks"];
const form = document.getElementById("filters");
const byId = (id) => document.getElementById(id);

// --- the address ---------------------------------------------------------------------------------------------------

// What a view is of; keys are those of the address, which holds only what differs from the defaults.
function defaults(dataset) {
  const {architecture, method} = dataset.first;
  return {
    dataset: dataset.name, architecture, method, epoch: "", converged: "", class: "", type: "", from: "", to: "",
    only: "", without: "", sort: "score", order: "", page: "1", example: "", shown: "",
  };
}

function parse(hash) {
  const given = Object.fromEntries(new URLSearchParams(hash.replace(/^#/, "")));
  const dataset = datasets.get(given.dataset) ?? datasets.values().next().value;
  const view = {...defaults(dataset), ...given, dataset: dataset.name};
  const problems = [];
  if (given.dataset && given.dataset !== dataset.name) {
    problems.push(`There is no dataset “${given.dataset}” in this study; this is ${dataset.name}.`);
  }
  return {view: possible(view, dataset, problems), problems};
}

// The nearest view that exists: another dataset or network may lack what the address asks for.
function possible(view, dataset, problems = []) {
  const without = (key, value, reason) => { problems.push(reason); return {...view, [key]: value}; };
  const networks = offered(dataset, view);
  if (!networks.some((network) => network.architecture === view.architecture)) {
    const first = networks.find((network) => network === dataset.first) ?? networks.at(-1);
    view = without("architecture", first.architecture, `${view.architecture} has no scores here; this is ${first.architecture}.`);
  }
  const methods = networks.filter((network) => network.architecture === view.architecture);
  const network = methods.find((one) => one.method === view.method) ?? methods[0];
  if (network.method !== view.method) {
    view = without("method", network.method, `${view.architecture} has no scores by ${view.method}; this is ${network.method}.`);
  }
  if (view.epoch && !network.epochs.includes(Number(view.epoch))) {
    view = without("epoch", "", `Epoch ${view.epoch} was not evaluated; this is the last one.`);
  }
  if (view.class && !(Number(view.class) in dataset.classes)) view = without("class", "", `There is no class ${view.class}.`);
  if (view.type && !typeOf(dataset, view.type)) view = without("type", "", `There is no trajectory type “${view.type}”.`);
  if (!sortable(dataset, view)) view = without("sort", "score", `${view.architecture} cannot be sorted by ${view.sort}.`);
  if (!orders(dataset, view).some(([key]) => key === view.order)) view = {...view, order: ""};
  return view;
}

const offered = (dataset, view) => {
  const fine = view.converged ? dataset.networks.filter((network) => network.converged) : dataset.networks;
  return fine.length ? fine : dataset.networks;
};

// "family:type" as its parts, where "none" is no type.
function typeOf(dataset, text) {
  const [key, ...rest] = text.split(":"), family = dataset.family(key), type = rest.join(":");
  return family && (type === "none" || family.types.includes(type)) ? {family, code: family.types.indexOf(type) + 1} : null;
}

function format(view) {
  const usual = defaults(datasets.get(view.dataset));
  const kept = Object.entries(view).filter(([key, value]) => key in usual && value !== usual[key]);
  if (datasets.size > 1) kept.unshift(["dataset", view.dataset]);
  return `#${new URLSearchParams(kept).toString().replaceAll("%3A", ":").replaceAll("%2C", ",")}`;
}

let current;  // the view that is shown, or on its way

function go(changes, {replace = false} = {}) {
  const next = {...current, ...changes};
  const view = possible(next, datasets.get(next.dataset));
  const hash = format(view);
  if (hash !== (location.hash || "#")) history[replace ? "replaceState" : "pushState"](null, "", hash);
  return show(view);
}

// --- what to sort by -----------------------------------------------------------------------------------------------

const proxiesOf = (dataset, view) => dataset.proxies[view.architecture]?.names ?? [];

function sortable(dataset, {sort, architecture}) {
  const [kind, ...rest] = sort.split(":");
  if (kind === "score" || kind === "index") return true;
  if (kind === "change") return Boolean(dataset.family(rest[0]));
  if (kind === "minus") return Boolean(dataset.network(rest[0], rest[1]));
  return proxiesOf(dataset, {architecture}).some(({key}) => key === rest[0]) && ["proxy", "ranks"].includes(kind);
}

// Keys and names of the possible orders, the usual one first. "desc" is towards what is memorised.
function orders(dataset, {sort, architecture}) {
  const [kind, name] = sort.split(":");
  if (kind === "index") return [["", "first to last"], ["desc", "last to first"]];
  if (kind === "score" || kind === "change") return [["", "highest first"], ["asc", "lowest first"]];
  if (kind === "proxy") {
    const rising = proxiesOf(dataset, {architecture}).find(({key}) => key === name)?.rising;
    const [most, least] = rising ? ["highest", "lowest"] : ["lowest", "highest"];
    return [["", `${most} first (like memorised)`], ["asc", `${least} first`]];
  }
  const [first, second] = kind === "ranks" ? ["score", "proxy"] : ["the first", "the other"];
  return [["", "largest difference, either way"], ["desc", `${first} higher`], ["asc", `${second} higher`]];
}

// A number per example to sort by, its name, and how to show it; null where that is the score itself.
async function measure(dataset, view, network, scores) {
  const [kind, ...rest] = view.sort.split(":");
  if (kind === "index") return {values: dataset.columns.index, sign: -1, name: "official order"};
  if (kind === "change") {
    const family = dataset.family(rest[0]), {delta} = await memflow.columns(family.file);
    return {values: delta, name: `change along ${family.title}`, show: (value) => `change ${signed(value, 2, "+")}`};
  }
  if (kind === "minus") {
    const other = dataset.network(rest[0], rest[1]), epoch = Number(view.epoch);
    const same = other.epochs.includes(epoch) ? epoch : other.lastEpoch;
    await other.load(same);
    const theirs = other.scores(same);
    const when = view.epoch ? ` (after epoch ${same})` : "";
    return {
      values: scores.map((score, position) => score - theirs[position]),
      name: `${network.title} minus ${other.title}${when}`,
      show: (value, position) => `${signed(value, 2, "+")} from ${signed(theirs[position], 2)}`,
    };
  }
  if (kind === "proxy" || kind === "ranks") {
    const columns = await dataset.proxyValues(view.architecture);
    const {name, rising} = proxiesOf(dataset, view).find(({key}) => key === rest[0]);
    const values = columns[rest[0]], sign = rising ? 1 : -1;
    if (kind === "proxy") return {values, sign, name, show: (value) => `${name} ${shownProxy(value)}`};
    const ofScore = remembered.ranks(scores), ofProxy = remembered.ranks(values, sign);
    return {
      values: ofScore.map((share, position) => share - ofProxy[position]),
      name: `rank by score minus rank by ${name}`,
      show: (_, position) => `rank ${percent(ofScore[position])}, by proxy ${percent(ofProxy[position])}`,
    };
  }
  return {values: scores, name: `score of ${network.title}`};
}

const percent = (share) => (Number.isNaN(share) ? "–" : `${Math.round(100 * share)} %`);

// All positions in the order of a view; examples without a value come last.
function sorted({values, sign = 1}, {order, sort}) {
  const kind = sort.split(":")[0], either = DIFFERENCES.includes(kind) && order === "";
  const turned = sign * (kind === "index" ? (order === "desc" ? -1 : 1) : order === "asc" ? -1 : 1);
  return ordered(Float64Array.from(values, (value) => {
    const key = either ? Math.abs(value) : turned * value;
    return Number.isNaN(key) ? -Infinity : key;
  }));
}

// --- which examples ------------------------------------------------------------------------------------------------

function filtered(order, dataset, view, scores) {
  const {flags, label} = dataset.columns, bits = (names) => names.split(",").reduce((mask, name) => {
    const bit = study.flags.indexOf(name);
    return bit < 0 ? mask : mask | 1 << bit;
  }, 0);
  const only = bits(view.only), without = bits(view.without), type = view.type ? typeOf(dataset, view.type) : null;
  const codes = type && dataset.columns[`type:${type.family.key}`];
  const from = view.from === "" ? NaN : Number(view.from), to = view.to === "" ? NaN : Number(view.to);
  const wanted = view.class === "" ? null : Number(view.class), fits = (position) =>
    (flags[position] & only) === only && !(flags[position] & without)
    && (wanted === null || label[position] === wanted)
    && (!type || codes[position] === type.code)
    && (Number.isNaN(from) || scores[position] >= from) && (Number.isNaN(to) || scores[position] <= to);
  const found = new Uint32Array(order.length);
  let count = 0;
  for (let place = 0; place < order.length; place++) if (fits(order[place])) found[count++] = order[place];
  return found.subarray(0, count);
}

// --- showing -------------------------------------------------------------------------------------------------------

// What a filter leaves as it is: the order of all examples, and ranks.
const remembered = (() => {
  let key, order;
  const ranks = new WeakMap();
  return {
    order(by, view, epoch) {
      const {dataset, architecture, method, sort} = view, now = [dataset, architecture, method, epoch, sort, view.order].join("/");
      if (now !== key) [key, order] = [now, sorted(by, view)];
      return order;
    },
    ranks(values, sign = 1) {
      if (!ranks.has(values)) ranks.set(values, percentiles(sign === 1 ? values : values.map((value) => -value)));
      return ranks.get(values);
    },
  };
})();

let latest = 0, busy = false, results = {order: new Uint32Array(0)};

async function show(view, problems = []) {
  const turn = ++latest, dataset = datasets.get(view.dataset);
  current = view;
  busy = true;
  const gallery = byId("gallery");
  const slow = setTimeout(() => gallery.setAttribute("aria-busy", "true"), 150);
  try {
    await dataset.load();
    const epoch = view.epoch === "" ? undefined : Number(view.epoch);
    const network = await dataset.network(view.architecture, view.method).load(epoch);
    const scores = network.scores(epoch), by = await measure(dataset, view, network, scores);
    if (turn !== latest) return;
    const order = filtered(remembered.order(by, view, epoch), dataset, view, scores);
    results = {dataset, view, network, epoch: epoch ?? network.lastEpoch, scores, by, order};
    fillForm();
    showHistogram();
    showTiles();
    showProblems(problems);
    await showDetail();
  } catch (error) {
    if (turn === latest) showProblems([error.message]);
    if (!(error instanceof MissingFile)) throw error;
  } finally {
    clearTimeout(slow);
    if (turn === latest) {
      busy = false;
      gallery.removeAttribute("aria-busy");
    }
  }
}

function showProblems(problems) {
  byId("notice").hidden = !problems.length;
  byId("notice").textContent = problems.join(" ");
}

function showTiles() {
  const {dataset, view, by, order} = results, pages = Math.max(1, Math.ceil(order.length / PAGE));
  const page = Math.min(Math.max(1, Math.floor(Number(view.page)) || 1), pages), start = (page - 1) * PAGE;
  const few = pages > 1 ? `, ${shownCount(start + 1)} to ${shownCount(Math.min(start + PAGE, order.length))} shown` : "";
  byId("heading").textContent = dataset.name;
  byId("count").textContent = `${shownCount(order.length)} of ${plural(dataset.count, "example")} match${few}.`;
  const direction = orders(dataset, view).find(([key]) => key === view.order)[1];
  byId("order").textContent = `Sorted by ${by.name}, ${direction}.`;
  pictures.forget();
  byId("gallery").replaceChildren(...(order.length ? Array.from(order.subarray(start, start + PAGE), tile) : [nothing()]));
  showPages(page, pages);
}

function tile(position) {
  const {dataset, view, network, epoch, by} = results, value = network.at(position, epoch);
  const {index, label} = dataset.columns, more = by.show?.(by.values[position], position);
  const flags = flagsOf(dataset, position).map(({text}) => text);
  const link = element("a", {class: "tile", href: format({...view, example: String(index[position])}), "data-position": position},
    picture(dataset, "train", position, SIDE), interval(value),
    element("span", {class: "values"},
      element("span", {class: "label"}, hidden(`Example ${index[position]}, label `), dataset.className(label[position])),
      element("span", {}, hidden(", score "), Number.isNaN(value.score) ? "no score" : signed(value.score, 2))),
    hidden(Number.isNaN(value.score) ? "" : `, interval ${shownInterval(value)}`),
    more && view.sort !== "score" ? element("span", {class: "more"}, hidden(", "), more) : null,
    flags.length ? element("span", {class: "flags"}, hidden(", "), flags.join(" · ")) : null);
  return element("li", {}, link);
}

const hidden = (text) => element("span", {class: "hidden"}, text);

// Flags that are set, each with what it means for this example.
function flagsOf(dataset, position) {
  const original = dataset.className(dataset.columns.original_label[position]);
  return study.flags.filter((flag) => dataset.has(position, flag)).map((flag) => ({
    flag, text: flag === "label_noise" ? `flipped, was ${original}` : FLAG_NAMES[flag][0],
  }));
}

// The interval as a bar on a line from −0.25 to 1; what lies below is drawn at its left end.
function interval({score, low, high}) {
  if (Number.isNaN(score)) return element("span", {class: "interval"});
  const place = (value) => `${Math.max(0, Math.min(100, 100 * (value + 0.25) / 1.25))}%`;
  const range = element("i"), mark = element("b");
  range.style.left = place(low);
  range.style.right = `calc(100% - ${place(high)})`;
  mark.style.left = `calc(${place(score)} - 1px)`;
  return element("span", {class: "interval"}, range, mark);
}

function nothing() {
  return element("li", {class: "empty"},
    element("p", {}, "No example matches all of these filters."),
    element("p", {class: "soft"}, "A wider range of scores, another class or fewer flags will show some. ",
      "Examples without a score match no range."),
    element("button", {type: "button", ".onclick": clear}, "Clear all filters"));
}

function showPages(page, pages) {
  const move = (to) => () => { go({page: String(to)}); byId("heading").focus(); scrollTo(0, byId("heading").offsetTop - 16); };
  const number = element("input", {type: "number", min: 1, max: pages, value: page, "aria-label": "Page"});
  number.onchange = () => move(number.value)();
  byId("pages").hidden = pages === 1;
  byId("pages").replaceChildren(
    element("button", {type: "button", disabled: page === 1, ".onclick": move(page - 1)}, "← Previous"),
    element("label", {}, "Page", number, `of ${shownCount(pages)}`),
    element("button", {type: "button", disabled: page === pages, ".onclick": move(page + 1)}, "Next →"));
}

// --- pictures ------------------------------------------------------------------------------------------------------

// Pictures get their sheet when they come near the view.
const pictures = (() => {
  const wanted = new Map();
  const observer = new IntersectionObserver((entries) => {
    for (const {isIntersecting, target} of entries) {
      if (!isIntersecting) continue;
      observer.unobserve(target);
      load(target, wanted.get(target));
      wanted.delete(target);
    }
  }, {rootMargin: "400px"});

  async function load(target, file) {
    try {
      await sheets.load(file);
      target.style.backgroundImage = `url("${file}")`;
    } catch (error) {
      target.classList.add("absent");
      showProblems([error.message]);
    }
  }

  return {
    watch(target, file) { wanted.set(target, file); observer.observe(target); },
    forget() { observer.disconnect(); wanted.clear(); },
  };
})();

function picture(dataset, split, position, side) {
  const {shown: [height, width]} = dataset.images, {across, count} = study.sheet;
  const scale = side / Math.max(height, width), tall = Math.round(height * scale), wide = Math.round(width * scale);
  const place = position % count, rows = Math.ceil(Math.min(count, sheetLength(dataset, split, position)) / across);
  const made = element("span", {class: "picture"});
  Object.assign(made.style, {
    width: `${wide}px`, height: `${tall}px`, backgroundSize: `${wide * across}px ${tall * rows}px`,
    backgroundPosition: `${-wide * (place % across)}px ${-tall * Math.floor(place / across)}px`,
  });
  pictures.watch(made, dataset.images[split][Math.floor(position / count)]);
  return made;
}

const sheetLength = (dataset, split, position) => {
  const {count} = study.sheet, start = Math.floor(position / count) * count;
  return (split === "train" ? dataset.count : dataset.images.test_count) - start;
};

// --- the form ------------------------------------------------------------------------------------------------------

function fillForm() {
  const {dataset, view, network} = results, fields = form.elements;
  options(fields.dataset, study.datasets.map(({name}) => [name, name]), view.dataset);
  const architectures = [...new Set(offered(dataset, view).map(({architecture}) => architecture))];
  grouped(fields.architecture, byFamily(dataset, architectures), view.architecture);
  const methods = offered(dataset, view).filter(({architecture}) => architecture === view.architecture);
  options(fields.method, methods.map(({method}) => [method, method]), view.method);
  options(fields.epoch, [["", `${network.lastEpoch} (the last)`], ...network.epochs.slice(0, -1).reverse().map((epoch) => [String(epoch), String(epoch)])], view.epoch);
  options(fields.class, [["", "any"], ...dataset.classes.map((name, label) => [String(label), name])], view.class);
  grouped(fields.type, [["", [["", "any"]]], ...dataset.families.map(typeOptions)], view.type);
  grouped(fields.sort, sortOptions(dataset, view), view.sort);
  options(fields.order, orders(dataset, view), view.order);
  for (const key of ["from", "to"]) fields[key].value = view[key];
  fields.converged.checked = Boolean(view.converged);
  byId("converged").hidden = dataset.networks.every(({converged}) => converged);
  byId("types").hidden = !dataset.families.length;
  fillFlags();
  describeNetwork();
  const usual = defaults(dataset);
  for (const key of ["class", "type", "from", "to"]) fields[key].closest("label").classList.toggle("set", view[key] !== usual[key]);
}

const typeOptions = (family) => [family.title, [...family.types, "none"].map((type) => [
  `${family.key}:${type}`, type === "none" ? "no type (no score at some size)" : type,
])];

function byFamily(dataset, architectures) {
  const rest = architectures.filter((name) => !dataset.familyOf(name));
  const named = (name) => [name, `${name}${sizeOf(dataset, name)}`];
  return [
    ...dataset.families.map((family) => [family.title, family.architectures.filter((name) => dataset.familyOf(name) === family && architectures.includes(name)).map(named)]),
    [dataset.families.length ? "Others" : "", rest.map(named)],
  ];
}

function sizeOf(dataset, architecture) {
  const {parameters, runs_not_converged} = dataset.networks.find((network) => network.architecture === architecture);
  return (parameters ? ` · ${shownCount(parameters)}` : "") + (runs_not_converged ? " · not all converged" : "");
}

function sortOptions(dataset, view) {
  const proxies = proxiesOf(dataset, view), tracked = Object.keys(dataset.proxies);
  const others = offered(dataset, view).filter(({architecture, method}) => architecture !== view.architecture || method !== view.method);
  const missing = tracked.length ? `none of ${view.architecture}` : "none in this study";
  return [
    ["", [["score", "score"], ["index", "official order"]]],
    ["Change with size (largest minus smallest)", dataset.families.map(({key, title}) => [`change:${key}`, `change along ${title}`])],
    [`Proxy of ${view.architecture}`, proxies.length ? proxies.map(({key, name}) => [`proxy:${key}`, name]) : [["", missing, true]]],
    ["Score minus that of another network", others.map(({architecture, method, title}) => [`minus:${architecture}:${method}`, `difference from ${title}`])],
    ["Score against proxy, by rank", proxies.map(({key, name}) => [`ranks:${key}`, `score against ${name}`])],
  ];
}

function options(select, entries, chosen) { grouped(select, [["", entries]], chosen); }

function grouped(select, groupsOf, chosen) {
  const key = JSON.stringify(groupsOf);
  if (select.dataset.made !== key) {
    select.dataset.made = key;
    const option = ([value, text, disabled]) => element("option", {value, disabled}, text);
    select.replaceChildren(...groupsOf.filter(([, entries]) => entries.length).flatMap(([label, entries]) =>
      label ? [element("optgroup", {label}, entries.map(option))] : entries.map(option)));
  }
  select.value = chosen;
}

function fillFlags() {
  const {dataset, view} = results, counts = flagCounts(dataset);
  const present = study.flags.filter((flag, bit) => counts[bit]), key = `${dataset.name}`;
  if (byId("flags").dataset.made !== key) {
    byId("flags").dataset.made = key;
    byId("flags").replaceChildren(...present.map((flag) => element("label", {}, capital(FLAG_NAMES[flag][0]), element("select", {name: `flag:${flag}`},
      element("option", {value: ""}, "any"),
      element("option", {value: "only"}, `only these (${shownCount(counts[study.flags.indexOf(flag)])})`),
      element("option", {value: "without"}, "without")))));
    const absent = study.flags.filter((flag) => !present.includes(flag)).map((flag) => FLAG_NAMES[flag][1]);
    byId("no-flags").textContent = absent.length ? `None here: ${absent.join(", ")}.` : "";
  }
  for (const flag of present) {
    const select = form.elements[`flag:${flag}`];
    select.value = ["only", "without"].find((kind) => view[kind].split(",").includes(flag)) ?? "";
    select.closest("label").classList.toggle("set", select.value !== "");
  }
}

const capital = (text) => text[0].toUpperCase() + text.slice(1);

function flagCounts(dataset) {
  dataset.flagCounts ??= study.flags.map((_, bit) => dataset.columns.flags.reduce((sum, flags) => sum + (flags >> bit & 1), 0));
  return dataset.flagCounts;
}

function describeNetwork() {
  const {network} = results, {runs, runs_not_converged, ratio, notes} = network;
  const line = byId("network"), parts = [`${plural(runs, "run")}, each on a random ${ratio} of the training set`];
  parts.push(runs_not_converged ? `${shownCount(runs_not_converged)} of them did not converge` : "all converged", ...notes);
  line.textContent = `${parts.join("; ")}.`;
  line.classList.toggle("flag", runs_not_converged > 0 || notes.length > 0);
}

const BARS = 40;

// All scores, and in colour those of the matches; heights are square roots, so that few examples are seen beside many.
function showHistogram() {
  const {scores, order} = results, lowest = scores.reduce((low, score) => (score < low ? score : low), 0);
  const bar = (score) => Math.min(BARS - 1, Math.floor((score - lowest) / (1 - lowest) * BARS));
  const within = new Uint32Array(BARS), all = new Uint32Array(BARS);
  for (let place = 0; place < scores.length; place++) if (scores[place] >= lowest) all[bar(scores[place])]++;
  for (let place = 0; place < order.length; place++) if (scores[order[place]] >= lowest) within[bar(scores[order[place]])]++;
  const most = Math.max(1, ...all);
  byId("histogram").replaceChildren(...Array.from(all, (count, place) => {
    const made = element("span"), inside = count ? Math.sqrt(within[place] / count) : 0;
    made.style.height = `${100 * Math.sqrt(count / most)}%`;
    made.style.background = `linear-gradient(to top, var(--mark) ${100 * inside}%, var(--line) 0)`;
    return made;
  }));
}

function fromForm(changed) {
  const fields = form.elements;
  if (changed === "dataset") return {...defaults(datasets.get(fields.dataset.value))};
  const flags = {only: [], without: []};
  for (const flag of study.flags) {
    const kind = fields[`flag:${flag}`]?.value;
    if (kind) flags[kind].push(flag);
  }
  const taken = Object.fromEntries(["architecture", "method", "epoch", "class", "type", "from", "to", "sort", "order"].map((key) => [key, fields[key].value]));
  if (changed === "sort") taken.order = "";
  return {...taken, converged: fields.converged.checked ? "1" : "", only: flags.only.join(","), without: flags.without.join(","), page: "1"};
}

function clear() {
  const {class: label, type, from, to, only, without} = defaults(datasets.get(current.dataset));
  go({class: label, type, from, to, only, without, page: "1"});
  byId("heading").focus();
}

// --- keys and events -----------------------------------------------------------------------------------------------

// Arrow keys move between tiles; Home and End to the first and last of the page.
function moveFocus(event) {
  const tiles = [...document.querySelectorAll(".tile")], at = tiles.indexOf(document.activeElement);
  if (at < 0) return;
  const top = (one) => one.parentElement.offsetTop, across = tiles.findIndex((one) => top(one) > top(tiles[0]));
  const row = across < 0 ? tiles.length : across;
  const to = {ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - row, ArrowDown: at + row, Home: 0, End: tiles.length - 1}[event.key];
  if (to === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  tiles[to]?.focus();
}

function introduce() {
  const runs = [...new Set(study.datasets.flatMap(({networks}) => networks.map((network) => network.runs)))].sort((a, b) => a - b);
  const counts = runs.length > 1 ? `${shownCount(runs[0])} to ${shownCount(runs.at(-1))}` : shownCount(runs[0]);
  byId("about").textContent = `Every score is from K = ${counts} runs of a network, each on a random part of the training set: how much more ` +
    "often runs that were trained on an example get it right than runs that were not. " +
    `Intervals have a confidence of ${shownConfidence}; the study counts an example as memorised from ${study.memorised_at} on.`;
  byId("stamp").hidden = !study.stamp;
  if (study.stamp) byId("stamp").textContent = `${capital(study.stamp)}: no commit can make these results again.`;
}

function start() {
  introduce();
  const wide = matchMedia("(min-width: 60.01rem)");
  const unfold = () => { byId("panel").open = wide.matches; };
  wide.addEventListener("change", unfold);
  unfold();
  form.addEventListener("change", ({target}) => go(fromForm(target.name)));
  form.addEventListener("submit", (event) => event.preventDefault());
  byId("clear").onclick = clear;
  byId("gallery").addEventListener("keydown", moveFocus);
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#']");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (link.classList.contains("skip")) { event.preventDefault(); byId("gallery").focus(); return; }
    event.preventDefault();
    go(parse(link.hash).view);
  });
  addEventListener("popstate", () => { const {view, problems} = parse(location.hash); show(view, problems); });
  const {view, problems} = parse(location.hash);
  show(view, problems);
}
