/**
 * Helpers of what a processor tells about itself and of what it does with its caches: time, counters, random numbers, waiting.
 * Document: SDM volume 2, RDTSC RDTSCP RDPID RDPMC RDRAND RDSEED MONITOR MWAIT CLFLUSH.
 * Left out: performance counters: CPUID names none, so that each index of RDPMC is wrong. MWAIT waits for nothing, which
 * the manual lets every processor do. Random numbers come from Node's generator, and never run out.
 */

import { randomFillSync } from "node:crypto";
import { clockMonotonic } from "../../../shared/native.ts";
import { CR4 } from "../../cpu/control.ts";
import { VECTOR } from "../../cpu/fault.ts";
import { msrField } from "../../cpu/msr.ts";
import { CPU, GPR } from "../../cpu/state.ts";
import { type Helper, type HelperContext, NEXT } from "./context.ts";

type Name = "rdtsc" | "rdtscp" | "rdpid" | "rdpmc" | "random" | "monitor" | "mwait" | "flushLine";

const TSC = msrField(0x10)!;
const TSC_AUX = msrField(0xc000_0103)!;
/** Random words fetched at once. */
const POOL = 256;

export function processorHelpers(c: HelperContext): Record<Name, Helper> {
  const { machine: m } = c;
  const { state } = m;
  const random = new Uint32Array(POOL);
  let left = 0;

  const timeDenied = (): boolean => (state.get(CPU.cr4) & CR4.TSD) !== 0 && c.cpl !== 0;
  const readTime = (): void => {
    // tscNow() without a BigInt: nanoseconds stay below 2^53.
    const now = clockMonotonic();
    const low = (now % 2 ** 32) + state.get(TSC);
    state.setGpr(GPR.rax, low >>> 0);
    state.setGpr(GPR.rdx, (Math.floor(now / 2 ** 32) + state.high(TSC) + (low >= 2 ** 32 ? 1 : 0)) >>> 0);
  };
  const randomWord = (): number => {
    if (left === 0) {
      randomFillSync(random);
      left = POOL;
    }
    return random[--left]!;
  };
  /** May the byte at CPU.data be read? */
  const readable = (ip: number): number => {
    m.current = ip;
    const { memory } = m;
    const ok = memory.translate(state.get(CPU.data), state.high(CPU.data), memory.dataAccess);
    return ok ? NEXT : c.operandFault(ip);
  };

  return {
    rdtsc(ip) {
      if (timeDenied()) return c.fault(ip, VECTOR.GP);
      readTime();
      return NEXT;
    },

    rdtscp(ip) {
      if (timeDenied()) return c.fault(ip, VECTOR.GP);
      readTime();
      state.setGpr(GPR.rcx, state.get(TSC_AUX));
      return NEXT;
    },

    rdpid() {
      state.set64(CPU.data, state.get(TSC_AUX), 0);
      return NEXT;
    },

    rdpmc: (ip) => c.fault(ip, VECTOR.GP),

    random() {
      state.set64(CPU.data, randomWord(), randomWord());
      return NEXT;
    },

    /** ECX names extensions, and there are none. The address is checked as that of a load. */
    monitor: (ip) => (state.gpr(GPR.rcx) !== 0 ? c.fault(ip, VECTOR.GP) : readable(ip)),

    /** Bit 0 of ECX: interrupts that are held off end the wait, too. */
    mwait: (ip) => (state.gpr(GPR.rcx) & ~1 ? c.fault(ip, VECTOR.GP) : NEXT),

    flushLine: readable,
  };
}
