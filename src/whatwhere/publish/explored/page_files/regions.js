/** Regions for every K: their colours, outlines, shares and mean heat. */

import { byId, canvas } from "./elements.js";
import { fieldOf, marksOf, shown, WALKS } from "./maps.js";
import { pointable } from "./pointing.js";

/** @typedef {import("./state.js").State} State */
/** @typedef {import("./state.js").Choice} Choice */
/** @typedef {import("./numbers.js").Numbers} Numbers */
/** @typedef {import("./drawing.js").Drawing} Drawing */
/** @typedef {import("./drawing.js").Field} Field */

/**
 * The share of each region, 0 to 1.
 * @param {Uint8Array} labels
 * @param {number} clusters
 * @returns {number[]}
 */
export function shares(labels, clusters) {
  const counts = Array(clusters).fill(0);
  for (const label of labels) counts[label] += 1;
  return counts.map((count) => count / labels.length);
}

/**
 * The mean of a field over each region, as a share of the field's largest; on another grid each patch has its
 * nearest number.
 * @param {Field} field
 * @param {Uint8Array} labels  a region for each patch of `grid`
 * @param {[number, number]} grid
 * @param {number} clusters
 * @returns {number[]}
 */
export function meanHeat(field, labels, grid, clusters) {
  const [rows, columns] = field.grid;
  const sums = Array(clusters).fill(0);
  const counts = Array(clusters).fill(0);
  labels.forEach((label, patch) => {
    const row = Math.floor(((Math.floor(patch / grid[1]) + 0.5) / grid[0]) * rows);
    const column = Math.floor((((patch % grid[1]) + 0.5) / grid[1]) * columns);
    sums[label] += field.values[row * columns + column];
    counts[label] += 1;
  });
  const most = Array.from(field.values).reduce((sofar, value) => Math.max(sofar, value), 0);
  return sums.map((sum, region) => (counts[region] ? sum / counts[region] / most : 0));
}

/**
 * @param {State} state
 * @param {Numbers} numbers
 * @param {Drawing} drawing
 */
export function regions(state, numbers, drawing) {
  const { grid } = numbers.facts;
  const picture = canvas("regions");
  const body = byId("region-rows");
  pointable(picture, state, () => grid);
  for (const name of ["pointermove", "pointerdown", "keydown", "focus"]) {
    picture.addEventListener(name, () => state.set({ region: regionAt(state.choice) }));
  }
  for (const name of ["pointerleave", "blur"]) picture.addEventListener(name, () => state.set({ region: null }));
  state.listen((choice) => {
    const { pathway, clusters, borders, region } = choice;
    const pixels = numbers.pixels(pathway, clusters, borders);
    drawing.regions(picture, pixels, region);
    drawing.marks(picture, marksOf(choice, grid));
    table(choice, shares(pixels, clusters));
  });

  /**
   * @param {Choice} choice
   * @returns {number}
   */
  function regionAt({ pathway, clusters, point }) {
    return numbers.patches(pathway, clusters)[point];
  }

  /**
   * A row for each region, kept while only its numbers change, so that the keyboard's focus stays.
   * @param {Choice} choice
   * @param {number[]} found
   */
  function table(choice, found) {
    const { patch } = shown(choice)[0];
    const labels = numbers.patches(choice.pathway, choice.clusters);
    const heat = WALKS.map((walk) => meanHeat(fieldOf(numbers, choice, walk, patch), labels, grid, choice.clusters));
    while (body.children.length > choice.clusters) body.lastElementChild?.remove();
    while (body.children.length < choice.clusters) body.append(row(body.children.length));
    found.forEach((share, region) => {
      const line = /** @type {HTMLTableRowElement} */ (body.children[region]);
      line.classList.toggle("pointed", region === choice.region);
      [share, ...heat.map((one) => one[region])].forEach((part, cell) => {
        line.cells[cell + 1].textContent = `${(part * 100).toFixed(1)} %`;
      });
    });
  }

  /**
   * @param {number} region
   * @returns {HTMLTableRowElement}
   */
  function row(region) {
    const line = document.createElement("tr");
    const head = document.createElement("th");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `${region + 1}`;
    const colour = drawing.palette[region % drawing.palette.length];
    button.style.borderLeftColor = `rgb(${colour.join(" ")})`;
    head.append(button);
    line.append(head, ...[0, 1, 2].map(() => document.createElement("td")));
    for (const name of ["pointerenter", "focusin", "click"]) {
      line.addEventListener(name, () => state.set({ region }));
    }
    for (const name of ["pointerleave", "focusout"]) line.addEventListener(name, () => state.set({ region: null }));
    return line;
  }
}
