/** Puts the page together: numbers, drawing, choice, and what shows them. */

import { controls } from "./controls.js";
import { Drawing } from "./drawing.js";
import { byId, theme } from "./elements.js";
import { maps } from "./maps.js";
import { Numbers } from "./numbers.js";
import { regions } from "./regions.js";
import { State } from "./state.js";
import { vectors } from "./vectors.js";

const facts = /** @type {import("./numbers.js").Facts} */ (JSON.parse(byId("facts").textContent ?? ""));
const numbers = new Numbers(facts, (name) => (byId(`heads-${name}`).textContent ?? "").trim());
const photo = /** @type {HTMLImageElement} */ (byId("source"));
const [rows, columns] = facts.grid;
const state = new State(/** @type {import("./state.js").Choice} */ ({
  point: Math.floor(rows / 2) * columns + Math.floor(columns / 2),
  pins: [],
  sample: 0,
  layer: null,
  head: null,
  steps: 1,
  photo: 0.35,
  colours: "three",
  vector: 1,
  pathway: "qk",
  clusters: facts.regions.qk.chosen,
  borders: "image",
  region: null,
}));

theme();
await photo.decode();
const drawing = new Drawing(photo, facts.size, facts);
controls(state, numbers);
maps(state, numbers, drawing);
vectors(state, numbers, drawing);
regions(state, numbers, drawing);
state.tell();
document.documentElement.dataset.ready = "yes";
// for those who want the numbers themselves, from the browser's console
Object.assign(globalThis, { whatwhere: { state, numbers } });
