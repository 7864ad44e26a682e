/** Connections of a patch as small pictures, each with the connected patch marked; and a class as a chip. */

import { addressOf } from "./album.js";
import { placeOf } from "./elements.js";

/** @typedef {import("./album.js").Album} Album */
/** @typedef {import("./album.js").Connection} Connection */

/**
 * A class: its colour and its name.
 * @param {Album} album
 * @param {number} number
 * @param {string} [after]
 * @returns {HTMLElement}
 */
export function chip(album, number, after = "") {
  const found = document.createElement("span");
  const colour = document.createElement("span");
  colour.className = "chip";
  colour.style.background = album.colourOf(number);
  found.append(colour, ` ${album.facts.names[number]}${after}`);
  return found;
}

/**
 * The small picture of a photograph, read when it comes into view.
 * @param {Album} album
 * @param {number} number
 * @returns {HTMLImageElement}
 */
export function thumbnail(album, number) {
  const [key, name, height, width] = album.facts.photos[number];
  const image = new Image(width, height);
  image.loading = "lazy";
  image.src = `thumbs/${key}.jpg`;
  image.alt = name;
  return image;
}

/**
 * Puts the connections of a patch into a list; says so where there is none.
 * @param {HTMLElement} list
 * @param {Album} album
 * @param {Connection[]} found
 */
export function cards(list, album, found) {
  list.replaceChildren(...found.map((one) => card(album, one)));
  if (!found.length) list.append("Nothing in other photographs.");
}

/**
 * @param {Album} album
 * @param {Connection} one
 * @returns {HTMLElement}
 */
function card(album, one) {
  const item = document.createElement("li");
  const link = document.createElement("a");
  const square = document.createElement("span");
  const frame = document.createElement("span");
  const mark = document.createElement("span");
  const [rows, columns] = one.grid;
  link.href = addressOf(album, one.photo, one.patch);
  link.title = `${album.facts.photos[one.photo][1]}, ${placeOf(one.patch, one.grid)}`;
  const [, , height, width] = album.facts.photos[one.photo];
  square.className = "square"; // all are as high, so that what is below stays where it is
  frame.className = "thumb";
  frame.style.width = `${Math.min(1, width / height) * 100}%`;
  mark.className = "mark";
  mark.style.left = `${(((one.patch % columns) + 0.5) / columns) * 100}%`;
  mark.style.top = `${((Math.floor(one.patch / columns) + 0.5) / rows) * 100}%`;
  mark.style.width = `${100 / columns}%`;
  mark.style.height = `${100 / rows}%`;
  frame.append(thumbnail(album, one.photo), mark);
  square.append(frame);
  link.append(square, `${one.weight.toFixed(3)} `, chip(album, one.class));
  item.append(link);
  return item;
}
