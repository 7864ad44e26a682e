/** Text to bytes, and bytes to whole numbers: the other side of `bits.py`. */

const LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;,=>?@^_`{|}~";
const VALUES = new Uint8Array(128);
for (let value = 0; value < 85; value += 1) VALUES[LETTERS.charCodeAt(value)] = value;

/** k of a list lies in so many bits. */
const PARAMETER_BITS = 4;

/**
 * Five letters are four bytes; what the last group lacks is filled up, and left out again.
 * @param {string} text
 * @returns {Uint8Array}
 */
export function bytesOf(text) {
  const missing = (5 - (text.length % 5)) % 5;
  const bytes = new Uint8Array(((text.length + missing) / 5) * 4);
  const view = new DataView(bytes.buffer);
  for (let from = 0, to = 0; from < text.length; from += 5, to += 4) {
    let word = 0;
    for (let place = from; place < from + 5; place += 1) {
      word = word * 85 + (place < text.length ? VALUES[text.charCodeAt(place)] : 84);
    }
    view.setUint32(to, word);
  }
  return bytes.subarray(0, bytes.length - missing);
}

/** Reads numbers from a stream of bits, in the order in which they were written. */
export class Bits {
  /** @param {Uint8Array} bytes */
  constructor(bytes) {
    this.bytes = bytes;
    this.place = 0;
  }

  /** @returns {number} */
  bit() {
    const bit = (this.bytes[this.place >> 3] >> (7 - (this.place & 7))) & 1;
    this.place += 1;
    return bit;
  }

  /**
   * A number of so many bits.
   * @param {number} width
   * @returns {number}
   */
  plain(width) {
    let number = 0;
    for (let done = 0; done < width; done += 1) number = number * 2 + this.bit();
    return number;
  }

  /**
   * So many numbers from 0 on.
   * @param {number} count
   * @returns {Int32Array}
   */
  rice(count) {
    const k = this.plain(PARAMETER_BITS);
    const numbers = new Int32Array(count);
    for (let index = 0; index < count; index += 1) {
      let ones = 0;
      while (this.bit()) ones += 1;
      numbers[index] = (ones << k) + this.plain(k);
    }
    return numbers;
  }

  /**
   * So many numbers of either sign.
   * @param {number} count
   * @returns {Int32Array}
   */
  signed(count) {
    return this.rice(count).map((number) => (number & 1 ? -(number + 1) / 2 : number / 2));
  }
}

/**
 * Labels that were written as runs.
 * @param {string} text
 * @param {number} count
 * @returns {Uint8Array}
 */
export function labelsOf(text, count) {
  const bits = new Bits(bytesOf(text));
  const runs = bits.plain(32);
  const lengths = bits.rice(runs);
  const values = bits.rice(runs);
  const labels = new Uint8Array(count);
  for (let run = 0, from = 0; run < runs; run += 1) {
    labels.fill(values[run], from, from + lengths[run] + 1);
    from += lengths[run] + 1;
  }
  return labels;
}
