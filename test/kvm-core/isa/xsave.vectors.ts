/** Vectors of the families fxsave and xsave: images have no room in a row. */

import type { Vectors } from "./vectors.ts";

const FILE = "test/kvm-core/engine/xsave.test.ts";
const NAMES = "fxsave fxrstor xsave xrstor xsaveopt xsavec xsaves xrstors xgetbv xsetbv".split(" ");

export const VECTORS: Vectors = {
  both: [],
  elsewhere: NAMES.map((mnemonic) => ({ mnemonic, file: FILE, reason: "an image, or an exception" })),
};
