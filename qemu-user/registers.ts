/**
 * A register dump in the layout of QEMU's `info registers`.
 * Leaves out: FPU and SSE registers, which come with their instructions.
 */
import type { KvmRegs, KvmSegment, KvmSregs } from "../shared/ioctls.ts";

const hex = (value: bigint | number, digits: number) => value.toString(16).padStart(digits, "0");

/** Several lines, each ended by a newline. */
export function dumpRegisters(regs: KvmRegs, sregs: KvmSregs): string {
  const general = (names: readonly (keyof KvmRegs)[]) =>
    names.map((name) => `${name.toUpperCase().padEnd(3)}=${hex(regs[name], 16)}`).join(" ");
  const segment = (name: string, s: KvmSegment) =>
    `${name.padEnd(3)}=${hex(s.selector, 4)} ${hex(s.base, 16)} ${hex(s.limit, 8)} ` +
    `type=${s.type} s=${s.s} dpl=${s.dpl} p=${s.present} l=${s.l} db=${s.db} g=${s.g}`;
  return [
    general(["rax", "rbx", "rcx", "rdx"]),
    general(["rsi", "rdi", "rbp", "rsp"]),
    general(["r8", "r9", "r10", "r11"]),
    general(["r12", "r13", "r14", "r15"]),
    `RIP=${hex(regs.rip, 16)} RFL=${hex(regs.rflags, 8)} CPL=${sregs.ss.dpl}`,
    ...(["es", "cs", "ss", "ds", "fs", "gs", "ldt", "tr"] as const).map((n) => segment(n.toUpperCase(), sregs[n])),
    `GDT=     ${hex(sregs.gdt.base, 16)} ${hex(sregs.gdt.limit, 8)}`,
    `IDT=     ${hex(sregs.idt.base, 16)} ${hex(sregs.idt.limit, 8)}`,
    `CR0=${hex(sregs.cr0, 8)} CR2=${hex(sregs.cr2, 16)} CR3=${hex(sregs.cr3, 16)} CR4=${hex(sregs.cr4, 8)}`,
    `EFER=${hex(sregs.efer, 16)}`,
    "",
  ].join("\n");
}
