/** Lists, sliders and buttons, and the state that they stand for. */

import { byId } from "./elements.js";

/** @typedef {import("./state.js").State} State */
/** @typedef {import("./state.js").Choice} Choice */
/** @typedef {import("./numbers.js").Numbers} Numbers */

/**
 * @param {State} state
 * @param {Numbers} numbers
 */
export function controls(state, numbers) {
  const { layers, vectors: found } = numbers.facts;
  const samples = [...new Set(layers.map((layer) => layer.sample))];
  byId("sample-row").hidden = samples.length < 2;
  fill("sample", samples.map((sample) => [`${sample}`, `noise ${sample + 1}`]));
  layersOf(state.choice.sample);
  vectorsOf(state.choice.colours, state.choice.vector);
  input("sample").addEventListener("change", () => {
    const sample = Number(input("sample").value);
    layersOf(sample);
    state.set({ sample, layer: null, head: null });
  });
  input("layer").addEventListener("change", () => {
    const layer = numberOf(input("layer").value);
    headsOf(layer);
    state.set({ layer, head: null });
  });
  input("head").addEventListener("change", () => state.set({ head: numberOf(input("head").value) }));
  input("steps").addEventListener("input", () => state.set({ steps: 2 ** Number(input("steps").value) }));
  input("over").addEventListener("input", () => state.set({ photo: Number(input("over").value) / 100 }));
  input("vector").addEventListener("change", () => state.set({ vector: Number(input("vector").value) }));
  input("clusters").addEventListener("input", () =>
    state.set({ clusters: Number(input("clusters").value), region: null }));
  input("borders").addEventListener("change", () =>
    state.set({ borders: input("borders").checked ? "image" : "tokens" }));
  radios("colours", (value) => {
    const colours = value === "one" ? "one" : "three";
    state.set({ colours, vector: vectorsOf(colours, state.choice.vector) });
  });
  radios("pathway", (value) => {
    const pathway = value === "qk" || value === "vv" ? value : "both";
    state.set({ pathway, clusters: numbers.facts.regions[pathway].chosen, region: null });
  });
  state.listen((choice) => follow(choice, numbers.facts.stride));

  /** @param {number} sample */
  function layersOf(sample) {
    const own = layers.map((layer, number) => ({ layer, number })).filter(({ layer }) => layer.sample === sample);
    fill("layer", [["", "all layers and heads"], ...own.map(({ layer, number }, place) =>
      /** @type {[string, string]} */ ([`${number}`, `layer ${place + 1} (${layer.name.split("#")[0]})`]))]);
    headsOf(null);
  }

  /** @param {number | null} layer */
  function headsOf(layer) {
    const count = layer === null ? 0 : layers[layer].heads;
    fill("head", [["", "mean over its heads"], ...Array.from({ length: count }, (_, head) =>
      /** @type {[string, string]} */ ([`${head}`, `head ${head + 1}`]))]);
  }

  /**
   * The numbers that an eigenvector, or the first of three, may have; answers the one that is chosen then.
   * @param {"one" | "three"} colours
   * @param {number} chosen
   * @returns {number}
   */
  function vectorsOf(colours, chosen) {
    const count = found.qk.values.length - (colours === "three" ? 2 : 0);
    fill("vector", Array.from({ length: count }, (_, number) => [`${number}`, `${number + 1}`]));
    return Math.min(chosen, count - 1);
  }
}

/**
 * Words and sliders as the choice has them.
 * @param {Choice} choice
 * @param {number} stride
 */
function follow({ layer, steps, photo, clusters, vector, colours }, stride) {
  input("head").disabled = layer === null;
  byId("head-said").textContent = layer === null ? "of one layer: choose that first" : "";
  input("steps").disabled = layer !== null;
  byId("steps-said").textContent =
    layer === null ? `${steps} step${steps > 1 ? "s" : ""}` : "goes over all layers together: choose those first";
  byId("over-said").textContent = `${Math.round(photo * 100)} %`;
  input("clusters").value = `${clusters}`;
  byId("clusters-said").textContent = `${clusters} regions`;
  byId("kept").hidden = layer === null || stride === 1;
  input("vector").value = `${vector}`;
  byId("vector-said").textContent = colours === "three" ? "and the two after it" : "";
}

/**
 * @param {string} text
 * @returns {number | null}
 */
function numberOf(text) {
  return text === "" ? null : Number(text);
}

/**
 * @param {string} id
 * @param {[string, string][]} options  value and words of each
 */
function fill(id, options) {
  input(id).replaceChildren(...options.map(([value, words]) => new Option(words, value)));
}

/**
 * @param {string} name
 * @param {(value: string) => void} chosen
 */
function radios(name, chosen) {
  for (const one of document.querySelectorAll(`input[name=${name}]`)) {
    one.addEventListener("change", () => chosen(/** @type {HTMLInputElement} */ (one).value));
  }
}

/**
 * @param {string} id
 * @returns {HTMLInputElement}
 */
function input(id) {
  return /** @type {HTMLInputElement} */ (byId(id));
}
