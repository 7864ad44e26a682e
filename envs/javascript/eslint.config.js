// Of the modules of `whatwhere explore`'s pages; `npm run check` also checks their types.
import js from "@eslint/js";

const browser = [
  "addEventListener", "atob", "Blob", "createImageBitmap", "document", "globalThis", "Image", "ImageData", "location",
  "matchMedia", "Option", "requestAnimationFrame", "URLSearchParams", "HTMLElement", "HTMLInputElement",
  "HTMLCanvasElement",
];

export default [
  {
    ...js.configs.recommended,
    languageOptions: { globals: Object.fromEntries(browser.map((name) => [name, "readonly"])) },
    rules: {
      ...js.configs.recommended.rules,
      "curly": ["error", "multi-line"],
      "eqeqeq": "error",
      "max-lines-per-function": ["error", { max: 70 }],
      "no-shadow": "error",
      "no-var": "error",
      "prefer-const": "error",
    },
  },
];
