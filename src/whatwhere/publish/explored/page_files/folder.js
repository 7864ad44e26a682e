/** Puts the page of a folder together: its photographs, the one that is open, and the connections of a patch. */

import { addressOf, Album } from "./album.js";
import { cards, chip } from "./cards.js";
import { Drawing } from "./drawing.js";
import { byId, canvas, placeOf, theme } from "./elements.js";
import { gallery } from "./gallery.js";
import { pointable } from "./pointing.js";
import { State } from "./state.js";

/** @typedef {import("./album.js").Photo} Photo */
/** @typedef {{point: number, pins: number[], number: number | null, classes: boolean}} Choice */
/** @typedef {{photo: Photo, picture: ImageBitmap, drawing: Drawing}} Open */

const album = new Album(/** @type {import("./album.js").Facts} */ (JSON.parse(byId("facts").textContent ?? "")));
const state = new State(/** @type {Choice} */ ({ point: 0, pins: [], number: null, classes: true }), 1);
/** @type {Open | null} */
let open = null;
/** Counts what the address asked for: the answer to an earlier one may come late, and is nobody's. */
let turn = 0;
/** What was drawn last: the cards of a patch, and the picture under the marks, are kept while they stay the same. */
let before = { patch: "", picture: "" };

// the files of photographs call `whatwhere.photo`; the rest is for those who want the numbers themselves
Object.assign(globalThis, { whatwhere: { photo: album.take.bind(album), state, album, opened: () => open?.photo } });
theme();
gallery(album);
pointable(canvas("photo"), state, () => open?.photo.grid ?? [1, 1]);
byId("pin").addEventListener("click", () => state.pin(shownPatch(state.choice)));
byId("overlay").addEventListener("change", (event) =>
  state.set({ classes: /** @type {HTMLInputElement} */ (event.target).checked }));
addEventListener("hashchange", follow);
state.listen(draw);
await follow();
document.documentElement.dataset.ready = "yes";

/** Opens what the page's address says, or nothing. */
async function follow() {
  const own = (turn += 1);
  const asked = new URLSearchParams(location.hash.slice(1));
  const number = album.numberOf(asked.get("photo") ?? "");
  byId("failed").hidden = true;
  byId("opened").hidden = false;
  byId("one").hidden = number < 0;
  if (number < 0) return;
  about(number);
  try {
    const photo = await album.open(number);
    if (own !== turn) return;
    // a bitmap, and no image: browsers keep images that were shown once, two megabytes each
    const picture = await createImageBitmap(photo.picture);
    if (own !== turn) return picture.close();
    open?.picture.close();
    byId("frame").style.aspectRatio = photo.size.join(" / ");
    const drawing = new Drawing(picture, photo.size, { viridis: "", palette: album.facts.colours });
    open = { photo, picture, drawing };
    const [rows, columns] = photo.grid;
    const middle = Math.floor(rows / 2) * columns + Math.floor(columns / 2);
    const point = Number(asked.get("patch") ?? middle);
    const there = Number.isInteger(point) && point >= 0 && point < photo.tokens;
    state.choice = { ...state.choice, number, pins: [], point: there ? point : middle };
    before = { patch: "", picture: "" };
    state.tell();
    byId("one").scrollIntoView();
    canvas("photo").focus({ preventScroll: true });
    document.documentElement.dataset.open = `${number}`;
  } catch (error) {
    if (own !== turn) return; // a picture that another took the place of fails as well
    byId("failed").hidden = false;
    byId("opened").hidden = true;
    byId("failed").textContent = `Expected a file of this photograph beside the page, got none that can be read: ${error}`;
  }
}

/**
 * What does not change while a photograph is open: its name, its classes, its neighbours in the folder.
 * @param {number} number
 */
function about(number) {
  const total = album.facts.photos.length;
  byId("name").textContent = album.facts.photos[number][1];
  byId("classes").replaceChildren(...album.classesOf(number).map((one) => {
    const item = document.createElement("li");
    item.dataset.number = `${one.class}`;
    item.append(chip(album, one.class, ` ${Math.round(one.share * 100)} %`));
    return item;
  }));
  /** @type {HTMLAnchorElement} */ (byId("previous")).href = addressOf(album, (number + total - 1) % total);
  /** @type {HTMLAnchorElement} */ (byId("next")).href = addressOf(album, (number + 1) % total);
}

/**
 * The patch whose connections are shown: the pinned one, else the one pointed at.
 * @param {Choice} choice
 * @returns {number}
 */
function shownPatch({ point, pins }) {
  return pins.length ? pins[0] : point;
}

/** @param {Choice} choice */
function draw(choice) {
  if (!open) return;
  const { photo, drawing } = open;
  const patch = shownPatch(choice);
  const picture = `${choice.number} ${choice.classes}`;
  if (picture !== before.picture) {
    if (choice.classes) drawing.regions(canvas("overlaid"), photo.labels, null);
    else drawing.picture(canvas("overlaid"));
  }
  const over = canvas("photo");
  drawing.context(over).clearRect(0, 0, drawing.width, drawing.height);
  const kind = choice.pins.length ? "pin" : "point";
  const [, columns] = photo.grid;
  drawing.marks(over, [{ row: Math.floor(patch / columns), column: patch % columns, grid: photo.grid, name: "", kind }]);
  if (`${choice.number} ${patch}` !== before.patch) connected(photo, patch);
  byId("pin").textContent = choice.pins.length ? "Let it go" : "Keep this patch";
  before = { picture, patch: `${choice.number} ${patch}` };
}

/**
 * A patch in words, and its connections of both pathways.
 * @param {Photo} photo
 * @param {number} patch
 */
function connected(photo, patch) {
  const own = photo.classes[patch];
  byId("said").replaceChildren(`The patch at ${placeOf(patch, photo.grid)}: `, chip(album, own));
  for (const item of byId("classes").children) {
    item.classList.toggle("pointed", /** @type {HTMLElement} */ (item).dataset.number === `${own}`);
  }
  cards(byId("vv"), album, photo.connections("vv", patch));
  cards(byId("qk"), album, photo.connections("qk", patch));
}
