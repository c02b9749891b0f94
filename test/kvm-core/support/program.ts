/**
 * Instructions of which each one's place is known, assembled once.
 * Document: asm.ts beside this file.
 * Left out: running them.
 */

import { assembleAll } from "./asm.ts";
import type { Mode } from "./machine.ts";

/** Instructions, each assembled by itself. */
export interface Program {
  readonly bytes: Uint8Array;
  /** Offset of each instruction, and of what follows the last. */
  readonly at: readonly number[];
}

const programs = new Map<string, Program>();

export function program(mode: Mode, instructions: readonly string[]): Program {
  const key = `${mode} ${instructions.join("; ")}`;
  let made = programs.get(key);
  if (made === undefined) {
    const parts = assembleAll(instructions, mode);
    const at = [0];
    for (const part of parts) at.push(at.at(-1)! + part.length);
    made = { bytes: Buffer.concat(parts), at };
    programs.set(key, made);
  }
  return made;
}
