/**
 * Loading a kernel: which format it is, and the state of the machine that starts it.
 * Follows: QEMU's order for -kernel: multiboot first, then PVH, then Linux. QEMU has no vmlinux without a PVH note; here it is Linux.
 * Left out: firmware.
 */
import type { GuestMemory } from "../../shared/guest-memory.ts";
import { BootFile } from "./boot-file.ts";
import { readElf } from "./elf.ts";
import {
  FLAT_PROTECTED_MODE,
  type InitialRegs,
  type InitialSregs,
  initialRegs,
  linuxRegs,
  linuxSregs,
} from "./initial-state.ts";
import { isLinux, isLinuxElf, type LinuxKernel, loadLinux, loadLinuxElf } from "./linux.ts";
import { LoaderError } from "./loader-error.ts";
import { loadModules, parseModules } from "./modules.ts";
import { findMultiboot, loadMultiboot, MULTIBOOT_LOADER_MAGIC, writeMultibootInfo } from "./multiboot.ts";
import { type MemoryMapEntry, Placement } from "./placement.ts";
import { findPvhEntry, loadPvh, writeStartInfo } from "./pvh.ts";
import { LINUX_GDT_LIMIT } from "./zero-page.ts";

/** What `-kernel`, `-initrd` and `-append` said. */
export interface BootFiles {
  readonly kernel: string;
  readonly initrd: string | undefined;
  readonly append: string;
}

/** A kernel that lies in guest memory, and the state of the boot CPU that starts it. */
export interface LoadedKernel {
  readonly kind: "multiboot" | "pvh" | "linux";
  readonly entry: number;
  readonly regs: InitialRegs;
  readonly sregs: InitialSregs;
}

/**
 * Loads kernel and modules into guest memory, with the memory map that the guest is told and the address of the ACPI
 * tables' RSDP, or 0.
 * Throws a LoaderError whose message is one line fit for the user: "PATH: reason". Guest memory is then of no use.
 */
export function loadKernel(
  files: BootFiles,
  memory: GuestMemory,
  map: readonly MemoryMapEntry[],
  rsdp = 0,
): LoadedKernel {
  const placement = new Placement(map);
  const file = new BootFile(files.kernel);
  try {
    const multiboot = findMultiboot(file);
    if (multiboot !== undefined) {
      const entry = loadMultiboot(file, multiboot, memory, placement);
      const modules = loadModules(parseModules(files.initrd), memory, placement);
      // The kernel's name comes first, as with GRUB and QEMU: kernels skip that word.
      const commandLine = files.append === "" ? file.path : `${file.path} ${files.append}`;
      const info = writeMultibootInfo(file.path, commandLine, modules, map, memory, placement);
      return loaded("multiboot", entry, MULTIBOOT_LOADER_MAGIC, info);
    }
    const job = { file, initrd: files.initrd, commandLine: files.append, map, rsdp, memory, placement };
    if (isLinux(file)) return linux(loadLinux(job));
    const elf = readElf(file);
    const entry = elf === undefined ? undefined : findPvhEntry(file, elf);
    if (elf !== undefined && entry === undefined && isLinuxElf(file, elf)) return linux(loadLinuxElf(job, elf));
    if (elf === undefined || entry === undefined) throw notAKernel(file);
    loadPvh(file, elf, entry, memory, placement);
    const modules = loadModules(parseModules(files.initrd), memory, placement);
    const info = writeStartInfo(file.path, files.append, modules, map, rsdp, memory, placement);
    return loaded("pvh", entry, 0, info);
  } finally {
    file.close();
  }
}

function loaded(kind: LoadedKernel["kind"], entry: number, eax: number, ebx: number): LoadedKernel {
  return { kind, entry, regs: initialRegs(entry, eax, ebx), sregs: FLAT_PROTECTED_MODE };
}

function linux({ entry, zeroPage, gdt, pageTables }: LinuxKernel): LoadedKernel {
  return {
    kind: "linux",
    entry,
    regs: linuxRegs(entry, zeroPage),
    sregs: linuxSregs(gdt, LINUX_GDT_LIMIT, pageTables),
  };
}

function notAKernel(file: BootFile): LoaderError {
  return new LoaderError(file.path, "not a multiboot, PVH or Linux kernel (bzImage or vmlinux)");
}
