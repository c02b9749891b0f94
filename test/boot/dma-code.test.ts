/**
 * A device of the board that writes the guest's code: the splitvm-test device fills the immediate of an instruction, and the
 * guest executes it, again and again.
 * Document: qemu-user/hw/splitvm-test.ts; shared/code-map.ts.
 * Left out: DMA while the code runs: test/kvm-core/vcpu/code.test.ts.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { assemble } from "../kvm-core/support/asm.ts";
import { concat, elf, multibootHeader } from "../qemu-user/support/images.ts";
import { qemuUser } from "../support/qemu-user.ts";

const LOAD = 0x10_0000;
const HEADER = 12;
const FUNCTION = LOAD + 0x1000;
const ROUNDS = 300;
const [RIGHT, WRONG] = [0x10, 0x11];

/** Device 1's command register, then its BAR0 at the port where the board puts it: see splitvm-test.ts. */
const PROGRAM = `
  mov esp, ${LOAD + 0x8000}
  mov dx, 0xcf8; mov eax, 0x80001004; out dx, eax; mov dx, 0xcfc; mov eax, 7; out dx, eax
  mov dx, 0xc014; mov eax, ${FUNCTION + 1}; out dx, eax
  mov dx, 0xc018; xor eax, eax; out dx, eax
  mov dx, 0xc01c; mov eax, 4; out dx, eax
  mov ecx, 1
  1: mov dx, 0xc020; mov eax, ecx; out dx, eax
  mov dx, 0xc024; mov eax, 1; out dx, eax
  mov ebx, ${FUNCTION}; call ebx
  cmp eax, ecx; jne 2f
  inc ecx; cmp ecx, ${ROUNDS}; jbe 1b
  mov al, ${RIGHT}; out 0xf4, al
  2: mov al, ${WRONG}; out 0xf4, al; jmp 2b`;

let folder: string;
let kernel: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "splitvm-"));
  kernel = join(folder, "dma");
  const segments = [
    { paddr: LOAD, bytes: concat(multibootHeader(0), assemble(PROGRAM, 32)) },
    { paddr: FUNCTION, bytes: Uint8Array.of(0xb8, 0, 0, 0, 0, 0xc3) }, // mov eax, 0; ret
  ];
  writeFileSync(kernel, elf({ bits: 32, entry: LOAD + HEADER, segments }));
});
afterAll(() => rmSync(folder, { recursive: true }));

it.each([
  ["patch", "page"],
  ["patch", "message"],
  ["interp", "page"],
])("is executed as it was written last, under %s in %s mode", async (accel, mode) => {
  const args = ["-accel", accel, "--mode", mode, "-device", "splitvm-test", "-nographic", "-no-reboot"];
  const { stderr, status } = await qemuUser("run", "-kernel", kernel, ...args);
  expect(stderr).toBe("");
  expect(status).toBe((RIGHT << 1) | 1);
});
