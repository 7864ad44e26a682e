/** Pointing at the pictures, which all show the same frame: by mouse, by finger and by keys. */

/** @typedef {import("./state.js").State<any>} State */
/** @typedef {[number, number]} Grid  rows and columns */

const ARROWS = new Map([["ArrowUp", [-1, 0]], ["ArrowDown", [1, 0]], ["ArrowLeft", [0, -1]], ["ArrowRight", [0, 1]]]);
/** Patches that an arrow key goes at once, with Shift. */
const FAR = 5;

/**
 * Pointing at a picture chooses the patch; a click pins it, and so does a second touch of the same patch.
 * @param {HTMLElement} picture
 * @param {State} state
 * @param {() => Grid} gridOf  the grid that the picture has now
 */
export function pointable(picture, state, gridOf) {
  let before = -1;
  picture.tabIndex = 0;
  picture.addEventListener("pointermove", (event) => state.set({ point: patchAt(event, picture, gridOf()) }));
  picture.addEventListener("pointerdown", (event) => {
    before = event.pointerType === "touch" ? state.choice.point : patchAt(event, picture, gridOf());
    state.set({ point: patchAt(event, picture, gridOf()) });
  });
  picture.addEventListener("click", (event) => {
    const patch = patchAt(event, picture, gridOf());
    if (patch === before) state.pin(patch);
  });
  picture.addEventListener("keydown", (event) => keyed(event, state, gridOf()));
}

/**
 * @param {KeyboardEvent} event
 * @param {State} state
 * @param {Grid} grid
 */
function keyed(event, state, grid) {
  const arrow = ARROWS.get(event.key);
  const times = event.shiftKey ? FAR : 1;
  if (arrow) state.move(grid, arrow[0] * times, arrow[1] * times);
  else if (event.key === "Enter" || event.key === " ") state.pin(state.choice.point);
  else if (event.key === "Escape") state.set({ pins: [] });
  else return;
  event.preventDefault();
}

/**
 * @param {MouseEvent} event
 * @param {HTMLElement} picture
 * @param {Grid} grid
 * @returns {number}
 */
function patchAt(event, picture, grid) {
  const box = picture.getBoundingClientRect();
  const [rows, columns] = grid;
  const row = Math.floor(((event.clientY - box.top) / box.height) * rows);
  const column = Math.floor(((event.clientX - box.left) / box.width) * columns);
  return Math.min(rows - 1, Math.max(0, row)) * columns + Math.min(columns - 1, Math.max(0, column));
}
