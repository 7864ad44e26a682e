/** Eigenvectors of each pathway and of both in one, singly or three as colours. */

import { byId, canvas } from "./elements.js";
import { pointable } from "./pointing.js";

/** @typedef {import("./state.js").State} State */
/** @typedef {import("./numbers.js").Numbers} Numbers */
/** @typedef {import("./numbers.js").Pathway} Pathway */
/** @typedef {import("./drawing.js").Drawing} Drawing */

/** @type {Pathway[]} */
export const PATHWAYS = ["qk", "vv", "both"];

/**
 * @param {State} state
 * @param {Numbers} numbers
 * @param {Drawing} drawing
 */
export function vectors(state, numbers, drawing) {
  const { grid } = numbers.facts;
  for (const pathway of PATHWAYS) pointable(canvas(`vector-${pathway}`), state, () => grid);
  let before = "";
  state.listen(({ colours, vector, photo }) => {
    const asked = `${colours} ${vector} ${photo}`;
    if (asked === before) return;
    before = asked;
    for (const pathway of PATHWAYS) {
      const target = canvas(`vector-${pathway}`);
      const { values } = numbers.facts.vectors[pathway];
      const taken = colours === "three" ? [vector, vector + 1, vector + 2] : [vector];
      const fields = taken.map((number) => numbers.vector(pathway, number));
      if (colours === "three") drawing.threefold(target, grid, fields);
      else drawing.heat(target, { values: fields[0], grid }, photo);
      const found = taken.map((number) => `${number + 1}: ${values[number].toFixed(3)}`).join(", ");
      byId(`values-${pathway}`).textContent = `eigenvalue${taken.length > 1 ? "s" : ""} ${found}`;
    }
  });
}
