// Charts of an example's scores; what they show also stands in a table.

const COLOURS = ["--series-0", "--series-1", "--series-2", "--series-3", "--series-4"];
const DASHES = ["", "7 3", "2 3", "8 3 2 3", "1 5"];
const SYMBOLS = ["circle", "diamond", "square", "triangle", "star"];

const pending = []; // charts that wait until they are on the page and have a width

function chart(kind, series, label, alternative) {
  const place = element("div", {class: "chart"});
  pending.push(() =>
    place.replaceChildren(
      kind === "size" ? drawSizes(series, label, place.clientWidth) : drawEpochs(series, label, place.clientWidth),
    ),
  );
  return element(
    "figure",
    {},
    place,
    legend(series),
    element("details", {}, element("summary", {}, "The same as a table"), alternative),
  );
}

function drawCharts() {
  pending.splice(0).forEach((draw) => draw());
}

function legend(series) {
  return element(
    "ul",
    {class: "legend"},
    series.map(({title, colour, style, points}) => {
      const swatch = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      const reference = points.every(({network, epoch}) => epoch === undefined && !network.parameters);
      for (const [key, value] of Object.entries({width: 30, height: 10, "aria-hidden": true}))
        swatch.setAttribute(key, value);
      swatch.append(
        Plot.plot({
          width: 30,
          height: 10,
          margin: 0,
          x: {domain: [0, 1], axis: null},
          y: {domain: [-1, 1], axis: null},
          marks: [
            Plot.ruleY([0], {stroke: colour, strokeWidth: 2, strokeDasharray: reference ? "1 3" : DASHES[style]}),
            reference
              ? null
              : Plot.dot([0.5], {
                  x: 0.5,
                  y: 0,
                  symbol: SYMBOLS[style],
                  fill: style ? "var(--paper)" : colour,
                  stroke: colour,
                  r: 3.5,
                }),
          ],
        }),
      );
      return element("li", {}, swatch, title);
    }),
  );
}

function plot(label, width, x, values, marks) {
  const low = Math.min(-0.1, ...values.map((value) => value.low));
  const narrow = width < 480;
  const drawn = Plot.plot({
    width,
    height: narrow ? 230 : 270,
    marginLeft: 44,
    marginRight: 16,
    marginBottom: 38,
    style: {fontSize: "12px", fontFamily: "inherit"},
    x: {...x, insetLeft: 12, insetRight: 12},
    y: {domain: [Math.max(-1, low), 1.03], label: "Score", grid: true, ticks: 5},
    marks: [Plot.ruleY([0], {stroke: "currentColor", strokeOpacity: 0.5}), ...marks],
  });
  for (const shape of drawn.querySelectorAll("[aria-label]")) shape.removeAttribute("aria-label"); // needs a role
  drawn.setAttribute("role", "img");
  drawn.setAttribute("aria-label", `${label}. The numbers are in the table below.`);
  return drawn;
}

function drawSizes(series, label, width) {
  const scored = series.map((one) => ({...one, points: one.points.filter(({score}) => !Number.isNaN(score))}));
  const values = scored.flatMap(({points}) => points);
  const marks = scored.flatMap(({points, colour, style}) => {
    const sized = points.filter(({network}) => network.parameters);
    const x = (point) => point.network.parameters * 1.05 ** style; // students beside their one-hot twins, not on them
    return [
      Plot.ruleY(
        points.filter(({network}) => !network.parameters),
        {y: "score", stroke: colour, strokeDasharray: "1 3", strokeWidth: 2},
      ),
      Plot.ruleX(sized, {x, y1: "low", y2: "high", stroke: colour, strokeWidth: 2, strokeOpacity: 0.4}),
      Plot.line(sized, {x, y: "score", stroke: colour, strokeWidth: 2, strokeDasharray: DASHES[style]}),
      Plot.dot(sized, {
        x,
        y: "score",
        symbol: SYMBOLS[style],
        r: 4,
        stroke: colour,
        fill: style ? "var(--paper)" : colour,
      }),
    ];
  });
  return plot(
    label,
    width,
    {type: "log", label: "Parameters", tickFormat: "~s", ticks: width < 480 ? 4 : 7},
    values,
    marks,
  );
}

function drawEpochs(series, label, width) {
  const scored = series.map((one) => ({...one, points: one.points.filter(({score}) => !Number.isNaN(score))}));
  const values = scored.flatMap(({points}) => points);
  const epochs = [...new Set(values.map(({epoch}) => epoch))].sort((a, b) => a - b);
  const marks = scored.flatMap(({points, colour, style}) => [
    Plot.areaY(points, {x: "epoch", y1: "low", y2: "high", fill: colour, fillOpacity: 0.13}),
    Plot.line(points, {x: "epoch", y: "score", stroke: colour, strokeWidth: 2, strokeDasharray: DASHES[style]}),
    Plot.dot(points, {
      x: "epoch",
      y: "score",
      symbol: SYMBOLS[style],
      r: 3.5,
      stroke: colour,
      fill: style ? "var(--paper)" : colour,
    }),
  ]);
  return plot(label, width, {label: "Epoch", ticks: epochs.length > 12 ? 8 : epochs, tickFormat: "d"}, values, marks);
}
