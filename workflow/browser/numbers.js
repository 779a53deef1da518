// The right part of the detail view: scores against size and epoch, types, proxies and neighbours, each as numbers.

// Both parts of the view; the test split is there if anything names its examples.
async function parts(position) {
  const {dataset} = results;
  const test = dataset.images.test_file ? await memflow.columns(dataset.images.test_file) : null;
  return [
    summary(position, test),
    element(
      "section",
      {"aria-label": "Its scores"},
      scoreNow(position),
      element("h3", {}, "Against size"),
      sizeChart(dataset, position),
      await typesOf(dataset, position),
      element("h3", {}, "Against epoch"),
      networkChoice(dataset),
      epochChart(dataset, position),
      ...(await proxyTable(dataset, position)),
      ...(await neighbourLists(dataset, position, test)),
    ),
  ];
}

function scoreNow(position) {
  const {network, epoch} = results;
  const value = network.at(position, epoch);
  const when = epoch === network.lastEpoch ? "" : ` after epoch ${epoch}`;
  const unconverged = network.converged
    ? ""
    : ` ${shownCount(network.runs_not_converged)} of the ${plural(network.runs, "run")} did not converge.`;
  if (Number.isNaN(value.score)) {
    return element(
      "div",
      {},
      element("p", {class: "score"}, "No score"),
      element(
        "p",
        {},
        `No run of ${network.title} ${value.nOut ? "was trained on this example" : "held this example out"}, ` +
          `so nothing can be compared.${unconverged}`,
      ),
    );
  }
  return element(
    "div",
    {},
    element(
      "p",
      {class: "score"},
      hidden("Score "),
      shownScore(value.score),
      " ",
      element("span", {class: "soft"}, hidden("interval "), shownInterval(value)),
    ),
    element(
      "p",
      {class: "soft"},
      `${network.title}${when}: of ${plural(value.nIn, "run")} that were trained on this example, ` +
        `${shownCount(value.rightIn)} got it right; ` +
        `of ${shownCount(value.nOut)} that were not, ${shownCount(value.rightOut)}. ${meaning(value)}${unconverged}`,
    ),
  );
}

function meaning({score, low, high}) {
  const at = study.memorised_at;
  if (low >= at) return "Memorised, also at the low end of the interval.";
  if (high < at) return `Not memorised at the study’s threshold of ${at}, also at the high end of the interval.`;
  const side = score >= at ? "Above" : "Below";
  return `${side} the study’s threshold of ${at}, but the interval holds both sides: these runs do not tell.`;
}

// Series of one family and one method each, smallest network first; networks of no family are series of one.
function seriesOf(dataset) {
  const shown = offered(dataset, results.view);
  const methods = [...new Set(dataset.networks.map(({method}) => method))];
  const families = [
    ...dataset.families,
    ...shown
      .filter(({architecture}) => !dataset.familyOf(architecture))
      .map(({architecture}) => ({key: architecture, title: architecture, architectures: [architecture]})),
  ];
  const unique = [...new Map(families.map((family) => [family.key, family])).values()];
  return unique
    .flatMap((family, colour) =>
      methods.map((method, style) => ({
        title: method === ONE_HOT ? family.title : `${family.title}, ${method}`,
        colour: `var(${COLOURS[colour % COLOURS.length]})`,
        style: style % DASHES.length,
        networks: family.architectures
          .map((name) => shown.find((one) => one.architecture === name && one.method === method))
          .filter(Boolean),
      })),
    )
    .filter(({networks}) => networks.length);
}

function sizeChart(dataset, position) {
  const series = seriesOf(dataset).map((one) => ({
    ...one,
    points: one.networks.map((network) => ({network, ...network.at(position)})),
  }));
  const lines = series.flatMap(({points}) =>
    points.map(({network, ...value}) => [
      network.architecture,
      network.method,
      network.parameters ? shownCount(network.parameters) : "–",
      ...cells(value),
      network.runs_not_converged ? `${shownCount(network.runs_not_converged)} of ${shownCount(network.runs)}` : "none",
    ]),
  );
  const head = [
    "Network",
    "Method",
    "Parameters",
    "Score",
    "Interval",
    "Right, trained on",
    "Right, held out",
    "Not converged",
  ];
  return chart(
    "size",
    series,
    "Score after the last epoch, with its interval, against the number of parameters",
    table(head, lines, 2),
  );
}

function cells(value) {
  if (Number.isNaN(value.score))
    return ["–", "–", `${value.rightIn} of ${value.nIn}`, `${value.rightOut} of ${value.nOut}`];
  return [
    shownScore(value.score),
    shownInterval(value),
    `${value.rightIn} of ${value.nIn}`,
    `${value.rightOut} of ${value.nOut}`,
  ];
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
  const shown = shownNetwork(dataset);
  const methods = [...new Set(dataset.networks.map(({method}) => method))];
  const series = dataset.networks
    .filter(({architecture}) => architecture === shown)
    .map((network) => {
      const style = methods.indexOf(network.method);
      return {
        title: network.title,
        colour: `var(${COLOURS[style % COLOURS.length]})`,
        style: style % DASHES.length,
        points: network.epochs.map((epoch) => ({epoch, network, ...network.at(position, epoch)})),
      };
    });
  if (series.every(({points}) => points.length < 2)) {
    return element("p", {class: "soft"}, `${shown} was evaluated after its last epoch only, so there is no curve.`);
  }
  if (series.every(({points}) => points.every(({score}) => Number.isNaN(score)))) {
    return element("p", {class: "soft"}, `${shown} has no score of this example at any epoch.`);
  }
  const lines = series.flatMap(({points}) =>
    points.map(({network, epoch, ...value}) => [network.method, String(epoch), ...cells(value)]),
  );
  return chart(
    "epoch",
    series,
    `Score of ${shown}, with its interval, against the epoch`,
    table(["Method", "Epoch", "Score", "Interval", "Right, trained on", "Right, held out"], lines, 1),
  );
}

async function typesOf(dataset, position) {
  const lines = await Promise.all(
    dataset.families.map(async (family) => {
      const columns = await memflow.columns(family.file);
      const type = dataset.type(position, family);
      const label = family.descriptive[columns.descriptive[position] - 1];
      const [change, p, q] = ["delta", "p_value", "q_value"].map((key) => columns[key][position]);
      const tested = Number.isNaN(p)
        ? "not tested, since no change beyond tau was possible"
        : `p ${shownP(p)}, q ${shownP(q)} over all examples`;
      return element(
        "li",
        {},
        `${family.title}: `,
        element("strong", {}, type ?? "no type"),
        `; change from smallest to largest ${shownDifference(change)} (${tested}); `,
        `by its estimates alone, ${label ?? "no label"}.`,
      );
    }),
  );
  return element("ul", {class: "types"}, lines);
}

async function proxyTable(dataset, position) {
  const shown = shownNetwork(dataset);
  const entry = dataset.proxies[shown];
  const title = element("h3", {}, `Proxies of ${shown}`);
  if (!entry) {
    const tracked = Object.keys(dataset.proxies);
    return [
      title,
      element(
        "p",
        {class: "soft"},
        tracked.length ? `None of ${shown}; there are of ${tracked.join(", ")}.` : "This study measures none.",
      ),
    ];
  }
  const columns = await dataset.proxyValues(shown);
  const lines = entry.names.map(({key, name, rising}) => {
    const values = columns[key];
    const value = values[position];
    const sign = rising ? 1 : -1;
    const below = values.reduce((sum, other) => sum + (sign * other < sign * value ? 1 : 0), 0);
    return [
      name,
      shownProxy(value),
      rising ? "high" : "low",
      Number.isNaN(value) ? "–" : percent(below / values.length),
    ];
  });
  return [title, table(["Proxy", "Value", "Memorised is", "Examples that look less memorised"], lines, 1)];
}

async function neighbourLists(dataset, position, test) {
  const entry = neighbourhood(dataset);
  if (!entry) return [];
  const columns = await memflow.columns(entry.chunks[Math.floor(position / study.chunk)]);
  const start = (position % study.chunk) * study.neighbours;
  const name = entry.method === ONE_HOT ? entry.architecture : `${entry.architecture}, ${entry.method}`;
  const headings = {all: "Of all classes", "same-class": "Of its own class"};
  const lists = study.scopes.map((scope) => {
    const found = [];
    for (let place = start; place < start + study.neighbours; place++) {
      const other = columns[`${scope}:test`][place];
      if (other) found.push([other - 1, columns[`${scope}:influence`][place], columns[`${scope}:p_value`][place]]);
    }
    const body = found.length
      ? element(
          "ul",
          {class: "thumbnails"},
          found.map(([other, influence, p]) =>
            element("li", {}, testThumbnail(dataset, other, test, `${shownDifference(influence)}`, `p ${shownP(p)}`)),
          ),
        )
      : element("p", {class: "soft"}, "None with an influence above 0.");
    return [element("h4", {}, headings[scope]), body];
  });
  return [
    element("h3", {}, `Test examples it helps most (${name})`),
    element(
      "p",
      {class: "soft"},
      "Influence: how much more often runs that were trained on this example get the test example right than runs " +
        "that were not. Each p-value is that of no influence for one pair by itself; these pairs were chosen as the " +
        "largest of many, which makes them look stronger than they are.",
    ),
    ...lists.flat(),
  ];
}

function table(head, lines, texts) {
  const kind = (column) => (column < texts ? "text" : null);
  return element(
    "div",
    {class: "scroll", tabindex: "0", role: "region", "aria-label": `Table: ${head.join(", ")}`},
    element(
      "table",
      {},
      element(
        "thead",
        {},
        element(
          "tr",
          {},
          head.map((text, column) => element("th", {scope: "col", class: kind(column)}, text)),
        ),
      ),
      element(
        "tbody",
        {},
        lines.map((line) =>
          element(
            "tr",
            {},
            line.map((text, column) =>
              column ? element("td", {class: kind(column)}, text) : element("th", {scope: "row"}, text),
            ),
          ),
        ),
      ),
    ),
  );
}
