"use strict";
// Without this file the page has all tables and figures. It adds the switch of the theme and the runs behind each cell.
const root = document.documentElement;
const toggle = document.getElementById("theme");
const isDark = () =>
  root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
const nameToggle = () => { toggle.textContent = isDark() ? "Light" : "Dark"; };
toggle.hidden = false;
toggle.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; nameToggle(); });
nameToggle();

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const number = (digits) => (value) => value === null ? "–" : value.toFixed(digits).replace("-", "−");
const COLUMNS = [
  ["Accuracy", number(3), "num"],
  ["Utility", number(2), "num"],
  ["Success of the attack", number(3), "num"],
  ["Weight of malicious", number(3), "num"],
  ["State", (value) => value || "ok", ""],
  ["Trial", (value) => value || "–", "code"],
];
const ALWAYS = ["Accuracy", "Utility", "State", "Trial"];

let unpacking = null;
function behind() {
  unpacking = unpacking || (async () => {
    const bytes = Uint8Array.from(atob(document.getElementById("behind").textContent), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return JSON.parse(await new Response(stream).text());
  })();
  return unpacking;
}

const sample = document.createElement("template");
sample.innerHTML = "<svg></svg>";
const SVG = sample.content.firstChild.namespaceURI;
function make(tag, attributes, ...content) {
  const drawn = ["svg", "path", "text"].includes(tag);
  const made = drawn ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== "") made.setAttribute(name, value);
  made.append(...content);
  return made;
}

const points = (curve, rounds) => typeof curve === "string"
  ? [...curve].map((letter, at) => [rounds[at], letter === "." ? null : LETTERS.indexOf(letter) / (LETTERS.length - 1)])
  : curve;

function figure(curves, tab) {
  if (Math.max(...curves.map((curve) => curve.length)) < 3) return [];
  const last = Math.max(...curves.map((curve) => curve.length ? curve[curve.length - 1][0] : 1));
  const x = (t) => (26 + 298 * t / last).toFixed(1), y = (value) => (8 + 120 * (1 - Math.min(Math.max(value, 0), 1))).toFixed(1);
  const across = (value) => `M26 ${y(value)}H324`;
  const text = (left, top, anchor, words) => make("text", { x: left, y: top, "text-anchor": anchor }, words);
  const svg = make("svg", { class: "plot", viewBox: "0 0 330 150", role: "img", "aria-label": "Test accuracy over the rounds, a line a seed" });
  svg.append(make("path", { class: "grid", d: across(0) + across(0.5) + across(1) }));
  for (const value of [1, 0.5, 0]) svg.append(text(20, +y(value) + 4, "end", String(value)));
  for (const [words, value] of [["no attack, plain averaging", tab.baseline], ["guessing", tab.chance]]) {
    if (value === null) continue;
    svg.append(make("path", { class: "base", d: across(value) }), text(324, y(value) - 4, "end", words));
  }
  for (const curve of curves) {
    let d = "", drawing = false;
    for (const [t, value] of curve) {
      if (value !== null) d += `${drawing ? "L" : "M"}${x(t)} ${y(value)}`;
      drawing = value !== null;
    }
    svg.append(make("path", { class: "thin line", d }));
  }
  svg.append(text(26, 144, "start", "round 0"), text(324, 144, "end", String(last)));
  return [make("figure", {}, svg, make("figcaption", {}, "Test accuracy over the rounds, a line a seed."))];
}

function runsOf(columns, seeds) {
  const shown = COLUMNS.map((column, at) => [...column, columns[at]]).filter(([heading, , , values]) =>
    ALWAYS.includes(heading) || values.some((value) => value !== null));
  const head = make("tr", {}, make("th", { scope: "col", class: "num" }, "Seed"),
    ...shown.map(([heading, , look]) => make("th", { scope: "col", class: look === "num" ? look : "" }, heading)));
  const rows = columns[0].map((_, run) => make("tr", {}, make("td", { class: "num" }, String(seeds[run])),
    ...shown.map(([, words, look, values]) => {
      const text = words(values[run]);
      return make("td", { class: look === "num" ? look : "" }, look === "code" ? make("code", {}, text) : text);
    })));
  return make("div", { class: "scroll plain" }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
}

function lay(place, tab, defense, attack) {
  const [utility, interval, columns] = tab.cells[defense][attack];
  const name = tab.attacks[attack], alone = columns[0].length === 1;
  const under = name === "none" ? "without an attack" : `under ${name}`;
  const spread = interval ? `, 95% interval ${interval.map(number(2)).join(" to ")}` : alone ? "; one seed, so no interval" : "; no interval";
  const curves = columns[6].map((curve) => points(curve, tab.rounds));
  place.replaceChildren(
    make("a", { class: "close", href: "#closed" }, "Close"),
    make("h4", {}, `${tab.defenses[defense]} ${under}, ${tab.f} of ${tab.clients} malicious`),
    make("p", { class: "soft" }, `Utility ${number(2)(utility)}${spread}.`),
    make("div", { class: "both" }, ...figure(curves, tab), runsOf(columns, tab.seeds)));
}

const tables = [...document.querySelectorAll("[data-behind]")];
const cellsOf = (table) => [...table.querySelectorAll("tbody tr")].map((row) => [...row.querySelectorAll("td:not(.end, [colspan])")]);

async function reveal() {
  document.querySelectorAll(".heat td.open").forEach((cell) => cell.classList.remove("open"));
  document.querySelectorAll("article.cell").forEach((cell) => { cell.hidden = true; });
  const asked = decodeURIComponent(location.hash.slice(1));
  const [, key, defense, attack] = asked.match(/^(.+)-d(\d+)-a(\d+)$/) || [];
  const table = tables.find((found) => found.dataset.behind === key);
  const target = table || (asked && document.getElementById(asked));
  if (!target) return;
  for (let panel = target.closest(".panel"); panel; panel = panel.parentElement.closest(".panel")) {
    panel.querySelector(":scope > input").checked = true;
  }
  if (!table) { target.scrollIntoView(); return; }
  const cell = (cellsOf(table)[defense] || [])[attack], place = document.getElementById(`${key}-cell`);
  if (!cell) return;
  try {
    const tab = (await behind())[key];
    if (!tab.cells[defense][attack]) return;
    lay(place, tab, +defense, +attack);
  } catch (error) {
    place.replaceChildren(`This browser cannot unpack the runs (${error.message}). The file scores.csv has them.`);
  }
  cell.classList.add("open");
  place.hidden = false;
  place.scrollIntoView({ block: "nearest" });
}

for (const table of tables) {
  const cells = cellsOf(table);
  table.removeAttribute("tabindex");
  table.classList.add("selects");
  const first = cells.flat()[0];
  if (first) first.tabIndex = 0;
  const place = (cell) => {
    const row = cells.findIndex((own) => own.includes(cell));
    return [row, row < 0 ? -1 : cells[row].indexOf(cell)];
  };
  const select = (cell) => {
    const [row, column] = place(cell);
    if (row < 0) return;
    const asked = `${table.dataset.behind}-d${row}-a${column}`, top = scrollY;
    location.hash = cell.classList.contains("open") ? "closed" : asked;
    scrollTo({ top, behavior: "instant" });
  };
  table.addEventListener("click", (event) => { const cell = event.target.closest("td"); if (cell) select(cell); });
  table.addEventListener("keydown", (event) => {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const cell = event.target.closest("td");
    if (!cell) return;
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); select(cell); return; }
    const move = moves[event.key];
    if (!move) return;
    const [row, column] = place(cell), next = (cells[row + move[0]] || [])[column + move[1]];
    if (!next) return;
    event.preventDefault();
    cell.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
}
document.addEventListener("click", (event) => {
  if (!event.target.closest("article.cell .close")) return;
  event.preventDefault();
  const top = scrollY;
  location.hash = "closed";
  scrollTo({ top, behavior: "instant" });
});
addEventListener("hashchange", reveal);
addEventListener("keydown", (event) => { if (event.key === "Escape" && document.querySelector("article.cell:not([hidden])")) location.hash = "closed"; });
reveal();
