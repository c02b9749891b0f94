/**
 * A guest that resets the machine: its kernel is loaded again and starts over, or with -no-reboot the run ends.
 * Document: qemu-user/hw/i8042.ts, port92.ts, reset-control.ts.
 * Left out: triple faults (demo.test.ts).
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { assemble } from "../kvm-core/support/asm.ts";
import { concat, elf, multibootHeader } from "../qemu-user/support/images.ts";
import { qemuUser } from "../support/qemu-user.ts";

const LOAD = 0x10_0000;
const HEADER = 12;
/** Outside of the kernel: RAM keeps what is there. */
const COUNT = 0x20_0000;
const RESETS = 3;
const AGAIN = 0x10;

const WAYS = {
  "the keyboard controller": "mov al, 0xfe; out 0x64, al",
  "port 0x92": "mov al, 3; out 0x92, al",
  "reset control": "mov dx, 0xcf9; mov al, 2; out dx, al; mov al, 6; out dx, al",
} as const;

const program = (way: string) => `
  mov ebx, ${COUNT}; mov eax, [ebx]
  cmp eax, ${RESETS}; je 1f
  inc eax; mov [ebx], eax
  ${way}
  2: jmp 2b
  1: mov al, ${AGAIN}; out 0xf4, al; jmp 1b`;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "splitvm-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

function kernel(way: keyof typeof WAYS): string {
  const path = join(folder, "kernel");
  const segments = [{ paddr: LOAD, bytes: concat(multibootHeader(0), assemble(program(WAYS[way]), 32)) }];
  writeFileSync(path, elf({ bits: 32, entry: LOAD + HEADER, segments }));
  return path;
}

describe.each(Object.keys(WAYS) as (keyof typeof WAYS)[])("by %s", (way) => {
  it.each(["page", "message"])("starts over, in %s mode", async (mode) => {
    const { stderr, status } = await qemuUser("run", "-kernel", kernel(way), "--mode", mode, "-nographic");
    expect(stderr).toBe("");
    expect(status).toBe((AGAIN << 1) | 1);
  });
});

it("with -no-reboot ends the run with status 0", async () => {
  const { stderr, status } = await qemuUser("run", "-kernel", kernel("port 0x92"), "-nographic", "-no-reboot");
  expect(stderr).toBe("");
  expect(status).toBe(0);
});
