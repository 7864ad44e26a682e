/** Numbers to colours, on canvases that all have the size of the photograph. */

/** @typedef {{values: ArrayLike<number>, grid: [number, number]}} Field  a number for each patch of a grid */
/** @typedef {{row: number, column: number, grid: [number, number], name: string, kind: "point" | "pin" | "kept"}} Mark */

/** What is as bright as can be: this share of the patches is below it, so that one patch does not darken all others. */
export const BRIGHTEST = 0.99;
const DARKEST = 0.01;
const MIDDLE = 128;

/**
 * Colours that were written as six hexadecimal digits each.
 * @param {string} text
 * @returns {number[][]}
 */
export function coloursOf(text) {
  const colours = text.match(/.{6}/g) ?? [];
  return colours.map((one) => [0, 2, 4].map((place) => parseInt(one.slice(place, place + 2), 16)));
}

/**
 * The number that so great a share of all lies below, interpolated between neighbours.
 * @param {ArrayLike<number>} values
 * @param {number} share
 * @returns {number}
 */
export function quantile(values, share) {
  const sorted = Float64Array.from(values).sort();
  const place = share * (sorted.length - 1);
  const low = Math.floor(place);
  return sorted[low] + (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]) * (place - low);
}

/**
 * 0 to 255 from the darkest to the brightest hundredth; of what is constant the middle.
 * @param {ArrayLike<number>} values
 * @returns {number[]}
 */
export function levels(values) {
  const [low, high] = [quantile(values, DARKEST), quantile(values, BRIGHTEST)];
  const most = Array.from(values).reduce((sofar, value) => Math.max(sofar, Math.abs(value)), 0);
  if (!(high - low > 1e-3 * most)) return Array.from(values, () => MIDDLE);
  return Array.from(values, (value) => Math.min(1, Math.max(0, (value - low) / (high - low))) * 255);
}

/** Draws in the photograph's frame. */
export class Drawing {
  /**
   * @param {HTMLImageElement | ImageBitmap} photo
   * @param {[number, number]} size  width and height
   * @param {{viridis: string, palette: string}} colours
   */
  constructor(photo, size, colours) {
    this.width = size[0];
    this.height = size[1];
    /** Lines are as thick, beside a small photograph, as beside one of this many pixels. */
    this.unit = this.width / 640;
    this.photo = photo;
    this.viridis = coloursOf(colours.viridis);
    this.palette = coloursOf(colours.palette);
  }

  /**
   * @param {HTMLCanvasElement} canvas
   * @returns {CanvasRenderingContext2D}
   */
  context(canvas) {
    if (canvas.width !== this.width || canvas.height !== this.height) {
      canvas.width = this.width;
      canvas.height = this.height;
    }
    return /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  }

  /** @param {HTMLCanvasElement} canvas */
  picture(canvas) {
    this.context(canvas).drawImage(this.photo, 0, 0, this.width, this.height);
  }

  /**
   * Colours of patches, and of the photograph over them so much (0 to 1).
   * @param {HTMLCanvasElement} canvas
   * @param {[number, number]} grid
   * @param {(patch: number) => number[]} colour
   * @param {number} share
   */
  patches(canvas, grid, colour, share) {
    const [rows, columns] = grid;
    const image = new ImageData(columns, rows);
    for (let patch = 0; patch < rows * columns; patch += 1) image.data.set([...colour(patch), 255], patch * 4);
    const small = document.createElement("canvas");
    small.width = columns;
    small.height = rows;
    small.getContext("2d")?.putImageData(image, 0, 0);
    const context = this.context(canvas);
    context.imageSmoothingEnabled = false;
    context.drawImage(small, 0, 0, this.width, this.height);
    if (share > 0) this.over(context, share);
  }

  /**
   * The photograph in grey, so much of it.
   * @param {CanvasRenderingContext2D} context
   * @param {number} share
   */
  over(context, share) {
    context.save();
    context.globalAlpha = share;
    context.filter = "grayscale(1)";
    context.drawImage(this.photo, 0, 0, this.width, this.height);
    context.restore();
  }

  /**
   * A number for each patch: dark blue is weak, yellow strong.
   * @param {HTMLCanvasElement} canvas
   * @param {Field} field
   * @param {number} share
   */
  heat(canvas, field, share) {
    const found = levels(field.values);
    this.patches(canvas, field.grid, (patch) => this.viridis[Math.floor(found[patch])], share);
  }

  /**
   * Three numbers for each patch as red, green and blue.
   * @param {HTMLCanvasElement} canvas
   * @param {[number, number]} grid
   * @param {ArrayLike<number>[]} channels
   */
  threefold(canvas, grid, channels) {
    const found = channels.map(levels);
    this.patches(canvas, grid, (patch) => found.map((channel) => Math.round(channel[patch])), 0);
  }

  /**
   * The photograph in grey under the colours of its regions, and the outline of one of them.
   * @param {HTMLCanvasElement} canvas
   * @param {Uint8Array} labels  a region for each pixel
   * @param {number | null} region
   */
  regions(canvas, labels, region) {
    const context = this.context(canvas);
    const image = new ImageData(this.width, this.height);
    for (let pixel = 0; pixel < labels.length; pixel += 1) {
      image.data.set([...this.palette[labels[pixel] % this.palette.length], 255], pixel * 4);
    }
    context.putImageData(image, 0, 0);
    this.over(context, 0.45);
    if (region !== null) this.outline(canvas, labels, region);
  }

  /**
   * A dark line between light ones around a region, seen on any colour.
   * @param {HTMLCanvasElement} canvas
   * @param {Uint8Array} labels
   * @param {number} region
   */
  outline(canvas, labels, region) {
    const context = this.context(canvas);
    const { width, height } = this;
    const edge = [];
    for (let y = 0; y < height; y += 1) {
      for (let x = 0; x < width; x += 1) {
        const inside = labels[y * width + x] === region;
        const right = x + 1 < width && (labels[y * width + x + 1] === region) !== inside;
        const below = y + 1 < height && (labels[(y + 1) * width + x] === region) !== inside;
        if (right || below) edge.push([x, y]);
      }
    }
    for (const [colour, thick] of /** @type {[string, number][]} */ ([["#fff", 6], ["#222", 2]])) {
      const side = Math.max(1, thick * this.unit);
      context.fillStyle = colour;
      for (const [x, y] of edge) context.fillRect(x + 1 - side / 2, y + 1 - side / 2, side, side);
    }
  }

  /**
   * Squares around patches: where one points, what is pinned, whose numbers are shown.
   * @param {HTMLCanvasElement} canvas
   * @param {Mark[]} marks
   */
  marks(canvas, marks) {
    const context = this.context(canvas);
    for (const { row, column, grid, name, kind } of marks) {
      const [high, wide] = [this.height / grid[0], this.width / grid[1]];
      const box = /** @type {const} */ ([column * wide, row * high, wide, high]);
      context.setLineDash(kind === "kept" ? [4 * this.unit, 4 * this.unit] : []);
      for (const [colour, thick] of /** @type {[string, number][]} */ ([["#fff", 5], ["#c2185b", 2.5]])) {
        context.strokeStyle = colour;
        context.lineWidth = thick * this.unit;
        context.strokeRect(...box);
      }
      const below = box[1] > 24 * this.unit ? -6 * this.unit : high + 20 * this.unit;
      if (name) this.letter(context, name, box[0] + wide / 2, box[1] + below);
    }
    context.setLineDash([]);
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {string} name
   * @param {number} x
   * @param {number} y
   */
  letter(context, name, x, y) {
    context.font = `bold ${18 * this.unit}px sans-serif`;
    context.textAlign = "center";
    context.lineWidth = 4 * this.unit;
    context.strokeStyle = "#fff";
    context.strokeText(name, x, y);
    context.fillStyle = "#c2185b";
    context.fillText(name, x, y);
  }
}
