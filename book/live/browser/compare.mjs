// Are a page's answers the native ones?

/** f64 may differ in the last bits: sums are taken in another order. */
const ROUNDING = 1e-12;
/**
 * Training calculates in f32, and natively other instructions round otherwise. So the page may be as far from f64 as this many
 * times the native f32 is at its farthest, and a few roundings of f32 more.
 */
const FACTOR = 4;
const FLOOR = 16 * 2 ** -24;

/** What differs first, or null. `native` has `answers` and, for training, what f64 gives as `exact`. */
export function compare(given, { answers, exact }) {
  const [page, here] = [numbers(given), numbers(answers)];
  if (page.length !== here.length) {
    return `${page.length} numbers in the place of ${here.length}`;
  }
  const reference = exact ? numbers(exact) : here;
  const size = (place) =>
    Math.max(...here.map((number, i) => (page[i].kind === page[place].kind ? Math.abs(number.value) : 0)));
  const off = (list, i) => Math.abs(list[i].value - reference[i].value) / (size(i) || 1);
  const native = here.map((_, i) => off(here, i));
  for (const [i, { path, value }] of page.entries()) {
    const alike = native.filter((_, j) => page[j].kind === page[i].kind);
    const allowed = exact ? FACTOR * Math.max(...alike) + FLOOR : ROUNDING;
    if (!(off(page, i) <= allowed)) {
      return `${path} is ${value}, natively ${here[i].value}, in f64 ${reference[i].value}; allowed are ${allowed}`;
    }
  }
  return null;
}

/** Every number of an answer, with where it is; numbers of one kind share the name of their field. */
function numbers(value, path = "", kind = "") {
  if (typeof value === "number") {
    return [{ path, kind, value }];
  }
  if (value === null || typeof value !== "object") {
    return [];
  }
  return Object.entries(value).flatMap(([key, inner]) =>
    numbers(inner, `${path}/${key}`, Array.isArray(value) ? kind : key),
  );
}
