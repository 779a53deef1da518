// Filters and order as a form, keys, and the start.

const form = document.getElementById("filters");

function fillForm() {
  const {dataset, view, network} = results;
  const fields = form.elements;
  options(
    fields.dataset,
    study.datasets.map(({name}) => [name, name]),
    view.dataset,
  );
  const architectures = [...new Set(offered(dataset, view).map(({architecture}) => architecture))];
  grouped(fields.architecture, byFamily(dataset, architectures), view.architecture);
  const methods = offered(dataset, view).filter(({architecture}) => architecture === view.architecture);
  options(
    fields.method,
    methods.map(({method}) => [method, method]),
    view.method,
  );
  options(
    fields.epoch,
    [
      ["", `${network.lastEpoch} (the last)`],
      ...network.epochs
        .slice(0, -1)
        .reverse()
        .map((epoch) => [String(epoch), String(epoch)]),
    ],
    view.epoch,
  );
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
  for (const key of ["class", "type", "from", "to"])
    fields[key].closest("label").classList.toggle("set", view[key] !== usual[key]);
}

const typeOptions = (family) => [
  family.title,
  [...family.types, "none"].map((type) => [
    `${family.key}:${type}`,
    type === "none" ? "no type (no score at some size)" : type,
  ]),
];

function byFamily(dataset, architectures) {
  const rest = architectures.filter((name) => !dataset.familyOf(name));
  const named = (name) => [name, `${name}${sizeOf(dataset, name)}`];
  return [
    ...dataset.families.map((family) => [
      family.title,
      family.architectures
        .filter((name) => dataset.familyOf(name) === family && architectures.includes(name))
        .map(named),
    ]),
    [dataset.families.length ? "Others" : "", rest.map(named)],
  ];
}

function sizeOf(dataset, architecture) {
  const {parameters, runs_not_converged} = dataset.networks.find((network) => network.architecture === architecture);
  return (parameters ? ` · ${shownCount(parameters)}` : "") + (runs_not_converged ? " · not all converged" : "");
}

function sortOptions(dataset, view) {
  const proxies = proxiesOf(dataset, view);
  const tracked = Object.keys(dataset.proxies);
  const others = offered(dataset, view).filter(
    ({architecture, method}) => architecture !== view.architecture || method !== view.method,
  );
  const same = ({architecture}) => architecture === view.architecture;
  const missing = tracked.length ? `none of ${view.architecture}` : "none in this study";
  return [
    [
      "",
      [
        ["score", "score"],
        ["index", "official order"],
      ],
    ],
    [
      "Change with size (largest minus smallest)",
      dataset.families.map(({key, title}) => [`change:${key}`, `change along ${title}`]),
    ],
    [
      `Proxy of ${view.architecture}`,
      proxies.length ? proxies.map(({key, name}) => [`proxy:${key}`, name]) : [["", missing, true]],
    ],
    [
      "Score minus that of another network",
      [...others.filter(same), ...others.filter((other) => !same(other))].map(({architecture, method, title}) => [
        `minus:${architecture}:${method}`,
        `difference from ${title}`,
      ]),
    ],
    ["Score against proxy, by rank", proxies.map(({key, name}) => [`ranks:${key}`, `score against ${name}`])],
  ];
}

function options(select, entries, chosen) {
  grouped(select, [["", entries]], chosen);
}

function grouped(select, groupsOf, chosen) {
  const key = JSON.stringify(groupsOf);
  if (select.dataset.made !== key) {
    select.dataset.made = key;
    const option = ([value, text, disabled]) => element("option", {value, disabled}, text);
    select.replaceChildren(
      ...groupsOf
        .filter(([, entries]) => entries.length)
        .flatMap(([label, entries]) =>
          label ? [element("optgroup", {label}, entries.map(option))] : entries.map(option),
        ),
    );
  }
  select.value = chosen;
}

function fillFlags() {
  const {dataset, view} = results;
  const counts = flagCounts(dataset);
  const present = study.flags.filter((flag, bit) => counts[bit]);
  const key = `${dataset.name}`;
  if (byId("flags").dataset.made !== key) {
    byId("flags").dataset.made = key;
    byId("flags").replaceChildren(
      ...present.map((flag) =>
        element(
          "label",
          {},
          capital(FLAG_NAMES[flag][0]),
          element(
            "select",
            {name: `flag:${flag}`},
            element("option", {value: ""}, "any"),
            element("option", {value: "only"}, `only (${shownCount(counts[study.flags.indexOf(flag)])})`),
            element("option", {value: "without"}, "without"),
          ),
        ),
      ),
    );
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
  dataset.flagCounts ??= study.flags.map((_, bit) =>
    dataset.columns.flags.reduce((sum, flags) => sum + ((flags >> bit) & 1), 0),
  );
  return dataset.flagCounts;
}

function describeNetwork() {
  const {network} = results;
  const {runs, runs_not_converged, ratio, notes} = network;
  const line = byId("network");
  const parts = [`${plural(runs, "run")}, each on a random ${ratio} of the training set`];
  parts.push(
    runs_not_converged ? `${shownCount(runs_not_converged)} of them did not converge` : "all converged",
    ...notes,
  );
  line.textContent = `${parts.join("; ")}.`;
  line.classList.toggle("flag", runs_not_converged > 0 || notes.length > 0);
}

const BARS = 40;

// All scores, and in colour those of the matches; heights are square roots, so that few examples are seen beside many.
function showHistogram() {
  const {scores, order} = results;
  const lowest = scores.reduce((low, score) => (score < low ? score : low), 0);
  const bar = (score) => Math.min(BARS - 1, Math.floor(((score - lowest) / (1 - lowest)) * BARS));
  const within = new Uint32Array(BARS);
  const all = new Uint32Array(BARS);
  for (let place = 0; place < scores.length; place++) if (scores[place] >= lowest) all[bar(scores[place])]++;
  for (let place = 0; place < order.length; place++)
    if (scores[order[place]] >= lowest) within[bar(scores[order[place]])]++;
  const most = Math.max(1, ...all);
  byId("histogram").replaceChildren(
    ...Array.from(all, (count, place) => {
      const made = element("span");
      const inside = count ? Math.sqrt(within[place] / count) : 0;
      made.style.height = `${100 * Math.sqrt(count / most)}%`;
      made.style.background = `linear-gradient(to top, var(--mark) ${100 * inside}%, var(--line) 0)`;
      return made;
    }),
  );
}

function fromForm(changed) {
  const fields = form.elements;
  if (changed === "dataset") return {...defaults(datasets.get(fields.dataset.value))};
  const flags = {only: [], without: []};
  for (const flag of study.flags) {
    const kind = fields[`flag:${flag}`]?.value;
    if (kind) flags[kind].push(flag);
  }
  const taken = Object.fromEntries(
    ["architecture", "method", "epoch", "class", "type", "from", "to", "sort", "order"].map((key) => [
      key,
      fields[key].value,
    ]),
  );
  if (changed === "sort") taken.order = "";
  return {
    ...taken,
    converged: fields.converged.checked ? "1" : "",
    only: flags.only.join(","),
    without: flags.without.join(","),
    page: "1",
  };
}

function clear() {
  const {class: label, type, from, to, only, without} = defaults(datasets.get(current.dataset));
  go({class: label, type, from, to, only, without, page: "1"});
  byId("heading").focus();
}

// Arrow keys move between tiles; Home and End to the first and last of the page.
function moveFocus(event) {
  const tiles = [...document.querySelectorAll(".tile")];
  const at = tiles.indexOf(document.activeElement);
  if (at < 0) return;
  const top = (one) => one.parentElement.offsetTop;
  const across = tiles.findIndex((one) => top(one) > top(tiles[0]));
  const row = across < 0 ? tiles.length : across;
  const to = {
    ArrowLeft: at - 1,
    ArrowRight: at + 1,
    ArrowUp: at - row,
    ArrowDown: at + row,
    Home: 0,
    End: tiles.length - 1,
  }[event.key];
  if (to === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  tiles[to]?.focus();
}

function introduce() {
  const runs = [...new Set(study.datasets.flatMap(({networks}) => networks.map((network) => network.runs)))].sort(
    (a, b) => a - b,
  );
  const counts = runs.length > 1 ? `${shownCount(runs[0])} to ${shownCount(runs.at(-1))}` : shownCount(runs[0]);
  byId("about").textContent =
    `Every score is from K = ${counts} runs of a network, each on a random part of the training set: how much more ` +
    "often runs that were trained on an example get it right than runs that were not. " +
    `Intervals have a confidence of ${shownConfidence}; ` +
    `the study counts an example as memorised from ${study.memorised_at} on.`;
  byId("stamp").hidden = !study.stamp;
  if (study.stamp) byId("stamp").textContent = `${capital(study.stamp)}: no commit can make these results again.`;
}

function start() {
  introduce();
  const wide = matchMedia("(min-width: 60.01rem)");
  const unfold = () => {
    byId("panel").open = wide.matches;
  };
  wide.addEventListener("change", unfold);
  unfold();
  form.addEventListener("change", ({target}) => go(fromForm(target.name)));
  form.addEventListener("submit", (event) => event.preventDefault());
  byId("clear").onclick = clear;
  byId("gallery").addEventListener("keydown", moveFocus);
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#']");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (link.classList.contains("skip")) {
      event.preventDefault();
      byId("gallery").focus();
      return;
    }
    event.preventDefault();
    go(parse(link.hash).view);
  });
  addEventListener("popstate", () => {
    const {view, problems} = parse(location.hash);
    show(view, problems);
  });
  const {view, problems} = parse(location.hash);
  show(view, problems);
}
