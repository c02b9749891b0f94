/**
 * What accesses to guest memory ask of TypeScript: checks that fail, TLB misses, writes that somebody must hear of, locked accesses.
 * Document: architecture.md sections 5 and 6; emit/memory-access.ts is the generated side.
 * Left out: how they are done: mmu/.
 */

import { PROBE, RMW } from "../cpu/access.ts";
import type { InterpreterImports } from "./interpreter.ts";
import type { Machine } from "./machine.ts";
import { firstVector } from "./unit-faults.ts";

type Name = "raise" | "slowMiss" | "slowStore" | "lockedStore" | "tableWritten";

/** `ip`: the record of the instruction, at which a fault is raised. */
export function accessImports(m: Machine): Pick<InterpreterImports, Name> {
  const { memory, locked } = m;
  return {
    /** Exceptions of generated code, those of address records among them. */
    raise: (ip, vector) => m.raise(ip!, firstVector(m.state, m.decoder.map, ip!, vector!), 0),

    /** Where the bytes lie in linear memory; 0 after a fault. */
    slowMiss(ip, access) {
      m.current = ip!;
      const size = access! & 0xff;
      const probes = (access! & PROBE) === PROBE;
      const pointer = probes ? memory.probe(size) : memory.miss(size, (access! & RMW) !== 0);
      if (pointer === 0) m.raiseMemory(ip!);
      return pointer;
    },

    /** 1 after a fault. */
    slowStore(ip, size) {
      m.current = ip!;
      if (memory.write(size!)) return 0;
      m.raiseMemory(ip!);
      return 1;
    },

    /** 0 done, 1 after a fault, 2 another value was there. */
    lockedStore(ip, size) {
      m.current = ip!;
      const found = locked.compareExchange(size!);
      if (found >= 0) return found === 1 ? 0 : 2;
      m.raise(ip!, locked.faultVector, locked.faultCode);
      return 1;
    },

    tableWritten(gpa, size) {
      memory.tableWritten(gpa! >>> 0, size!);
      return undefined;
    },
  };
}
