/** All photographs as small pictures, those with a chosen class only, those first that have most of it. */

import { addressOf } from "./album.js";
import { chip, thumbnail } from "./cards.js";
import { byId } from "./elements.js";

/** @typedef {import("./album.js").Album} Album */

/**
 * A list of photographs, and a button for each class that goes before it.
 * @param {Album} album
 */
export function gallery(album) {
  const items = album.facts.photos.map((_, number) => item(album, number));
  const classes = [...new Set(album.facts.shown)].sort((one, other) => one - other);
  const buttons = [null, ...classes].map((one) => button(album, one));
  byId("filters").replaceChildren(...buttons.map(({ element }) => element));
  for (const { element, number } of buttons) element.addEventListener("click", () => choose(number));
  choose(null);

  /** @param {number | null} chosen  a class; null: all photographs */
  function choose(chosen) {
    for (const { element, number } of buttons) element.setAttribute("aria-pressed", `${number === chosen}`);
    const shares = album.facts.photos.map((_, number) => shareOf(album, number, chosen));
    const left = items.map((_, number) => number).filter((number) => shares[number] > 0);
    if (chosen !== null) left.sort((one, other) => shares[other] - shares[one]);
    byId("thumbs").replaceChildren(...left.map((number) => items[number]));
    byId("counted").textContent = counted(left.length, chosen === null ? "" : album.facts.names[chosen]);
  }
}

/**
 * @param {number} count
 * @param {string} name
 * @returns {string}
 */
function counted(count, name) {
  const photographs = `${count} photograph${count === 1 ? "" : "s"}`;
  return name ? `${photographs} with ${name}, those with most of it first.` : `${photographs}.`;
}

/**
 * @param {Album} album
 * @param {number} number
 * @param {number | null} chosen
 * @returns {number}
 */
function shareOf(album, number, chosen) {
  return chosen === null ? 1 : album.classesOf(number).find((one) => one.class === chosen)?.share ?? 0;
}

/**
 * @param {Album} album
 * @param {number | null} number
 * @returns {{element: HTMLButtonElement, number: number | null}}
 */
function button(album, number) {
  const element = document.createElement("button");
  element.type = "button";
  element.append(number === null ? "all" : chip(album, number));
  return { element, number };
}

/**
 * @param {Album} album
 * @param {number} number
 * @returns {HTMLElement}
 */
function item(album, number) {
  const element = document.createElement("li");
  const link = document.createElement("a");
  link.href = addressOf(album, number);
  link.append(thumbnail(album, number), album.facts.photos[number][1]);
  element.append(link);
  return element;
}
