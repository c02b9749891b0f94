/**
 * What CPUID says of the XSAVE feature set: leaf 0DH from the table of components, and the words that follow the registers.
 * Document: SDM volume 2A, CPUID leaf 0DH and leaf 1 (OSXSAVE); volume 1, 13.2.
 * Left out: the other leaves: cpuid.ts.
 */

import type { CpuidEntry } from "../../shared/ioctls.ts";
import { CR4 } from "./control.ts";
import { builtWord } from "./features.ts";
import { FPU } from "./fpu-state.ts";
import { CPU } from "./state.ts";
import type { VcpuState } from "./vcpu-state.ts";
import { AREA, areaSize, REGISTER_FILES, SUPPORTED_XCR0, XFEATURE } from "./xstate.ts";

export const XSTATE_LEAF = 0xd;
const SIGNIFICANT_INDEX = 1;
/** Subleaf 1, EAX: XSAVEC, XSAVES. */
const COMPACTS = 0xa;
const OSXSAVE = 1 << 27;
const FILE_SIZE = 256;

const subleaf = (index: number, eax: number, ebx: number, ecx: number): CpuidEntry => {
  return { function: XSTATE_LEAF, index, flags: SIGNIFICANT_INDEX, eax, ebx, ecx, edx: 0 };
};

/** Leaf 0DH: XCR0 and sizes; instructions; a subleaf for each component of the extended region. */
export const XSTATE_LEAVES: readonly CpuidEntry[] = [
  subleaf(0, SUPPORTED_XCR0, areaSize(XFEATURE.x87, false), areaSize(SUPPORTED_XCR0, false)),
  subleaf(1, builtWord(XSTATE_LEAF, 1, "eax"), areaSize(XFEATURE.x87, true), 0),
  ...REGISTER_FILES.filter(({ offset }) => offset >= AREA.extended).map(({ feature, offset }) =>
    subleaf(Math.log2(feature), FILE_SIZE, offset, 0),
  ),
];

/** EBX of leaf 0DH and ECX of leaf 1 as the control registers have them now; `found`: the entry's words as they were given. */
export function liveWords(state: VcpuState, func: number, index: number, found: Uint32Array): void {
  const xcr0 = state.get(FPU.xcr0);
  if (func === 1) {
    const on = (state.get(CPU.cr4) & CR4.OSXSAVE) !== 0;
    found[2] = on ? found[2]! | OSXSAVE : found[2]! & ~OSXSAVE;
  } else if (func === XSTATE_LEAF && index === 0) found[1] = areaSize(xcr0, false);
  else if (func === XSTATE_LEAF && index === 1 && found[0]! & COMPACTS) {
    found[1] = areaSize(xcr0 | state.get(FPU.xss), true);
  }
}
