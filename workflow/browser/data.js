"use strict";
// What the page knows: the study, and columns that come as scripts when they are first needed.

const study = JSON.parse(document.getElementById("study").textContent);
const ONE_HOT = "one-hot";

const memflow = (() => {
  const arrived = new Map();
  const asked = new Map();
  const types = {u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, i4: Int32Array, f4: Float32Array, f8: Float64Array};

  function decode([kind, text]) {
    const letters = atob(text);
    const bytes = new Uint8Array(letters.length);
    for (let place = 0; place < letters.length; place++) bytes[place] = letters.charCodeAt(place);
    return new types[kind](bytes.buffer); // every processor with a browser is little-endian
  }

  // Called by each file of data.
  function receive(name, packed) {
    arrived.set(name, Object.fromEntries(Object.entries(packed).map(([key, column]) => [key, decode(column)])));
  }

  function run(file) {
    if (!asked.has(file)) {
      asked.set(
        file,
        new Promise((resolve, reject) => {
          const script = document.createElement("script");
          script.src = file;
          script.onload = () => resolve();
          script.onerror = () => {
            asked.delete(file);
            reject(new MissingFile(file, "file"));
          };
          document.head.append(script);
        }),
      );
    }
    return asked.get(file);
  }

  // The columns of a file, by its path "data/<name>.<hash>.js".
  async function columns(file) {
    await run(file);
    const name = file.slice("data/".length).replace(/\.[0-9a-f]{12}\.js$/, "");
    if (!arrived.has(name)) throw new MissingFile(file, "content of the file");
    return arrived.get(name);
  }

  return {receive, run, columns};
})();

class MissingFile extends Error {
  constructor(file, what) {
    super(
      `The ${what} ${file} is missing or damaged. index.html and the folders data, images and vendor beside it ` +
        "belong together: copy them as a whole, or make the browser again.",
    );
    this.file = file;
  }
}

// Newcombe's interval of right_in / n_in − right_out / n_out (his method 10), as the score tables have it.
function wilson(right, runs) {
  const z = study.z;
  const p = right / runs;
  const scale = 1 + (z * z) / runs;
  const centre = (p + (z * z) / (2 * runs)) / scale;
  const half = (z / scale) * Math.sqrt((p * (1 - p)) / runs + (z * z) / (4 * runs * runs));
  return [Math.min(Math.max(centre - half, 0), p), Math.max(Math.min(centre + half, 1), p)];
}

function estimate(rightIn, nIn, rightOut, nOut) {
  const pIn = rightIn / nIn;
  const pOut = rightOut / nOut;
  const score = pIn - pOut;
  const [lowIn, highIn] = wilson(rightIn, nIn);
  const [lowOut, highOut] = wilson(rightOut, nOut);
  return {
    rightIn,
    nIn,
    rightOut,
    nOut,
    score,
    low: Math.max(score - Math.hypot(pIn - lowIn, highOut - pOut), -1),
    high: Math.min(score + Math.hypot(highIn - pIn, pOut - lowOut), 1),
  };
}

// One architecture and method on one dataset: its scores after the last epoch, or after an earlier one.
class Network {
  constructor(entry, dataset) {
    Object.assign(this, entry);
    this.dataset = dataset;
    this.id = `${entry.architecture}:${entry.method}`;
    this.title = entry.method === ONE_HOT ? entry.architecture : `${entry.architecture}, ${entry.method}`;
    this.lastEpoch = entry.epochs.at(-1);
    this.cache = new Map();
  }

  get converged() {
    return this.runs_not_converged === 0;
  }

  async load(epoch) {
    this.counts = await memflow.columns(this.file);
    if (epoch !== undefined && epoch !== this.lastEpoch) {
      await Promise.all(
        this.chunks.map(async (file, number) => {
          this.chunk(number, await memflow.columns(file));
        }),
      );
    }
    return this;
  }

  chunk(number, columns) {
    (this.chunked ??= [])[number] = columns;
  }

  async loadExample(position) {
    this.counts = await memflow.columns(this.file);
    const number = Math.floor(position / study.chunk);
    this.chunk(number, await memflow.columns(this.chunks[number]));
  }

  // After an epoch; the last one unless told.
  at(position, epoch = this.lastEpoch) {
    const {n_in, n_out, right_in, right_out} = this.counts;
    if (epoch === this.lastEpoch) {
      return estimate(right_in[position], n_in[position], right_out[position], n_out[position]);
    }
    const part = this.chunked[Math.floor(position / study.chunk)];
    const place = (position % study.chunk) * this.epochs.length + this.epochs.indexOf(epoch);
    return estimate(part.right_in[place], n_in[position], part.right_out[place], n_out[position]);
  }

  // Scores of all examples, NaN where one was never held out or never trained on.
  scores(epoch = this.lastEpoch) {
    if (!this.cache.has(epoch)) {
      const {n_in, n_out} = this.counts;
      const scores = new Float64Array(n_in.length);
      const fill = (rightIn, rightOut, start, stride, offset) => {
        for (let k = 0, place = offset; place < rightIn.length; k++, place += stride) {
          scores[start + k] = rightIn[place] / n_in[start + k] - rightOut[place] / n_out[start + k];
        }
      };
      if (epoch === this.lastEpoch) fill(this.counts.right_in, this.counts.right_out, 0, 1, 0);
      else {
        this.chunked.forEach((part, number) => {
          fill(part.right_in, part.right_out, number * study.chunk, this.epochs.length, this.epochs.indexOf(epoch));
        });
      }
      this.cache.set(epoch, scores);
    }
    return this.cache.get(epoch);
  }
}

// One dataset of the study.
class Dataset {
  constructor(entry) {
    Object.assign(this, entry);
    this.networks = entry.networks.map((network) => new Network(network, this));
    this.first = this.networks[entry.first];
    this.ranks = new Map();
  }

  async load() {
    if (this.examples_) return;
    this.examples_ = await memflow.columns(this.examples);
    this.places = new Map(Array.from(this.examples_.index, (index, position) => [index, position]));
    this.exact = groups(this.examples_.duplicate_group);
    this.near = groups(this.examples_.near_duplicate_group);
  }

  get columns() {
    return this.examples_;
  }

  network(architecture, method) {
    return this.networks.find((network) => network.architecture === architecture && network.method === method);
  }

  family(key) {
    return this.families.find((family) => family.key === key);
  }

  familyOf(architecture) {
    return this.families.find((family) => family.architectures.includes(architecture));
  }

  get architectures() {
    return [...new Set(this.networks.map((network) => network.architecture))];
  }

  has(position, flag) {
    return Boolean((this.columns.flags[position] >> study.flags.indexOf(flag)) & 1);
  }

  type(position, family) {
    const code = this.columns[`type:${family.key}`][position];
    return code ? family.types[code - 1] : null;
  }

  className(label) {
    return this.classes[label];
  }

  async proxyValues(architecture) {
    return memflow.columns(this.proxies[architecture].file);
  }

  // Copies of an example in training: those with exactly its pixels, and those with nearly the same.
  copies(position) {
    const exact = this.exact.get(this.columns.duplicate_group[position]) ?? [];
    const near = this.near.get(this.columns.near_duplicate_group[position]) ?? [];
    const same = new Set(exact);
    return {
      exact: exact.filter((other) => other !== position),
      near: near.filter((other) => other !== position && !same.has(other)),
    };
  }

  copiesInTest(position) {
    const {copy_train, copy_test, copy_exact} = this.columns;
    const found = [];
    copy_train.forEach((other, row) => {
      if (other === position) found.push({position: copy_test[row], exact: Boolean(copy_exact[row])});
    });
    return found;
  }
}

// Positions by group, for groups of several.
function groups(group) {
  const members = new Map();
  group.forEach((first, position) => {
    if (first === position) return;
    if (!members.has(first)) members.set(first, [first]);
    members.get(first).push(position);
  });
  return members;
}

// Shares of the examples that have a smaller value, equals counted half: 0 to 1, NaN where there is no value.
function percentiles(values) {
  const sorted = Float64Array.from(values).sort(); // NaN last
  const count = values.reduce((sum, value) => sum + (Number.isNaN(value) ? 0 : 1), 0);
  const stops = new Uint32Array(count); // where the run of equals ends that each place is part of
  for (let place = count - 1; place >= 0; place--) {
    stops[place] = place + 1 < count && sorted[place + 1] === sorted[place] ? stops[place + 1] : place + 1;
  }
  const shares = new Float64Array(values.length).fill(NaN);
  for (let position = 0; position < values.length; position++) {
    const start = below(sorted, values[position]);
    if (!Number.isNaN(values[position])) shares[position] = (start + stops[start]) / 2 / count;
  }
  return shares;
}

// How many of some sorted values are smaller than one.
function below(sorted, value) {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

// Positions by falling key, equals in their order. Sorting numbers, then looking up, is much faster than comparing.
function ordered(keys) {
  const sorted = Float64Array.from(keys).sort();
  const taken = new Uint32Array(keys.length);
  const order = new Uint32Array(keys.length);
  const last = keys.length - 1;
  for (let position = last; position >= 0; position--) {
    const place = below(sorted, keys[position]);
    order[last - place - taken[place]++] = position;
  }
  return order;
}

// Image sheets, each loaded once.
const sheets = (() => {
  const known = new Map();
  return {
    load(file) {
      if (!known.has(file)) {
        known.set(
          file,
          new Promise((resolve, reject) => {
            const image = new Image();
            image.onload = () => resolve();
            image.onerror = () => reject(new MissingFile(file, "image sheet"));
            image.src = file;
          }),
        );
      }
      return known.get(file);
    },
  };
})();

const datasets = new Map(study.datasets.map((entry) => [entry.name, new Dataset(entry)]));

// Numbers as text, with a true minus sign and never "−0".
function signed(value, digits, plus = "") {
  if (value === null || Number.isNaN(value)) return "–";
  const text = Math.abs(value).toFixed(digits);
  const zero = Number(text) === 0;
  return (zero ? "" : value < 0 ? "−" : plus) + text;
}

const shownScore = (value) => signed(value, 3);
const shownDifference = (value) => signed(value, 3, "+");
const shownInterval = ({low, high}) => `${signed(low, 3)} to ${signed(high, 3)}`;
const shownConfidence = `${Number((100 * study.confidence).toPrecision(6))} %`;
const shownCount = (count) => count.toLocaleString("en-GB");
const plural = (count, one, several = `${one}s`) => `${shownCount(count)} ${count === 1 ? one : several}`;

function shownP(value) {
  if (Number.isNaN(value)) return "–";
  return value < 0.001 ? "< 0.001" : value.toFixed(3);
}

function shownProxy(value) {
  if (Number.isNaN(value)) return "–";
  return signed(value, Math.abs(value) >= 100 ? 1 : Math.abs(value) >= 10 ? 2 : 3);
}

// An element with attributes, properties (those that start with a dot) and children; text is always text.
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith(".")) made[key.slice(1)] = value;
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}
