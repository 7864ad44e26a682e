/** What the page knows: the numbers that were written into it, read when they are asked for. */

import { Bits, bytesOf, labelsOf } from "./bits.js";
import { Head, headsOf, kept } from "./heads.js";

/** @typedef {"qk" | "vv"} Walk */
/** @typedef {Walk | "both"} Pathway */
/** @typedef {"image" | "tokens"} Borders */
/** @typedef {{name: string, sample: number, grid: [number, number], heads: number}} Layer */
/** @typedef {{values: number[], largest: number[], levels: string}} Vectors */
/**
 * @typedef {object} Facts
 * @property {[number, number]} size  of the photograph: width, height
 * @property {[number, number]} grid  of the patches: rows, columns
 * @property {string} backbone
 * @property {number} stride
 * @property {number} tolerance
 * @property {Record<Walk, {largest: string, levels: string}>} means
 * @property {Layer[]} layers
 * @property {Record<Pathway, Vectors>} vectors
 * @property {Record<Pathway, Record<string, any>>} regions
 * @property {string} viridis
 * @property {string} palette
 */

const LEVELS = 127;

/** Numbers of one photograph. */
export class Numbers {
  /**
   * @param {Facts} facts
   * @param {(name: string) => string} block  the text of a layer's heads
   */
  constructor(facts, block) {
    this.facts = facts;
    this.block = block;
    this.tokens = facts.grid[0] * facts.grid[1];
    /** @type {Map<string, any>} */
    this.known = new Map();
  }

  /**
   * What `make` answers, made once.
   * @template T
   * @param {string} name
   * @param {() => T} make
   * @returns {T}
   */
  once(name, make) {
    if (!this.known.has(name)) this.known.set(name, make());
    return this.known.get(name);
  }

  /**
   * The matrix that the solver sees of a pathway, row after row.
   * @param {Walk} pathway
   * @returns {Float32Array}
   */
  mean(pathway) {
    return this.once(`mean ${pathway}`, () => {
      const { largest, levels } = this.facts.means[pathway];
      const tops = new Float32Array(bytesOf(largest).slice().buffer);
      const bits = new Bits(bytesOf(levels));
      const M = new Float32Array(this.tokens ** 2);
      for (let row = 0; row < this.tokens; row += 1) {
        const part = bits.rice(this.tokens - row);
        for (let index = 0; index < part.length; index += 1) {
          const column = row + index;
          const value = (part[index] / LEVELS) * Math.min(tops[row], tops[column]);
          M[row * this.tokens + column] = value;
          M[column * this.tokens + row] = value;
        }
      }
      return M;
    });
  }

  /**
   * How strongly a patch is connected with every patch, by all layers and heads.
   * @param {Walk} pathway
   * @param {number} patch
   * @returns {Float64Array}
   */
  connections(pathway, patch) {
    return Float64Array.from(this.mean(pathway).subarray(patch * this.tokens, (patch + 1) * this.tokens));
  }

  /**
   * Where a random walk from a patch is after so many steps, each along a connection as likely as it is strong.
   * @param {Walk} pathway
   * @param {number} patch
   * @param {number} steps
   * @returns {Float64Array}
   */
  walked(pathway, patch, steps) {
    const M = this.mean(pathway);
    const degrees = this.once(`degrees ${pathway}`, () => degreesOf(M, this.tokens));
    /** @type {Float64Array} */
    let at = new Float64Array(this.tokens);
    at[patch] = 1;
    for (let step = 0; step < steps; step += 1) {
      const next = new Float64Array(this.tokens);
      for (let row = 0; row < this.tokens; row += 1) {
        const leaving = at[row] / degrees[row];
        if (leaving === 0) continue;
        const from = row * this.tokens;
        for (let column = 0; column < this.tokens; column += 1) next[column] += leaving * M[from + column];
      }
      at = next;
    }
    return at;
  }

  /**
   * The attention of a patch in one layer, of one head or (null) of their mean, on the grid of that layer.
   * @param {Walk} pathway
   * @param {number} patch
   * @param {number} layer
   * @param {number | null} head
   * @returns {Float64Array}
   */
  attention(pathway, patch, layer, head) {
    const { grid, heads } = this.facts.layers[layer];
    const row = this.keptRow(patch, grid).index;
    const numbers = head === null ? Array.from({ length: heads }, (_, number) => number) : [head];
    const sum = new Float64Array(grid[0] * grid[1]);
    for (const number of numbers) {
      const P = this.head(pathway, layer, number).row(row);
      for (let token = 0; token < sum.length; token += 1) sum[token] += P[token] / numbers.length;
    }
    return sum;
  }

  /**
   * @param {Walk} pathway
   * @param {number} layer
   * @param {number} head
   * @returns {Head}
   */
  head(pathway, layer, head) {
    const { grid } = this.facts.layers[layer];
    const { stride, tolerance } = this.facts;
    const parts = this.once(`${pathway}-${layer}`, () => headsOf(this.block(`${pathway}-${layer}`)));
    const name = `${pathway}-${layer}-${head}`;
    return this.once(name, () => new Head(parts[head], grid, stride, tolerance, pathway === "vv"));
  }

  /**
   * The nearest patch, on the grid of a layer, whose row is kept: its place there, and its number among those kept.
   * @param {number} patch
   * @param {[number, number]} grid
   * @returns {{row: number, column: number, index: number}}
   */
  keptRow(patch, grid) {
    const [rows, columns] = this.facts.grid;
    const places = kept(grid, this.facts.stride);
    const row = nearest(places.rows, ((Math.floor(patch / columns) + 0.5) / rows) * grid[0] - 0.5);
    const column = nearest(places.columns, (((patch % columns) + 0.5) / columns) * grid[1] - 0.5);
    const index = row * places.columns.length + column;
    return { row: places.rows[row], column: places.columns[column], index };
  }

  /**
   * An eigenvector, a number for each patch.
   * @param {Pathway} pathway
   * @param {number} number
   * @returns {Float64Array}
   */
  vector(pathway, number) {
    const { largest, levels } = this.facts.vectors[pathway];
    const all = this.once(`vectors ${pathway}`, () => new Int8Array(bytesOf(levels).slice().buffer));
    const own = all.subarray(number * this.tokens, (number + 1) * this.tokens);
    return Float64Array.from(own, (level) => (level / LEVELS) * largest[number]);
  }

  /**
   * The region of each patch.
   * @param {Pathway} pathway
   * @param {number} clusters
   * @returns {Uint8Array}
   */
  patches(pathway, clusters) {
    return this.once(`patches ${pathway} ${clusters}`, () =>
      labelsOf(this.facts.regions[pathway][clusters].each, this.tokens));
  }

  /**
   * The region of each pixel of the photograph.
   * @param {Pathway} pathway
   * @param {number} clusters
   * @param {Borders} borders
   * @returns {Uint8Array}
   */
  pixels(pathway, clusters, borders) {
    const [width, height] = this.facts.size;
    return this.once(`pixels ${pathway} ${clusters} ${borders}`, () =>
      labelsOf(this.facts.regions[pathway][clusters][borders], width * height));
  }
}

/**
 * @param {Float32Array} M
 * @param {number} tokens
 * @returns {Float64Array}
 */
function degreesOf(M, tokens) {
  const degrees = new Float64Array(tokens);
  for (let place = 0; place < M.length; place += 1) degrees[Math.floor(place / tokens)] += M[place];
  return degrees;
}

/**
 * The index of the place nearest to where; of equals the first.
 * @param {number[]} places
 * @param {number} where
 * @returns {number}
 */
function nearest(places, where) {
  let best = 0;
  places.forEach((place, index) => {
    if (Math.abs(place - where) < Math.abs(places[best] - where) - 1e-9) best = index;
  });
  return best;
}
