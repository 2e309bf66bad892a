"use strict";
// Gallery, enlarged pictures and map of a report. Texts reach the page as text, never as HTML.

const read = (id) => {
  const element = document.getElementById(id);
  return element ? JSON.parse(element.textContent) : null;
};
const make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
};
const number = (value) => (value === null ? "–" : String(value));

// ---- pictures -------------------------------------------------------------------------------
const pictures = read("pictures-data") || { sources: [], tiles: [] };
const sheets = pictures.sources.map(() => null);
const sheet = (place) => {
  if (!sheets[place]) {
    const image = new Image();
    image.src = pictures.sources[place];
    sheets[place] = image.decode().then(() => image);
  }
  return sheets[place];
};
// A picture as a canvas of `side` CSS pixels at most; tiny ones keep their pixels' edges.
const draw = (place, side, description) => {
  const tile = pictures.tiles[place];
  if (!tile) return make("span", { class: "absent" }, "picture missing or unreadable");
  const [of, left, top, width, height] = tile;
  const factor = side / Math.max(width, height);
  const canvas = make("canvas", { role: "img", "aria-label": description, width, height });
  canvas.style.width = `${Math.max(1, Math.round(width * factor))}px`;
  canvas.style.height = `${Math.max(1, Math.round(height * factor))}px`;
  if (Math.max(width, height) <= 64) canvas.className = "pixelated";
  canvas.dataset.state = "waiting";
  sheet(of).then((image) => {
    canvas.getContext("2d").drawImage(image, left, top, width, height, 0, 0, width, height);
    canvas.dataset.state = "drawn";
  }, () => { canvas.dataset.state = "failed"; });
  return canvas;
};

// ---- galleries ------------------------------------------------------------------------------
const [NUMBER, ATTEMPT, REFUSED, REMARK, OWN, RANDOM, NEAREST, PIXELS, PICTURE, FILE] =
  Array(10).keys();
const CARDS = 12;
const galleries = new Map();
const orders = {
  "highest score first": (a, b) => a.rank - b.rank,
  "lowest score first": (a, b) => b.rank - a.rank,
  "most refused first": (a, b) => refused(b) - refused(a) || a.rank - b.rank,
  "name": (a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
};
const refused = (anchor) => anchor.variations.filter((one) => one[REFUSED] >= 0).length;
const verdict = (data, one) => (one[REFUSED] < 0 ? "accepted" : data.reasons[one[REFUSED]]);

const describe = (data, anchor, one) => one === null
  ? `Anchor: ${anchor.name}`
  : `${one[REFUSED] < 0 ? "Accepted" : "Refused"} variation ${one[NUMBER] + 1} of ${anchor.name}`
    + (one[ATTEMPT] ? `, draw ${one[ATTEMPT] + 1}` : "");

const tile = (gallery, anchor, one) => {
  const data = gallery.data;
  const description = describe(data, anchor, one);
  const label = one === null ? "anchor" : one[REFUSED] < 0 ? "✓ accepted" : "✕ refused";
  const button = make(
    "button",
    { type: "button", class: "frame", "aria-label": `${description}. Enlarge`,
      onclick: () => enlarge(gallery, anchor, one) },
    draw(one === null ? anchor.picture : one[PICTURE], 96, description),
  );
  const kind = one === null ? " original" : one[REFUSED] < 0 ? "" : " refused";
  const item = make("li", { class: `tile${kind}` }, button, make("span", { class: "label" }, label));
  if (one !== null && one[ATTEMPT]) {
    item.append(make("span", { class: "remark" }, `draw ${one[ATTEMPT] + 1}`));
  }
  if (one !== null && one[REFUSED] >= 0) {
    item.append(make("span", { class: "reason" }, data.reasons[one[REFUSED]]));
  }
  return item;
};

const card = (gallery, anchor) => {
  const shown = anchor.variations.filter((one) => gallery.keeps(one));
  return make("li", { class: "card" },
    make("p", {},
      make("span", { class: "path" }, anchor.name), make("br"),
      make("span", { class: "quiet" },
        `rank ${anchor.rank}, score ${number(anchor.score)}, image number ${anchor.index}`)),
    make("ul", { class: "tiles" },
      tile(gallery, anchor, null), ...shown.map((one) => tile(gallery, anchor, one))));
};

const option = (text) => make("option", { value: text }, text);
const choice = (label, values, changed) => {
  const select = make("select", { onchange: () => changed(select.value) }, ...values.map(option));
  return make("label", {}, `${label} `, select);
};

class Gallery {
  constructor(place, data) {
    this.place = place;
    this.data = data;
    this.page = 0;
    this.filter = "everything";
    this.order = "highest score first";
    this.list = make("ol", { class: "cards" });
    this.count = make("span", { class: "count", role: "status" });
    const step = (text, by) => make("button",
      { type: "button", class: "step", onclick: () => this.turn(this.page + by) }, text);
    this.back = step("‹ Previous", -1);
    this.on = step("Next ›", 1);
    const filters = ["everything", "accepted", "refused", "anchors without an accepted one",
      ...data.reasons.map((reason) => `refused: ${reason}`)];
    place.append(
      make("div", { class: "controls" },
        choice("Show", filters, (value) => { this.filter = value; this.turn(0); }),
        choice("Order", Object.keys(orders), (value) => { this.order = value; this.turn(0); }),
        this.back, this.on, this.count),
      this.list);
    this.turn(0);
  }
  keeps(one) {
    if (this.filter === "accepted") return one[REFUSED] < 0;
    if (this.filter === "refused") return one[REFUSED] >= 0;
    if (this.filter.startsWith("refused: ")) {
      return `refused: ${verdict(this.data, one)}` === this.filter;
    }
    return true;
  }
  anchors() {
    const without = (anchor) => !anchor.variations.some((one) => one[REFUSED] < 0);
    const kept = this.filter === "everything" ? [...this.data.anchors]
      : this.filter === "anchors without an accepted one" ? this.data.anchors.filter(without)
      : this.data.anchors.filter((anchor) => anchor.variations.some((one) => this.keeps(one)));
    return kept.sort(orders[this.order]);
  }
  turn(page) {
    const anchors = this.anchors();
    this.page = Math.max(0, Math.min(page, Math.ceil(anchors.length / CARDS) - 1));
    const first = this.page * CARDS;
    const shown = anchors.slice(first, first + CARDS);
    this.list.replaceChildren(...shown.map((anchor) => card(this, anchor)));
    this.count.textContent = anchors.length
      ? `${first + 1} to ${first + shown.length} of ${anchors.length} anchors`
      : "no anchor has any";
    this.back.disabled = this.page === 0;
    this.on.disabled = first + CARDS >= anchors.length;
  }
}

// ---- one picture, enlarged ------------------------------------------------------------------
const dialog = document.getElementById("enlarged");
const enlarge = (gallery, anchor, one) => {
  const data = gallery.data;
  const all = [null, ...anchor.variations];
  const step = (by) => {
    const next = all[all.indexOf(one) + by];
    if (next !== undefined) enlarge(gallery, anchor, next);
  };
  const side = Math.min(320, (window.innerWidth - 96) / 2);
  const facts = one === null
    ? [["score", number(anchor.score)], ["rank", anchor.rank], ["image number", anchor.index]]
    : [["verdict", verdict(data, one) + (one[REMARK] ? `, ${one[REMARK]}` : "")],
      ["distance to its anchor", number(one[OWN])],
      ["distance to a random anchor", number(one[RANDOM])],
      ["distance to the nearest other image", number(one[NEAREST])],
      ["difference from its anchor in grey levels", number(one[PIXELS])]];
  const figure = (place, text) => {
    const made = make("figure", {}, draw(place, side, text), make("figcaption", {}, text));
    made.style.width = `${side}px`; // long names break, and the pair stays side by side
    return made;
  };
  const figures = [figure(anchor.picture, describe(data, anchor, null))];
  if (one !== null) figures.push(figure(one[PICTURE], describe(data, anchor, one)));
  const body = [
    make("div", { class: "pair" }, ...figures),
    make("dl", { class: "facts-list" },
      ...facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, String(value))])),
  ];
  if (one !== null) {
    body.push(make("p", { class: "quiet" }, "File: ", make("code", {}, one[FILE])));
  }
  const button = (text, action, off = false) => {
    const made = make("button", { type: "button", class: "step", onclick: action }, text);
    made.disabled = off;
    return made;
  };
  const place = all.indexOf(one);
  const close = button("Close", () => dialog.close());
  dialog.replaceChildren(...body, make("div", { class: "controls" },
    button("‹ Previous", () => step(-1), place === 0),
    button("Next ›", () => step(1), place === all.length - 1), close));
  dialog.onkeydown = (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  };
  if (!dialog.open) dialog.showModal();
  close.focus();
};
if (dialog) {
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
}

for (const place of document.querySelectorAll("[data-gallery]")) {
  const data = read(`gallery-data-${place.dataset.gallery}`);
  const open = () => {
    if (!galleries.has(data.cycle)) galleries.set(data.cycle, new Gallery(place, data));
  };
  const details = place.closest("details");
  details.addEventListener("toggle", () => { if (details.open) open(); });
  if (details.open) open();
}

// ---- map ------------------------------------------------------------------------------------
const inflate = async (id) => {
  const packed = Uint8Array.from(
    atob(document.getElementById(id).textContent.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
};
const showMap = async (maps) => {
  const script = document.createElement("script");
  script.textContent = await inflate("plotly-data");
  document.head.append(script);
  const plot = document.getElementById("map-plot");
  const shown = document.getElementById("map-shown");
  const byIndex = new Map();
  for (const { cycle } of maps.rounds) {
    const data = read(`gallery-data-${cycle}`);
    byIndex.set(cycle, new Map(data.anchors.map((anchor) => [anchor.index, anchor])));
  }
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  let current = maps.rounds[maps.rounds.length - 1];
  const extent = (axis) => {
    let low = Infinity, high = -Infinity;
    for (const round of maps.rounds) {
      for (const at of [round.images.at, round.anchors.at, round.variations.at, round.earlier]) {
        for (const value of at[axis]) { low = Math.min(low, value); high = Math.max(high, value); }
      }
    }
    const margin = 0.04 * (high - low || 1);
    return [low - margin, high + margin];
  };
  const ranges = [extent(0), extent(1)];
  const trace = (meta, name, at, marker) => ({
    type: "scatter", mode: "markers", name, meta, x: at[0], y: at[1], marker, hoverinfo: "none",
  });
  const few = maps.rounds.every((round) => round.anchors.index.length <= 150) ? 1 : 0;
  const traces = () => [
    trace("earlier", "variations of earlier rounds", current.earlier,
      { size: 4 + few, symbol: "x-thin-open", color: colour("--muted"), opacity: 0.5 }),
    trace("variation", "variations", current.variations.at,
      { size: 4 + 2 * few, symbol: "cross", color: colour("--series-1"), opacity: 0.7 }),
    trace("image", "images", current.images.at,
      { size: 4 + few, color: colour("--ink"), opacity: 0.55 }),
    trace("anchor", "anchors", current.anchors.at,
      { size: 6 + 3 * few, symbol: "diamond", color: colour("--series-2"),
        line: { width: 1, color: colour("--card") } }),
  ];
  const axis = (range) => ({
    range, zeroline: false, showticklabels: false, gridcolor: colour("--line"), ticks: "",
  });
  const layout = () => ({
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: colour("--ink"), family: "system-ui, sans-serif", size: 13 },
    margin: { l: 8, r: 8, t: 8, b: 8 }, hovermode: "closest", dragmode: "pan",
    legend: { orientation: "h", y: -0.02, yanchor: "top" },
    xaxis: axis(ranges[0]), yaxis: { ...axis(ranges[1]), scaleanchor: "x" },
    uirevision: "kept",
  });
  const config = { displayModeBar: false, responsive: true, scrollZoom: true };
  const paint = () => Plotly.react(plot, traces(), layout(), config);
  const picture = (point) => {
    const at = point.pointNumber;
    const kind = point.data.meta;
    const anchors = byIndex.get(current.cycle);
    if (kind === "image") {
      const image = make("img", { src: maps.images[current.images.of[at]], alt: "the image", width: 96 });
      image.className = "pixelated";
      return [image, "image"];
    }
    if (kind === "anchor") {
      const anchor = anchors.get(current.anchors.index[at]);
      return [draw(anchor.picture, 96, anchor.name), `anchor ${anchor.name}`];
    }
    if (kind === "variation") {
      const [index, wanted, attempt] = current.variations.draw[at];
      const anchor = anchors.get(index);
      const one = anchor.variations.find(
        (each) => each[NUMBER] === wanted && each[ATTEMPT] === attempt);
      return [draw(one[PICTURE], 96, "the variation"), `variation of ${anchor.name}`];
    }
    return [null, "variation of an earlier round"];
  };
  await paint();
  plot.on("plotly_hover", ({ points }) => {
    const [image, text] = picture(points[0]);
    shown.replaceChildren(...(image ? [image] : []), make("span", {}, text));
  });
  const rounds = document.getElementById("map-round");
  rounds.addEventListener("change", () => {
    current = maps.rounds.find((round) => String(round.cycle) === rounds.value);
    paint();
  });
  document.getElementById("map-reset").addEventListener("click", () => {
    Plotly.relayout(plot, { "xaxis.range": ranges[0], "yaxis.range": ranges[1] });
  });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  plot.dataset.state = "drawn";
};
const maps = read("map-data");
if (maps) {
  showMap(maps).catch((error) => {
    document.getElementById("map-plot").textContent = `The map cannot be shown: ${error.message}`;
  });
}
