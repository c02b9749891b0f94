/**
 * Stopping (protocol.md): whatever a vCPU does, destroying its VM ends it at once, and so does the end of kvm-core.
 */
import { closeSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { sealedMemfd } from "../../../qemu-user/device/device-memory.ts";
import { AREA_BYTES } from "../../../shared/server-area.ts";
import { ABRUPT_MAIN, type Core, startCore } from "../../support/core.ts";
import { type TinyVm, tinyVm } from "../../support/tiny-vm.ts";

let core: Core;
beforeEach(async () => {
  core = await startCore();
});
afterEach(() => {
  core.child.kill("SIGKILL"); // no harm where the test ended it
});

/** Page mode with a server that never answers. */
async function deafServer({ vm }: TinyVm): Promise<void> {
  const area = sealedMemfd("deaf", AREA_BYTES);
  const [memfd] = vm.session.pass([area]);
  closeSync(area);
  await vm.request("SPLITVM_SET_SERVER_AREA", { memfd: memfd! });
}

const CASES: readonly (readonly [
  string,
  readonly number[],
  { readonly irqchip?: boolean; readonly deaf?: boolean },
])[] = [
  ["a tight loop", [0xeb, 0xfe], {}],
  ["a halted vCPU", [0xfa, 0xf4, 0xeb, 0xfd], { irqchip: true }],
  ["a vCPU whose server does not answer", [0xe4, 0x60, 0xeb, 0xfc], { deaf: true }],
  [
    "a vCPU in a REP that takes long",
    [0xb9, 0xff, 0xff, 0x00, 0x00, 0xbf, 0x00, 0x00, 0x01, 0x00, 0xf3, 0xaa, 0xeb, 0xf2],
    {},
  ],
];

describe.each(CASES)("%s", (_what, code, { irqchip, deaf }) => {
  async function runIt(): Promise<{ readonly tiny: TinyVm; readonly run: Promise<unknown> }> {
    const tiny = await tinyVm(core.path, code, irqchip ? { irqchip } : {});
    if (deaf) await deafServer(tiny);
    const run = tiny.vcpu.run().catch((error: unknown) => error);
    await new Promise((resolve) => setTimeout(resolve, 100));
    return { tiny, run };
  }

  it("ends with SPLITVM_DESTROY_VM, and its KVM_RUN with ENODEV", async () => {
    const { tiny, run } = await runIt();
    await tiny.vm.request("SPLITVM_DESTROY_VM", {});
    expect(await run).toMatchObject({ code: "ENODEV" });
    tiny.kvm.close();
  });

  it("ends with its owner's connection", async () => {
    const { tiny } = await runIt();
    tiny.kvm.close();
    const other = await tinyVm(core.path, [0xf4]);
    for (let tries = 0; ; tries++) {
      const { vms } = await other.kvm.request("SPLITVM_LIST_VMS", {});
      if (vms.length === 1) break;
      expect(tries).toBeLessThan(500);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    other.kvm.close();
  });

  it("does not hold up the end of kvm-core", async () => {
    const { tiny } = await runIt();
    expect(await core.stop()).toBe(0);
    tiny.kvm.close();
  });

  it("does not keep process.exit() from returning", async () => {
    const abrupt = await startCore([], ABRUPT_MAIN);
    const tiny = await tinyVm(abrupt.path, code, irqchip ? { irqchip } : {});
    if (deaf) await deafServer(tiny);
    tiny.vcpu.run().catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 100));
    abrupt.child.kill("SIGUSR2");
    expect(await abrupt.stop()).toBe(7);
    tiny.kvm.close();
  });

  it("is kicked out of KVM_RUN with EINTR, unless it waits for an answer", async () => {
    const { tiny, run } = await runIt();
    await tiny.vcpu.kick();
    if (deaf) await tiny.vm.request("SPLITVM_DESTROY_VM", {});
    expect(await run).toMatchObject({ code: deaf ? "ENODEV" : "EINTR" });
    tiny.kvm.close();
  });
});
