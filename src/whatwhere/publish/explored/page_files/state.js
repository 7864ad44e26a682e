/** What a person has chosen, and what follows when it changes. */

/** @typedef {import("./numbers.js").Pathway} Pathway */
/** @typedef {import("./numbers.js").Borders} Borders */
/**
 * @typedef {object} Choice
 * @property {number} point  the patch pointed at
 * @property {number[]} pins  none, one or two patches
 * @property {number} sample  of the noise, where there are several
 * @property {number | null} layer  null: all
 * @property {number | null} head  null: their mean
 * @property {number} steps  of the random walk
 * @property {number} photo  share of the photograph over the maps, 0 to 1
 * @property {"one" | "three"} colours  eigenvectors singly or three at a time
 * @property {number} vector  the first that is shown, from 0
 * @property {Pathway} pathway  of the regions
 * @property {number} clusters
 * @property {Borders} borders
 * @property {number | null} region  the one pointed at
 */

/** @typedef {{point: number, pins: number[]}} Pointed  what every page has a choice of */

/**
 * A choice that tells whoever listens that it was changed, once before the next picture.
 * @template {Pointed} [C=Choice]
 */
export class State {
  /**
   * @param {C} choice
   * @param {number} most  patches that are pinned at once
   */
  constructor(choice, most = 2) {
    this.choice = choice;
    this.most = most;
    /** @type {((choice: C) => void)[]} */
    this.listeners = [];
    this.waiting = false;
  }

  /** @param {(choice: C) => void} listener */
  listen(listener) {
    this.listeners.push(listener);
  }

  /** @param {Partial<C> | Partial<Pointed>} change */
  set(change) {
    this.choice = { ...this.choice, ...change };
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.tell();
    });
  }

  tell() {
    for (const listener of this.listeners) listener(this.choice);
  }

  /**
   * The patch becomes the first pin, then the next, and then takes the last one's place; a pinned one is let go.
   * @param {number} patch
   */
  pin(patch) {
    const { pins } = this.choice;
    this.set({ pins: pins.includes(patch) ? pins.filter((one) => one !== patch) : [...pins.slice(0, this.most - 1), patch] });
  }

  /**
   * Another patch so many rows down and columns to the right, as far as the grid goes.
   * @param {[number, number]} grid
   * @param {number} down
   * @param {number} right
   */
  move(grid, down, right) {
    const [rows, columns] = grid;
    const row = Math.min(rows - 1, Math.max(0, Math.floor(this.choice.point / columns) + down));
    const column = Math.min(columns - 1, Math.max(0, (this.choice.point % columns) + right));
    this.set({ point: row * columns + column });
  }
}
