// The detail view: one example, its scores against size and epoch, its copies, its neighbours, and how to cite it.

const dialog = byId("detail");
const ENLARGED = 320;
const SMALL = 64; // CSS pixels along a picture's longer side

let opened = null; // position of the example that is shown

async function showDetail() {
  const {dataset, view} = results;
  if (view.example === "") return closeDetail();
  const position = dataset.places.get(Number(view.example));
  if (position === undefined) {
    closeDetail();
    showProblems([
      `${dataset.name} has no training example ${view.example}; ` +
        `indices lie between ${range(dataset).map(shownCount).join(" and ")}.`,
    ]);
    return;
  }
  const turn = latest;
  const another = opened !== position;
  opened = position;
  if (!dialog.open) {
    dialog.replaceChildren(bar(), element("div", {class: "parts", id: "parts"}));
    dialog.showModal();
    byId("detail-title").focus();
  }
  describeBar(position);
  if (another) {
    byId("parts").replaceChildren(
      summary(position),
      element("div", {}, element("p", {class: "soft"}, "Loading scores …")),
    );
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
    if (turn === latest)
      byId("parts").lastChild.replaceChildren(element("p", {class: "flag", role: "alert"}, error.message));
    if (!(error instanceof MissingFile)) throw error;
  }
}

const range = (dataset) => [
  dataset.columns.index.reduce((a, b) => Math.min(a, b)),
  dataset.columns.index.reduce((a, b) => Math.max(a, b)),
];

function closeDetail() {
  if (!dialog.open) return;
  const tileOf = document.querySelector(`.tile[data-position="${opened}"]`);
  opened = null;
  dialog.close();
  dialog.replaceChildren();
  (tileOf ?? byId("heading")).focus();
}

function leave() {
  go({example: "", shown: ""});
}

async function loadFor(dataset, position) {
  const shown = shownNetwork(dataset);
  const chunk = Math.floor(position / study.chunk);
  const neighbours = neighbourhood(dataset);
  await Promise.all([
    (async () => {
      for (const file of study.vendor) await memflow.run(file);
    })(),
    ...dataset.networks.map((network) =>
      network.architecture === shown ? network.loadExample(position) : network.load(),
    ),
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
  const shown = shownNetwork(dataset);
  const of = dataset.influence.filter(({architecture}) => architecture === shown);
  return of.find(({method}) => method === results.view.method) ?? of[0] ?? dataset.influence[0];
};

function move(step) {
  const {dataset, order} = results;
  const place = order.indexOf(opened) + step;
  if (order.indexOf(opened) < 0 || place < 0 || place >= order.length) return;
  const page = String(Math.floor(place / PAGE) + 1);
  go({example: String(dataset.columns.index[order[place]]), page}, {replace: true});
}

function bar() {
  const button = (id, text, label, onclick) =>
    element("button", {type: "button", id, "aria-label": label, title: label, ".onclick": onclick}, text);
  return element(
    "div",
    {class: "bar"},
    element("h2", {id: "detail-title", tabindex: "-1", "aria-live": "polite"}),
    element(
      "div",
      {},
      button("previous", "← Previous", "Previous match (left arrow key)", () => move(-1)),
      button("next", "Next →", "Next match (right arrow key)", () => move(1)),
      button("close", "Close", "Close (Escape key)", leave),
    ),
  );
}

function describeBar(position) {
  const {dataset, order} = results;
  const place = order.indexOf(position);
  byId("detail-title").replaceChildren(
    `Example ${dataset.columns.index[position]} of ${dataset.name} `,
    element(
      "span",
      {class: "soft"},
      place < 0 ? "not among the matches" : `${shownCount(place + 1)} of ${plural(order.length, "match", "matches")}`,
    ),
  );
  byId("previous").disabled = place <= 0;
  byId("next").disabled = place < 0 || place + 1 >= order.length;
}

function detailKeys(event) {
  if (event.target.closest("select, input, textarea, .scroll") || event.altKey || event.ctrlKey || event.metaKey)
    return;
  const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
  if (!step) return;
  event.preventDefault();
  move(step);
}

function summary(position, test = null) {
  const {dataset} = results;
  return element(
    "section",
    {"aria-label": "The example"},
    bigPicture(dataset, position),
    facts(dataset, position),
    copies(dataset, position, test),
    citation(dataset, position),
  );
}

function bigPicture(dataset, position) {
  const {size, shown} = dataset.images;
  const made = picture(dataset, "train", position, ENLARGED);
  made.setAttribute("role", "img");
  made.setAttribute(
    "aria-label",
    `Training example ${dataset.columns.index[position]}, labelled ${className(dataset, position)}`,
  );
  const reduced = size[0] !== shown[0] || size[1] !== shown[1];
  const text =
    `${size[0]} × ${size[1]} pixels` +
    (reduced ? `, shown scaled down to ${shown[0]} × ${shown[1]}` : ", enlarged without smoothing");
  return element("figure", {}, made, element("figcaption", {}, `${text}.`));
}

const className = (dataset, position) => dataset.className(dataset.columns.label[position]);

const EXPLAINED = {
  label_noise: (dataset, position) =>
    `flipped label: the original one is ${dataset.className(dataset.columns.original_label[position])}`,
  input_noise: (dataset, position) =>
    `the image was replaced by noise; it was of class ${dataset.className(dataset.columns.original_label[position])}`,
  exact_duplicate: () => "training has exact duplicates of it",
  near_duplicate: () => "training has near duplicates of it",
  conflicting_label: () => "a duplicate in training has another label",
  in_test: () => "the test split has a copy of it",
};

function facts(dataset, position) {
  const flags = study.flags.filter((flag) => dataset.has(position, flag));
  const original = dataset.columns.original_label[position];
  return element(
    "dl",
    {class: "facts"},
    rows([
      ["Label", className(dataset, position)],
      ["Original label", dataset.className(original)],
      ["Index", `${dataset.columns.index[position]}, in the official order`],
      [
        "Flags",
        flags.length
          ? element(
              "ul",
              {},
              flags.map((flag) => element("li", {class: "flag"}, EXPLAINED[flag](dataset, position))),
            )
          : "none",
      ],
    ]),
  );
}

const rows = (entries) => entries.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]);

function copies(dataset, position, test) {
  const {exact, near} = dataset.copies(position);
  const shownMost = 12;
  const lists = [];
  for (const [name, found] of [
    ["Exact duplicates in training", exact],
    ["Near duplicates in training", near],
  ]) {
    if (!found.length) continue;
    const more = found.length > shownMost ? `, of which ${shownMost} are shown` : "";
    lists.push(
      element("h3", {}, `${name} (${shownCount(found.length)}${more})`),
      element(
        "ul",
        {class: "thumbnails"},
        found.slice(0, shownMost).map((other) => element("li", {}, trainThumbnail(dataset, other))),
      ),
    );
  }
  const inTest = test ? dataset.copiesInTest(position) : [];
  if (inTest.length) {
    lists.push(
      element("h3", {}, "Copies in the test split"),
      element(
        "ul",
        {class: "thumbnails"},
        inTest.map((copy) =>
          element("li", {}, testThumbnail(dataset, copy.position, test, copy.exact ? "exact" : "near")),
        ),
      ),
    );
  }
  return lists.length ? element("div", {}, lists) : null;
}

function trainThumbnail(dataset, position) {
  const index = String(dataset.columns.index[position]);
  return element(
    "a",
    {href: format({...results.view, example: index})},
    picture(dataset, "train", position, SMALL),
    element("span", {class: "name"}, `Example ${index}`),
    element("br"),
    `label ${className(dataset, position)}`,
  );
}

function testThumbnail(dataset, position, test, ...lines) {
  return element(
    "span",
    {class: "entry"},
    picture(dataset, "test", position, SMALL),
    `Test ${test.index[position]}`,
    element("br"),
    `label ${dataset.className(test.label[position])}`,
    lines.flatMap((line) => [element("br"), line]),
  );
}

function citation(dataset, position) {
  const {network, epoch} = results;
  const last = epoch === network.lastEpoch;
  const {table, sha256} = last ? network.tables.last : network.tables.epochs;
  const value = network.at(position, epoch);
  const index = dataset.columns.index[position];
  const score = Number.isNaN(value.score)
    ? "without a value"
    : `${shownScore(value.score)} (${shownInterval(value)}, ${shownConfidence})`;
  const text = [
    `memorisation ${score}, ${network.title}, K = ${network.runs}`,
    `study ${study.study}, dataset ${dataset.name}, training example ${index}`,
    `dataset fingerprint ${dataset.fingerprint}`,
    `results/${study.study}/${table}${last ? "" : `, epoch ${epoch}`}, row with index ${index}`,
    `sha256 ${sha256}`,
    ...(study.stamp ? [study.stamp] : []),
    `memflow show ${dataset.name} ${index} --results results/${study.study}`,
  ].join("\n");
  const area = element("textarea", {id: "cite", readonly: true, rows: 8, spellcheck: "false", ".value": text});
  const done = element("span", {role: "status", class: "soft"});
  const copy = element("button", {type: "button", ".onclick": () => copyText(area, done)}, "Copy");
  return element(
    "div",
    {class: "cite"},
    element("h3", {}, element("label", {for: "cite", class: "check"}, "To cite this row")),
    area,
    element("div", {class: "copy"}, copy, done),
  );
}

async function copyText(area, done) {
  area.select();
  try {
    await navigator.clipboard.writeText(area.value);
    done.textContent = "Copied.";
  } catch {
    // not allowed for pages from disk in every browser
    done.textContent = document.execCommand("copy") ? "Copied." : "Press Ctrl+C to copy what is selected.";
  }
}

dialog.addEventListener("cancel", (event) => {
  event.preventDefault();
  leave();
});
dialog.addEventListener("click", ({target}) => {
  if (target === dialog) leave();
});
dialog.addEventListener("keydown", detailKeys);
