/**
 * A VM of a few instructions, made by ioctls: 32-bit flat protected mode, code at 0x1000, a megabyte of RAM at 0.
 */
import { DeviceMemory, sealedMemfd } from "../../qemu-user/device/device-memory.ts";
import { Kvm, type Vcpu, type Vm } from "../../qemu-user/kvm/kvm.ts";
import { FLAT_PROTECTED_MODE } from "../../qemu-user/loader/initial-state.ts";

export const CODE = 0x1000;
const RAM = 1 << 20;

export type TinyVm = {
  readonly kvm: Kvm;
  readonly vm: Vm;
  readonly vcpu: Vcpu;
  readonly memory: DeviceMemory;
  readonly ram: Uint8Array;
};

let made = 0;

/** Makes it on the kvm-core at `path`; RIP is at the first byte of `code`. */
export async function tinyVm(
  path: string,
  code: readonly number[],
  options: { readonly irqchip?: boolean } = {},
): Promise<TinyVm> {
  const kvm = Kvm.connect(path);
  const vm = await kvm.createVm(`tiny-${process.pid}-${made++}`);
  const memory = new DeviceMemory(RAM);
  const fd = sealedMemfd("tiny-ram", RAM);
  memory.mapRam(fd);
  await vm.setMemory(0, 0, RAM, fd);
  if (options.irqchip) await vm.request("KVM_CREATE_IRQCHIP", {});
  const vcpu = await vm.createVcpu(0);
  const ram = new Uint8Array(memory.buffer, 0, RAM);
  ram.set(code, CODE);
  await vcpu.setSregs({ ...(await vcpu.getSregs()), ...FLAT_PROTECTED_MODE });
  await vcpu.setRegs({ ...(await vcpu.getRegs()), rip: BigInt(CODE), rsp: 0x8000n, rflags: 2n });
  return { kvm, vm, vcpu, memory, ram };
}
