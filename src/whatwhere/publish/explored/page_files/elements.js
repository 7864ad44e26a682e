/** Elements of a page by their ids, and what its pictures are called. */

/**
 * In words, rows and columns from 1.
 * @param {number} patch
 * @param {[number, number]} grid
 * @returns {string}
 */
export function placeOf(patch, grid) {
  return `row ${Math.floor(patch / grid[1]) + 1}, column ${(patch % grid[1]) + 1}`;
}

/**
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

/**
 * @param {string} id
 * @returns {HTMLCanvasElement}
 */
export function canvas(id) {
  return /** @type {HTMLCanvasElement} */ (byId(id));
}

/** The page in dark or in light, as the system has it until somebody chooses. */
export function theme() {
  const root = document.documentElement;
  byId("theme").addEventListener("click", () => {
    const dark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
}
