/** Routes and messages of vectors, with a kvm-core and a guest that halts until one comes. */
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { createOwnedVm, type OwnedVm } from "../../../qemu-user/device/owned-vm.ts";
import { Kvm } from "../../../qemu-user/kvm/kvm.ts";
import { MsiRoutes } from "../../../qemu-user/kvm/msi-routes.ts";
import { FLAT_PROTECTED_MODE } from "../../../qemu-user/loader/initial-state.ts";
import { Mailbox } from "../../../shared/mailbox.ts";
import { type Core, startCore } from "../../support/core.ts";

const message = (data: number) => ({ addressLow: 0xfee0_0000, addressHigh: 0, data });
const route = (event: number, version: number, data: number) => ({
  ...{ event, gsi: 64 + event, version, message: message(data) },
});

/** Where the guest counts: that it is ready, and its interrupts of vectors 30h and 31h. */
const READY = 0x9000;
const COUNTS = 0x9004;
/** INC dword [address] */
const count = (address: number) => [0xff, 0x05, address & 0xff, address >> 8, 0, 0];

describe("with a guest", () => {
  let core: Core;
  let kvm: Kvm;
  let owned: OwnedVm;

  beforeAll(async () => {
    core = await startCore();
    kvm = Kvm.connect(core.path);
    owned = await createOwnedVm(kvm, "msi", 1 << 20, "page");
    const { memory, vcpu } = owned;
    const ram = new Uint8Array(memory.buffer);
    // Enables the local APIC and counts at READY; STI, HLT, and round again.
    ram.set(
      [0xc7, 0x05, 0xf0, 0x00, 0xe0, 0xfe, 0xff, 0x01, 0x00, 0x00, ...count(READY), 0xfb, 0xf4, 0xeb, 0xfd],
      0x1000,
    );
    for (const vector of [0x30, 0x31]) {
      const handler = 0x2000 + 0x100 * (vector & 1);
      ram.set([handler & 0xff, handler >> 8, 0x08, 0, 0, 0x8e, 0, 0], 0x3000 + vector * 8);
      // EOI, counts, IRET
      ram.set([0xc7, 0x05, 0xb0, 0x00, 0xe0, 0xfe, 0, 0, 0, 0, ...count(COUNTS + 4 * (vector & 1)), 0xcf], handler);
    }
    ram.set([0xff, 0xff, 0, 0, 0, 0x9b, 0xcf, 0, 0xff, 0xff, 0, 0, 0, 0x93, 0xcf, 0], 0x4008);
    await vcpu.setSregs({
      ...(await vcpu.getSregs()),
      ...FLAT_PROTECTED_MODE,
      gdt: { base: 0x4000n, limit: 0x17 },
      idt: { base: 0x3000n, limit: 0x7ff },
    });
    await vcpu.setRegs({ ...(await vcpu.getRegs()), rip: 0x1000n, rsp: 0x8000n, rflags: 2n });
  });
  afterAll(async () => {
    kvm.close();
    await core.stop();
  });

  /** Raises something; resolves when the guest has counted so often. */
  async function counted(raise: () => void, counts: readonly number[]): Promise<void> {
    const words = new Int32Array(owned.memory.buffer, READY, 3);
    raise();
    await vi.waitFor(() => expect([...words]).toEqual(counts), { timeout: 10_000, interval: 5 });
  }

  test("a message, an event by its route, and the same event by another route", async () => {
    const { vm, memory } = owned;
    let confirm: (text: string) => void = () => {};
    const confirmed = () =>
      new Promise<string>((resolve) => {
        confirm = resolve;
      });
    const routes = new MsiRoutes(vm, (event, version, done) => confirm(`${event}.${version} ${done}`));
    const mailbox = new Mailbox(memory.buffer, memory.plan.area, memory.buffer, memory.plan.kick);
    const run = owned.vcpu.run().catch(() => {});
    await counted(() => {}, [1, 0, 0]);
    await counted(() => routes.send(message(0x30)), [1, 1, 0]);
    let answer = confirmed();
    routes.set(route(7, 1, 0x31));
    expect(await answer).toBe("7.1 true");
    await counted(() => mailbox.signal(7), [1, 1, 1]);
    answer = confirmed();
    routes.set(route(7, 2, 0x30));
    expect(await answer).toBe("7.2 true");
    await counted(() => mailbox.signal(7), [1, 2, 1]);
    // A process that takes this one's place finds the event tied.
    answer = confirmed();
    new MsiRoutes(vm, (event, version, done) => confirm(`${event}.${version} ${done}`)).set(route(7, 1, 0x31));
    expect(await answer).toBe("7.1 true");
    await counted(() => mailbox.signal(7), [1, 2, 2]);
    await owned.vcpu.kick();
    await run;
  });
});

describe("requests", () => {
  type Asked = { readonly name: string; readonly arg: Record<string, unknown>; readonly answer: (e?: Error) => void };

  function fake() {
    const asked: Asked[] = [];
    const request = (name: string, arg: Record<string, unknown>) =>
      new Promise((resolve, reject) => {
        asked.push({ name, arg, answer: (error) => (error ? reject(error) : resolve({})) });
      });
    const confirmed: string[] = [];
    const vm = { request } as unknown as ConstructorParameters<typeof MsiRoutes>[0];
    const routes = new MsiRoutes(vm, (event, version, done) => confirmed.push(`${event}.${version} ${done}`));
    const settle = () => new Promise((resolve) => setImmediate(resolve));
    return { asked, confirmed, routes, settle };
  }
  const rows = ({ arg }: Asked) => arg["entries"] as { gsi: number; type: number; irqchip: number; pin: number }[];

  test("the table keeps the chips' rows, and what comes meanwhile goes together", async () => {
    const { asked, confirmed, routes, settle } = fake();
    routes.set(route(0, 1, 0x30));
    routes.set(route(1, 1, 0x31));
    routes.set(route(1, 2, 0x32));
    expect(asked).toHaveLength(1);
    const chips = rows(asked[0]!).filter(({ type }) => type === 1);
    expect(chips).toHaveLength(38); // 15 inputs of the 8259s, 23 of the IOAPIC
    expect(chips.filter(({ gsi }) => gsi === 0 || gsi === 12).map(({ irqchip, pin }) => [irqchip, pin])).toEqual([
      [0, 0],
      [2, 2],
      [1, 4],
      [2, 12],
    ]);
    asked[0]!.answer();
    await settle();
    asked[1]!.answer();
    await settle();
    expect([asked[1]!.arg, confirmed]).toEqual([{ event: 0, gsi: 64, flags: 0, resample_event: 0 }, ["0.1 true"]]);
    expect(rows(asked[2]!).filter(({ type }) => type === 2)).toMatchObject([
      { gsi: 64, data: 0x30 },
      { gsi: 65, data: 0x32 },
    ]);
    asked[2]!.answer();
    await settle();
    asked[3]!.answer();
    await settle();
    expect(confirmed).toEqual(["0.1 true", "1.2 true"]);
  });

  test("a route that is refused is told, and leaves the table", async () => {
    const { asked, confirmed, routes, settle } = fake();
    routes.set(route(0, 1, 0x30));
    asked[0]!.answer(new Error("EINVAL"));
    await settle();
    expect(confirmed).toEqual(["0.1 false"]);
    routes.set(route(1, 1, 0x31));
    expect(rows(asked[1]!).filter(({ type }) => type === 2)).toMatchObject([{ gsi: 65 }]);
  });
});
