/** The photographs of a folder: what the index says of all, and of each, once it is opened, the rest. */

import { Bits, bytesOf, labelsOf } from "./bits.js";
import { coloursOf } from "./drawing.js";

/** @typedef {import("./pointing.js").Grid} Grid */
/** @typedef {"vv" | "qk"} Walk */
/** @typedef {[string, string, number, number, [number, number][]]} Row  key, name, height, width, classes in thousandths */
/**
 * @typedef {object} Facts
 * @property {string[]} names  of the classes
 * @property {string} colours
 * @property {number[]} shown  the class that each one is shown as
 * @property {Row[]} photos
 * @property {[number, number, number, number[], number[]][]} landmarks  photograph, rows, columns, patches, classes
 */
/**
 * @typedef {object} Found  what the file of a photograph hands over
 * @property {[number, number]} size  width and height
 * @property {Grid} grid
 * @property {number} count  connections of a patch
 * @property {string} picture
 * @property {string} labels
 * @property {string} classes
 * @property {string} vv
 * @property {string} qk
 */
/** @typedef {{photo: number, patch: number, grid: Grid, class: number}} Landmark */
/** @typedef {Landmark & {weight: number}} Connection */

/** Cosines are whole numbers of so many steps, in so many bits. */
const LEVELS = 255;
const WEIGHT_BITS = 8;
/** Photographs that stay in memory. */
const HELD = 24;

/** One photograph that was opened. */
export class Photo {
  /**
   * @param {Found} found
   * @param {Album} album
   */
  constructor(found, album) {
    this.size = found.size;
    this.grid = found.grid;
    this.count = found.count;
    this.tokens = found.grid[0] * found.grid[1];
    this.album = album;
    const bytes = Uint8Array.from(atob(found.picture), (letter) => letter.charCodeAt(0));
    this.picture = new Blob([bytes], { type: "image/jpeg" });
    this.labels = labelsOf(found.labels, found.size[0] * found.size[1]).map((label) => album.facts.shown[label]);
    this.classes = labelsOf(found.classes, this.tokens).map((label) => album.facts.shown[label]);
    this.walks = { vv: this.read(found.vv), qk: this.read(found.qk) };
  }

  /**
   * Of each patch the landmarks (from 1 on, 0: none) and weights of its connections.
   * @param {string} text
   * @returns {{places: number[], weights: number[]}}
   */
  read(text) {
    const bits = new Bits(bytesOf(text));
    const width = 32 - Math.clz32(this.album.landmarks.length);
    const total = this.tokens * this.count;
    return {
      places: Array.from({ length: total }, () => bits.plain(width)),
      weights: Array.from({ length: total }, () => bits.plain(WEIGHT_BITS) / LEVELS),
    };
  }

  /**
   * The strongest connections of a patch, those first that are stronger.
   * @param {Walk} walk
   * @param {number} patch
   * @returns {Connection[]}
   */
  connections(walk, patch) {
    const { places, weights } = this.walks[walk];
    const found = [];
    for (let at = patch * this.count; at < (patch + 1) * this.count; at += 1) {
      const landmark = this.album.landmarks[places[at] - 1];
      if (landmark && landmark.photo >= 0) found.push({ ...landmark, weight: weights[at] });
    }
    return found;
  }
}

/** All photographs. */
export class Album {
  /** @param {Facts} facts */
  constructor(facts) {
    this.facts = facts;
    this.palette = coloursOf(facts.colours);
    /** @type {Landmark[]} */
    this.landmarks = facts.landmarks.flatMap(([photo, rows, columns, patches, classes]) =>
      patches.map((patch, place) => /** @type {Landmark} */ ({
        photo, patch, grid: [rows, columns], class: facts.shown[classes[place]],
      })));
    /** @type {Map<string, Photo>} */
    this.held = new Map();
    /** @type {Map<string, (found: Found) => void>} */
    this.waiting = new Map();
  }

  /**
   * Called by the file of a photograph.
   * @param {string} key
   * @param {Found} found
   */
  take(key, found) {
    this.waiting.get(key)?.(found);
  }

  /**
   * A photograph, by its number; its file is read the first time. Fails where the file is not there, or damaged.
   * @param {number} number
   * @returns {Promise<Photo>}
   */
  async open(number) {
    const [key] = this.facts.photos[number];
    const photo = this.held.get(key) ?? new Photo(await this.file(key), this);
    this.held.delete(key);
    this.held.set(key, photo);
    if (this.held.size > HELD) this.held.delete([...this.held.keys()][0]);
    return photo;
  }

  /**
   * A page that is opened from disk may not fetch, but it may ask for a script.
   * @param {string} key
   * @returns {Promise<Found>}
   */
  file(key) {
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = `data/${key}.js`;
      const before = this.waiting.get(key);
      this.waiting.set(key, (found) => {
        before?.(found);
        resolve(found);
      });
      const end = () => {
        this.waiting.delete(key);
        script.remove();
        reject(new Error(`data/${key}.js`)); // says nothing where the file has called
      };
      script.addEventListener("load", end);
      script.addEventListener("error", end);
      document.head.append(script);
    });
  }

  /**
   * @param {string} name
   * @returns {number}  −1 where there is none of that name
   */
  numberOf(name) {
    return this.facts.photos.findIndex((row) => row[1] === name);
  }

  /**
   * Classes of a photograph, the largest first, with their shares from 0 to 1.
   * @param {number} number
   * @returns {{class: number, share: number}[]}
   */
  classesOf(number) {
    return this.facts.photos[number][4].map(([one, share]) => ({ class: one, share: share / 1000 }));
  }

  /**
   * @param {number} number
   * @returns {string}
   */
  colourOf(number) {
    return `rgb(${this.palette[number].join(" ")})`;
  }
}

/**
 * Where a photograph is, and one of its patches: what follows the `#` of the page's address.
 * @param {Album} album
 * @param {number} photo
 * @param {number} [patch]
 * @returns {string}
 */
export function addressOf(album, photo, patch) {
  const name = encodeURIComponent(album.facts.photos[photo][1]);
  return patch === undefined ? `#photo=${name}` : `#photo=${name}&patch=${patch}`;
}
