/** The walk of one head, a row at a time: the other side of `heads.py`, which says how it is written. */

import { Bits, bytesOf } from "./bits.js";

const STEPS_PER_OCTAVE = 8;
const FINER = 2;
const BIAS_STEP = 2 ** -8;
const LARGEST_STEP = 2 ** -7;
const LARGEST_BITS = 12;

/**
 * The tokens whose rows are kept: every `stride`-th along both sides.
 * @param {[number, number]} grid
 * @param {number} stride
 * @returns {{rows: number[], columns: number[]}}
 */
export function kept(grid, stride) {
  const [rows, columns] = grid.map((side) => {
    const found = [];
    for (let at = Math.min((stride - 1) >> 1, side - 1); at < side; at += stride) found.push(at);
    return found;
  });
  return { rows, columns };
}

/**
 * The bytes of each head of a layer.
 * @param {string} text
 * @returns {Uint8Array[]}
 */
export function headsOf(text) {
  const bytes = bytesOf(text);
  const view = new DataView(bytes.buffer);
  const heads = [];
  for (let from = 0; from < bytes.length;) {
    const length = view.getUint32(from, true);
    heads.push(bytes.subarray(from + 4, from + 4 + length));
    from += 4 + length;
  }
  return heads;
}

/** A head that was read: `softmax(A·Bᵀ + 1·bᵀ)` and corrections, or corrections alone. */
export class Head {
  /**
   * @param {Uint8Array} bytes
   * @param {[number, number]} grid
   * @param {number} stride
   * @param {number} tolerance
   * @param {boolean} same  whether A's rows are rows of B, as of values
   */
  constructor(bytes, grid, stride, tolerance, same) {
    const bits = new Bits(bytes);
    const places = kept(grid, stride);
    this.tokens = grid[0] * grid[1];
    this.tolerance = tolerance;
    this.rank = bits.plain(8);
    this.scale = 0;
    this.bias = new Float64Array();
    /** @type {Int32Array[]} */
    this.A = [];
    /** @type {Int32Array[]} */
    this.B = [];
    this.largest = new Float64Array();
    /** @type {[number, number][][]}  for each row: which token, how many times */
    this.corrected = [];
    const rows = places.rows.flatMap((row) => places.columns.map((column) => row * grid[1] + column));
    if (this.rank) this.factors(bits, rows, same);
    else this.largest = Float64Array.from(rows, () => 2 ** (-bits.plain(LARGEST_BITS) * LARGEST_STEP));
    this.corrections(bits, rows.length);
  }

  /**
   * @param {Bits} bits
   * @param {number[]} rows
   * @param {boolean} same
   */
  factors(bits, rows, same) {
    const step = 2 ** (-bits.plain(8) / STEPS_PER_OCTAVE);
    const finer = !same && rows.length < this.tokens ? FINER : 1;
    this.scale = (step * step) / finer;
    this.bias = Float64Array.from(bits.signed(this.tokens), (number) => number * BIAS_STEP);
    this.B = Array.from({ length: this.rank }, () => bits.signed(this.tokens));
    this.A = same
      ? this.B.map((column) => Int32Array.from(rows, (row) => column[row]))
      : Array.from({ length: this.rank }, () => bits.signed(rows.length));
  }

  /**
   * @param {Bits} bits
   * @param {number} rows
   */
  corrections(bits, rows) {
    const count = bits.plain(32);
    const gaps = count ? bits.rice(count) : [];
    const times = count ? bits.signed(count) : [];
    this.corrected = Array.from({ length: rows }, () => []);
    for (let index = 0, place = -1; index < count; index += 1) {
      place += gaps[index] + 1;
      this.corrected[Math.floor(place / this.tokens)].push([place % this.tokens, times[index]]);
    }
  }

  /**
   * Row `kept` of P, as numbered among the rows that are kept.
   * @param {number} row
   * @returns {Float64Array}
   */
  row(row) {
    const P = this.rank ? this.attention(row) : new Float64Array(this.tokens);
    const largest = this.rank ? Math.max(...P) : this.largest[row];
    for (const [token, times] of this.corrected[row]) P[token] += times * 2 * this.tolerance * largest;
    return P;
  }

  /**
   * @param {number} row
   * @returns {Float64Array}
   */
  attention(row) {
    const logits = Float64Array.from(this.bias);
    for (let channel = 0; channel < this.rank; channel += 1) {
      const factor = this.A[channel][row] * this.scale;
      const column = this.B[channel];
      for (let token = 0; token < this.tokens; token += 1) logits[token] += factor * column[token];
    }
    const most = Math.max(...logits);
    const weights = logits.map((logit) => Math.exp(logit - most));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return weights.map((weight) => weight / total);
  }
}
