// What a view is of, by an address that holds all of its state: which examples, in which order.

const DIFFERENCES = ["minus", "ranks"];

// What a view is of; keys are those of the address, which holds only what differs from the defaults.
function defaults(dataset) {
  const {architecture, method} = dataset.first;
  return {
    dataset: dataset.name,
    architecture,
    method,
    epoch: "",
    converged: "",
    class: "",
    type: "",
    from: "",
    to: "",
    only: "",
    without: "",
    sort: "score",
    order: "",
    page: "1",
    example: "",
    shown: "",
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
  const without = (key, value, reason) => {
    problems.push(reason);
    return {...view, [key]: value};
  };
  const networks = offered(dataset, view);
  if (!networks.some((network) => network.architecture === view.architecture)) {
    const first = networks.find((network) => network === dataset.first) ?? networks.at(-1);
    view = without(
      "architecture",
      first.architecture,
      `${view.architecture} has no scores here; this is ${first.architecture}.`,
    );
  }
  const methods = networks.filter((network) => network.architecture === view.architecture);
  const network = methods.find((one) => one.method === view.method) ?? methods[0];
  if (network.method !== view.method) {
    view = without(
      "method",
      network.method,
      `${view.architecture} has no scores by ${view.method}; this is ${network.method}.`,
    );
  }
  if (view.epoch && !network.epochs.includes(Number(view.epoch))) {
    view = without("epoch", "", `Epoch ${view.epoch} was not evaluated; this is the last one.`);
  }
  if (view.class && !(Number(view.class) in dataset.classes))
    view = without("class", "", `There is no class ${view.class}.`);
  if (view.type && !typeOf(dataset, view.type))
    view = without("type", "", `There is no trajectory type “${view.type}”.`);
  if (!sortable(dataset, view))
    view = without("sort", "score", `${view.architecture} cannot be sorted by ${view.sort}; this is by score.`);
  if (!orders(dataset, view).some(([key]) => key === view.order)) view = {...view, order: ""};
  return view;
}

const offered = (dataset, view) => {
  const fine = view.converged ? dataset.networks.filter((network) => network.converged) : dataset.networks;
  return fine.length ? fine : dataset.networks;
};

// "family:type" as its parts, where "none" is no type.
function typeOf(dataset, text) {
  const [key, ...rest] = text.split(":");
  const family = dataset.family(key);
  const type = rest.join(":");
  return family && (type === "none" || family.types.includes(type))
    ? {family, code: family.types.indexOf(type) + 1}
    : null;
}

function format(view) {
  const usual = defaults(datasets.get(view.dataset));
  const kept = Object.entries(view).filter(([key, value]) => key in usual && value !== usual[key]);
  if (datasets.size > 1) kept.unshift(["dataset", view.dataset]);
  return `#${new URLSearchParams(kept).toString().replaceAll("%3A", ":").replaceAll("%2C", ",")}`;
}

let current; // the view that is shown, or on its way

function go(changes, {replace = false} = {}) {
  const next = {...current, ...changes};
  const problems = [];
  const view = possible(next, datasets.get(next.dataset), problems);
  const hash = format(view);
  if (hash !== (location.hash || "#")) history[replace ? "replaceState" : "pushState"](null, "", hash);
  return show(view, problems);
}

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
  if (kind === "index")
    return [
      ["", "first to last"],
      ["desc", "last to first"],
    ];
  if (kind === "score" || kind === "change")
    return [
      ["", "highest first"],
      ["asc", "lowest first"],
    ];
  if (kind === "proxy") {
    const rising = proxiesOf(dataset, {architecture}).find(({key}) => key === name)?.rising;
    const [most, least] = rising ? ["highest", "lowest"] : ["lowest", "highest"];
    return [
      ["", `${most} first (like memorised)`],
      ["asc", `${least} first`],
    ];
  }
  const [first, second] = kind === "ranks" ? ["score", "proxy"] : ["the first", "the other"];
  return [
    ["", "largest difference, either way"],
    ["desc", `${first} higher`],
    ["asc", `${second} higher`],
  ];
}

// A number per example to sort by, its name, and how to show it; null where that is the score itself.
async function measure(dataset, view, network, scores) {
  const [kind, ...rest] = view.sort.split(":");
  if (kind === "index") return {values: dataset.columns.index, sign: -1, name: "official order"};
  if (kind === "change") {
    const family = dataset.family(rest[0]);
    const {delta} = await memflow.columns(family.file);
    return {values: delta, name: `change along ${family.title}`, show: (value) => `change ${signed(value, 2, "+")}`};
  }
  if (kind === "minus") {
    const other = dataset.network(rest[0], rest[1]);
    const epoch = Number(view.epoch);
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
    const values = columns[rest[0]];
    const sign = rising ? 1 : -1;
    if (kind === "proxy") return {values, sign, name, show: (value) => `${name} ${shownProxy(value)}`};
    const ofScore = remembered.ranks(scores);
    const ofProxy = remembered.ranks(values, sign);
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
  const kind = sort.split(":")[0];
  const either = DIFFERENCES.includes(kind) && order === "";
  const turned = sign * (kind === "index" ? (order === "desc" ? -1 : 1) : order === "asc" ? -1 : 1);
  const keys = new Float64Array(values.length);
  for (let position = 0; position < values.length; position++) {
    const key = either ? Math.abs(values[position]) : turned * values[position];
    keys[position] = Number.isNaN(key) ? -Infinity : key;
  }
  return ordered(keys);
}

function filtered(order, dataset, view, scores) {
  const {flags, label} = dataset.columns;
  const bits = (names) =>
    names.split(",").reduce((mask, name) => {
      const bit = study.flags.indexOf(name);
      return bit < 0 ? mask : mask | (1 << bit);
    }, 0);
  const only = bits(view.only);
  const without = bits(view.without);
  const type = view.type ? typeOf(dataset, view.type) : null;
  const codes = type && dataset.columns[`type:${type.family.key}`];
  const from = view.from === "" ? NaN : Number(view.from);
  const to = view.to === "" ? NaN : Number(view.to);
  const wanted = view.class === "" ? null : Number(view.class);
  const fits = (position) =>
    (flags[position] & only) === only &&
    !(flags[position] & without) &&
    (wanted === null || label[position] === wanted) &&
    (!type || codes[position] === type.code) &&
    (Number.isNaN(from) || scores[position] >= from) &&
    (Number.isNaN(to) || scores[position] <= to);
  const found = new Uint32Array(order.length);
  let count = 0;
  for (let place = 0; place < order.length; place++) if (fits(order[place])) found[count++] = order[place];
  return found.subarray(0, count);
}
