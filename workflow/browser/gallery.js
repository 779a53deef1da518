// The gallery: a page of examples, each with its picture, its score and its flags.

const PAGE = 96; // tiles
const SIDE = 96; // CSS pixels along a tile's longer side
const FLAG_NAMES = {
  // of one example, and of several
  label_noise: ["flipped label", "flipped labels"],
  input_noise: ["noise image", "noise images"],
  exact_duplicate: ["exact duplicate", "exact duplicates"],
  near_duplicate: ["near duplicate", "near duplicates"],
  conflicting_label: ["conflicting label", "conflicting labels"],
  in_test: ["copy in test", "copies in test"],
};
const byId = (id) => document.getElementById(id);

// What a filter leaves as it is: the order of all examples, and ranks.
const remembered = (() => {
  let key;
  let order;
  const ranks = new WeakMap();
  return {
    order(by, view, epoch) {
      const {dataset, architecture, method, sort} = view;
      const now = [dataset, architecture, method, epoch, sort, view.order].join("/");
      if (now !== key) [key, order] = [now, sorted(by, view)];
      return order;
    },
    ranks(values, sign = 1) {
      if (!ranks.has(values)) ranks.set(values, percentiles(sign === 1 ? values : values.map((value) => -value)));
      return ranks.get(values);
    },
  };
})();

let latest = 0;
let busy = false;
let results = {order: new Uint32Array(0)};

async function show(view, problems = []) {
  const turn = ++latest;
  const dataset = datasets.get(view.dataset);
  current = view;
  busy = true;
  const gallery = byId("gallery");
  const slow = setTimeout(() => gallery.setAttribute("aria-busy", "true"), 150);
  try {
    await dataset.load();
    const epoch = view.epoch === "" ? undefined : Number(view.epoch);
    const network = await dataset.network(view.architecture, view.method).load(epoch);
    const scores = network.scores(epoch);
    const by = await measure(dataset, view, network, scores);
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
  const {dataset, view, by, order} = results;
  const pages = Math.max(1, Math.ceil(order.length / PAGE));
  const page = Math.min(Math.max(1, Math.floor(Number(view.page)) || 1), pages);
  const start = (page - 1) * PAGE;
  const few =
    pages > 1 ? `, ${shownCount(start + 1)} to ${shownCount(Math.min(start + PAGE, order.length))} shown` : "";
  byId("heading").textContent = dataset.name;
  byId("count").textContent = `${shownCount(order.length)} of ${plural(dataset.count, "example")} match${few}.`;
  const direction = orders(dataset, view).find(([key]) => key === view.order)[1];
  byId("order").textContent = `Sorted by ${by.name}, ${direction}.`;
  pictures.forget();
  byId("gallery").replaceChildren(
    ...(order.length ? Array.from(order.subarray(start, start + PAGE), tile) : [nothing()]),
  );
  showPages(page, pages);
}

function tile(position) {
  const {dataset, view, network, epoch, by} = results;
  const value = network.at(position, epoch);
  const {index, label} = dataset.columns;
  const more = by.show?.(by.values[position], position);
  const flags = flagsOf(dataset, position).map(({text}) => text);
  const link = element(
    "a",
    {class: "tile", href: format({...view, example: String(index[position])}), "data-position": position},
    picture(dataset, "train", position, SIDE),
    interval(value),
    element(
      "span",
      {class: "values"},
      element(
        "span",
        {class: "label"},
        hidden(`Example ${index[position]}, label `),
        dataset.className(label[position]),
      ),
      element("span", {}, hidden(", score "), Number.isNaN(value.score) ? "no score" : signed(value.score, 2)),
    ),
    hidden(Number.isNaN(value.score) ? "" : `, interval ${shownInterval(value)}`),
    more && view.sort !== "score" ? element("span", {class: "more"}, hidden(", "), more) : null,
    flags.length ? element("span", {class: "flags"}, hidden(", "), flags.join(" · ")) : null,
  );
  return element("li", {}, link);
}

const hidden = (text) => element("span", {class: "hidden"}, text);

// Flags that are set, each with what it means for this example.
function flagsOf(dataset, position) {
  const original = dataset.className(dataset.columns.original_label[position]);
  return study.flags
    .filter((flag) => dataset.has(position, flag))
    .map((flag) => ({
      flag,
      text: flag === "label_noise" ? `flipped, was ${original}` : FLAG_NAMES[flag][0],
    }));
}

// The interval as a bar on a line from −0.25 to 1; what lies below is drawn at its left end.
function interval({score, low, high}) {
  if (Number.isNaN(score)) return element("span", {class: "interval"});
  const place = (value) => `${Math.max(0, Math.min(100, (100 * (value + 0.25)) / 1.25))}%`;
  const range = element("i");
  const mark = element("b");
  range.style.left = place(low);
  range.style.right = `calc(100% - ${place(high)})`;
  mark.style.left = `calc(${place(score)} - 1px)`;
  return element("span", {class: "interval"}, range, mark);
}

function nothing() {
  return element(
    "li",
    {class: "empty"},
    element("p", {}, "No example matches all of these filters."),
    element(
      "p",
      {class: "soft"},
      "A wider range of scores, another class or fewer flags will show some. ",
      "Examples without a score match no range.",
    ),
    element("button", {type: "button", ".onclick": clear}, "Clear all filters"),
  );
}

function showPages(page, pages) {
  const move = (to) => () => {
    go({page: String(to)});
    byId("heading").focus();
    scrollTo(0, byId("heading").offsetTop - 16);
  };
  const number = element("input", {type: "number", min: 1, max: pages, value: page, "aria-label": "Page"});
  number.onchange = () => move(number.value)();
  byId("pages").hidden = pages === 1;
  byId("pages").replaceChildren(
    element("button", {type: "button", disabled: page === 1, ".onclick": move(page - 1)}, "← Previous"),
    element("label", {}, "Page", number, `of ${shownCount(pages)}`),
    element("button", {type: "button", disabled: page === pages, ".onclick": move(page + 1)}, "Next →"),
  );
}

// Pictures get their sheet when they come near the view.
const pictures = (() => {
  const wanted = new Map();
  const observer = new IntersectionObserver(
    (entries) => {
      for (const {isIntersecting, target} of entries) {
        if (!isIntersecting) continue;
        observer.unobserve(target);
        load(target, wanted.get(target));
        wanted.delete(target);
      }
    },
    {rootMargin: "400px"},
  );

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
    watch(target, file) {
      wanted.set(target, file);
      observer.observe(target);
    },
    forget() {
      observer.disconnect();
      wanted.clear();
    },
  };
})();

function picture(dataset, split, position, side) {
  const {
    shown: [height, width],
  } = dataset.images;
  const {across, count} = study.sheet;
  const scale = side / Math.max(height, width);
  const tall = Math.round(height * scale);
  const wide = Math.round(width * scale);
  const place = position % count;
  const rows = Math.ceil(Math.min(count, sheetLength(dataset, split, position)) / across);
  const made = element("span", {class: "picture"});
  Object.assign(made.style, {
    width: `${wide}px`,
    height: `${tall}px`,
    backgroundSize: `${wide * across}px ${tall * rows}px`,
    backgroundPosition: `${-wide * (place % across)}px ${-tall * Math.floor(place / across)}px`,
  });
  pictures.watch(made, dataset.images[split][Math.floor(position / count)]);
  return made;
}

const sheetLength = (dataset, split, position) => {
  const {count} = study.sheet;
  const start = Math.floor(position / count) * count;
  return (split === "train" ? dataset.count : dataset.images.test_count) - start;
};
