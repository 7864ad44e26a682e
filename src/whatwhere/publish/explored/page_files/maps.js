/** The photograph, and the two maps of a patch: where its query looks, and what its value resembles. */

import { byId, canvas, placeOf } from "./elements.js";
import { pointable } from "./pointing.js";

/** @typedef {import("./state.js").State} State */
/** @typedef {import("./state.js").Choice} Choice */
/** @typedef {import("./numbers.js").Numbers} Numbers */
/** @typedef {import("./numbers.js").Walk} Walk */
/** @typedef {import("./drawing.js").Drawing} Drawing */
/** @typedef {import("./drawing.js").Mark} Mark */
/** @typedef {import("./drawing.js").Field} Field */

/** @type {Walk[]} */
export const WALKS = ["qk", "vv"];
const NAMES = ["A", "B"];

/**
 * The map of a patch, as is chosen.
 * @param {Numbers} numbers
 * @param {Choice} choice
 * @param {Walk} walk
 * @param {number} patch
 * @returns {Field}
 */
export function fieldOf(numbers, choice, walk, patch) {
  const { layer, head, steps } = choice;
  if (layer !== null) {
    return { values: numbers.attention(walk, patch, layer, head), grid: numbers.facts.layers[layer].grid };
  }
  const values = steps > 1 ? numbers.walked(walk, patch, steps) : numbers.connections(walk, patch);
  return { values, grid: numbers.facts.grid };
}

/**
 * The patches whose maps are shown, and their letters: pinned ones, then the one pointed at if there is room.
 * @param {Choice} choice
 * @returns {{patch: number, name: string}[]}
 */
export function shown(choice) {
  const pinned = choice.pins.map((patch, index) => ({ patch, name: NAMES[index] }));
  return pinned.length < 2 ? [...pinned, { patch: choice.point, name: "" }] : pinned;
}

/**
 * @param {State} state
 * @param {Numbers} numbers
 * @param {Drawing} drawing
 */
export function maps(state, numbers, drawing) {
  const { grid } = numbers.facts;
  const photo = canvas("photo");
  for (const id of ["photo", "qk-1", "vv-1", "qk-2", "vv-2"]) pointable(canvas(id), state, () => grid);
  byId("pin").addEventListener("click", () => state.pin(state.choice.point));
  byId("clear").addEventListener("click", () => state.set({ pins: [] }));
  state.listen((choice) => {
    drawing.picture(photo);
    if (choice.region !== null) {
      drawing.outline(photo, numbers.pixels(choice.pathway, choice.clusters, choice.borders), choice.region);
    }
    drawing.marks(photo, marksOf(choice, grid));
    const rows = shown(choice);
    byId("second").hidden = rows.length < 2;
    byId("whose-1").hidden = !choice.pins.length; // of one patch alone nobody asks which
    rows.forEach((one, index) => pair(one, index + 1));
    byId("said").textContent = said(choice);
  });

  /**
   * @param {{patch: number, name: string}} one
   * @param {number} place
   */
  function pair({ patch, name }, place) {
    const { choice } = state;
    const who = name ? `pinned patch ${name} (${placeOf(patch, grid)})` : `the patch at ${placeOf(patch, grid)}`;
    byId(`whose-${place}`).textContent = who[0].toUpperCase() + who.slice(1);
    for (const walk of WALKS) {
      const target = canvas(`${walk}-${place}`);
      const field = fieldOf(numbers, choice, walk, patch);
      drawing.heat(target, field, choice.photo);
      drawing.marks(target, [...keptMark(patch, field.grid), mark(patch, name, grid)]);
      target.setAttribute("aria-label", `${walk === "qk" ? "Where" : "What"}: map of ${who}`);
    }
  }

  /**
   * The patch whose row is shown, where single layers keep every second only.
   * @param {number} patch
   * @param {[number, number]} layerGrid
   * @returns {Mark[]}
   */
  function keptMark(patch, layerGrid) {
    if (state.choice.layer === null || numbers.facts.stride === 1) return [];
    const { row, column } = numbers.keptRow(patch, layerGrid);
    return [{ row, column, grid: layerGrid, name: "", kind: "kept" }];
  }

  /**
   * @param {Choice} choice
   * @returns {string}
   */
  function said(choice) {
    const pinned = choice.pins.map((patch, index) => `${NAMES[index]} ${placeOf(patch, grid)}`).join("; ");
    return `Patch ${placeOf(choice.point, grid)}.${pinned ? ` Pinned: ${pinned}.` : ""}`;
  }
}

/**
 * @param {Choice} choice
 * @param {[number, number]} grid
 * @returns {Mark[]}
 */
export function marksOf(choice, grid) {
  return [mark(choice.point, "", grid), ...choice.pins.map((patch, index) => mark(patch, NAMES[index], grid))];
}

/**
 * @param {number} patch
 * @param {string} name
 * @param {[number, number]} grid
 * @returns {Mark}
 */
function mark(patch, name, grid) {
  return { row: Math.floor(patch / grid[1]), column: patch % grid[1], grid, name, kind: name ? "pin" : "point" };
}
