/**
 * The protocol's requests, one table: KVM's name and number, the kind of handle it works on, the right that the
 * handle must carry, argument and result. Types, checks, codec and the server's handler signatures derive from it.
 * Follows the Linux KVM API document; SPLITVM_* are ours, numbered from 0x100.
 * Leaves out: what a request does (kvm-core), structures (vcpu-structs.ts, irqchip-structs.ts), capabilities (capabilities.ts).
 */

import { RUN_RESULT } from "./exits.ts";
import { type Fields, MAX_BYTES, type Values } from "./fields.ts";
import { IRQCHIP_STATE, PIT_STATE2, ROUTING_ENTRY } from "./irqchip-structs.ts";
import { CPUID_ENTRIES, KVM_FPU, KVM_REGS, KVM_SREGS, KVM_XCRS, MSR_ENTRIES, VCPU_EVENTS } from "./vcpu-structs.ts";

export type {
  KvmIoApicState,
  KvmIrqchip,
  KvmIrqRoutingEntry,
  KvmPicState,
  KvmPitChannelState,
  KvmPitState2,
} from "./irqchip-structs.ts";
export type { CpuidEntry, KvmFpu, KvmRegs, KvmSegment, KvmSregs, KvmXcrs } from "./vcpu-structs.ts";

/** What a handle stands for; `system` is the connection itself and always has handle 0. */
export type HandleKind = "system" | "vm" | "vcpu";

/**
 * What a handle allows, each including the ones after it: `owner` made the VM or took it over, `server` attached as
 * a device server, `viewer` reads statistics.
 */
export const RIGHTS = { owner: 2, server: 1, viewer: 0 } as const;
export type Right = keyof typeof RIGHTS;

type IoctlRow = {
  readonly nr: number;
  readonly on: HandleKind;
  readonly needs: Right;
  readonly arg: Fields;
  readonly ret: Fields;
};

/** A memfd that the client passed beside the connection (hello.ts); ours to name in later requests. */
const DESCRIPTOR = "u32";
const HANDLE = "u32";
/** Where an address lives: 0 ports, 1 memory. */
const SPACE = "u8";

const REGION = { space: SPACE, address: "u64", length: "u64" } as const satisfies Fields;

export const IOCTLS = {
  KVM_GET_API_VERSION: { nr: 0x00, on: "system", needs: "viewer", arg: {}, ret: { version: "u32" } },
  /** `name` is what `stat`, attached servers and a take-over know the VM by; unique in one kvm-core (EEXIST). */
  KVM_CREATE_VM: { nr: 0x01, on: "system", needs: "owner", arg: { type: "u32", name: "string" }, ret: { vm: HANDLE } },
  KVM_GET_MSR_INDEX_LIST: {
    nr: 0x02,
    on: "system",
    needs: "viewer",
    arg: {},
    ret: { indices: { list: "u32", max: 256 } },
  },
  KVM_CHECK_EXTENSION: { nr: 0x03, on: "system", needs: "viewer", arg: { cap: "u32" }, ret: { value: "i32" } },
  KVM_GET_SUPPORTED_CPUID: { nr: 0x05, on: "system", needs: "viewer", arg: {}, ret: { entries: CPUID_ENTRIES } },

  KVM_CREATE_VCPU: { nr: 0x41, on: "vm", needs: "owner", arg: { id: "u32" }, ret: { vcpu: HANDLE } },
  /** Linux's userspace_addr is here a descriptor and the offset in it; size 0 deletes the slot. */
  KVM_SET_USER_MEMORY_REGION: {
    nr: 0x46,
    on: "vm",
    needs: "owner",
    arg: {
      slot: "u32",
      flags: "u32",
      guest_phys_addr: "u64",
      memory_size: "u64",
      memfd: DESCRIPTOR,
      memfd_offset: "u64",
    },
    ret: {},
  },
  /**
   * Pages of a slot with KVM_MEM_LOG_DIRTY_PAGES that were written since the last time, bit 0 of byte 0 the first one, in
   * whole 64-bit words. The guest's and kvm-core's own writes: a process that does DMA knows what it wrote, as in Linux.
   */
  KVM_GET_DIRTY_LOG: { nr: 0x42, on: "vm", needs: "owner", arg: { slot: "u32" }, ret: { dirty_bitmap: "bytes" } },
  /** struct kvm_enable_cap; arguments that are not given are 0. KVM_CAP_SPLIT_IRQCHIP takes the number of reserved routes. */
  KVM_ENABLE_CAP: {
    nr: 0xa3,
    on: "vm",
    needs: "owner",
    arg: { cap: "u32", flags: "u32", args: { list: "u64", max: 4 } },
    ret: {},
  },
  KVM_CREATE_IRQCHIP: { nr: 0x60, on: "vm", needs: "owner", arg: {}, ret: {} },
  KVM_GET_IRQCHIP: { nr: 0x62, on: "vm", needs: "owner", arg: { chip_id: "u32" }, ret: IRQCHIP_STATE },
  KVM_SET_IRQCHIP: { nr: 0x63, on: "vm", needs: "owner", arg: IRQCHIP_STATE, ret: {} },
  KVM_IRQ_LINE: { nr: 0x61, on: "vm", needs: "owner", arg: { irq: "u32", level: "u32" }, ret: {} },
  /** The whole table; a GSI that has no entry leads nowhere. */
  KVM_SET_GSI_ROUTING: {
    nr: 0x6a,
    on: "vm",
    needs: "owner",
    arg: { flags: "u32", entries: { list: { struct: ROUTING_ENTRY }, max: 4096 } },
    ret: {},
  },
  /** Linux's number is 0xa5, which is KVM_SET_XSAVE's too: there the argument's size tells them apart. */
  KVM_SIGNAL_MSI: {
    nr: 0x1a5,
    on: "vm",
    needs: "owner",
    arg: { address_lo: "u32", address_hi: "u32", data: "u32", flags: "u32" },
    ret: { delivered: "u32" },
  },
  KVM_REINJECT_CONTROL: { nr: 0x71, on: "vm", needs: "owner", arg: { pit_reinject: "u8" }, ret: {} },
  KVM_CREATE_PIT2: { nr: 0x77, on: "vm", needs: "owner", arg: { flags: "u32" }, ret: {} },
  KVM_GET_PIT2: { nr: 0x9f, on: "vm", needs: "owner", arg: {}, ret: PIT_STATE2 },
  KVM_SET_PIT2: { nr: 0xa0, on: "vm", needs: "owner", arg: PIT_STATE2, ret: {} },
  /** `event` and `resample_event` are bits of the server's interrupt mailbox, where Linux has the eventfds `fd` and `resamplefd`. */
  KVM_IRQFD: {
    nr: 0x76,
    on: "vm",
    needs: "server",
    arg: { event: "u32", gsi: "u32", flags: "u32", resample_event: "u32" },
    ret: {},
  },
  /** `event` is the tag that the posted record carries, where Linux has an eventfd; `len` 0 matches any width. */
  KVM_IOEVENTFD: {
    nr: 0x79,
    on: "vm",
    needs: "server",
    arg: { datamatch: "u64", addr: "u64", len: "u32", event: "u32", flags: "u32" },
    ret: {},
  },
  KVM_REGISTER_COALESCED_MMIO: {
    nr: 0x67,
    on: "vm",
    needs: "server",
    arg: { addr: "u64", size: "u32", pio: "u32" },
    ret: {},
  },
  KVM_UNREGISTER_COALESCED_MMIO: {
    nr: 0x68,
    on: "vm",
    needs: "server",
    arg: { addr: "u64", size: "u32", pio: "u32" },
    ret: {},
  },

  /** Completes the exit before it with `data` (an input's bytes), then runs until the next one. */
  KVM_RUN: {
    nr: 0x80,
    on: "vcpu",
    needs: "owner",
    arg: { immediate_exit: "u8", request_interrupt_window: "u8", data: "bytes" },
    ret: RUN_RESULT,
  },
  KVM_GET_REGS: { nr: 0x81, on: "vcpu", needs: "owner", arg: {}, ret: KVM_REGS },
  KVM_SET_REGS: { nr: 0x82, on: "vcpu", needs: "owner", arg: KVM_REGS, ret: {} },
  KVM_GET_SREGS: { nr: 0x83, on: "vcpu", needs: "owner", arg: {}, ret: KVM_SREGS },
  KVM_SET_SREGS: { nr: 0x84, on: "vcpu", needs: "owner", arg: KVM_SREGS, ret: {} },
  KVM_INTERRUPT: { nr: 0x86, on: "vcpu", needs: "owner", arg: { irq: "u32" }, ret: {} },
  /** Reads the entries up to the first index that does not exist, as Linux does. */
  KVM_GET_MSRS: {
    nr: 0x88,
    on: "vcpu",
    needs: "owner",
    arg: { indices: { list: "u32", max: 256 } },
    ret: { entries: MSR_ENTRIES },
  },
  /** Writes the entries up to the first that is refused; `count` is how many were set. */
  KVM_SET_MSRS: { nr: 0x89, on: "vcpu", needs: "owner", arg: { entries: MSR_ENTRIES }, ret: { count: "u32" } },
  KVM_GET_FPU: { nr: 0x8c, on: "vcpu", needs: "owner", arg: {}, ret: KVM_FPU },
  KVM_SET_FPU: { nr: 0x8d, on: "vcpu", needs: "owner", arg: KVM_FPU, ret: {} },
  /** struct kvm_lapic_state: the registers at their offsets, 1024 bytes. */
  KVM_GET_LAPIC: { nr: 0x8e, on: "vcpu", needs: "owner", arg: {}, ret: { regs: "bytes" } },
  KVM_SET_LAPIC: { nr: 0x8f, on: "vcpu", needs: "owner", arg: { regs: "bytes" }, ret: {} },
  KVM_SET_CPUID2: { nr: 0x90, on: "vcpu", needs: "owner", arg: { entries: CPUID_ENTRIES }, ret: {} },
  KVM_GET_CPUID2: { nr: 0x91, on: "vcpu", needs: "owner", arg: {}, ret: { entries: CPUID_ENTRIES } },
  KVM_GET_MP_STATE: { nr: 0x98, on: "vcpu", needs: "owner", arg: {}, ret: { mp_state: "u32" } },
  KVM_SET_MP_STATE: { nr: 0x99, on: "vcpu", needs: "owner", arg: { mp_state: "u32" }, ret: {} },
  KVM_NMI: { nr: 0x9a, on: "vcpu", needs: "owner", arg: {}, ret: {} },
  /** struct kvm_guest_debug: KVM_GUESTDBG_* and, with USE_HW_BP, the debug registers that then are in force. */
  KVM_SET_GUEST_DEBUG: {
    nr: 0x9b,
    on: "vcpu",
    needs: "owner",
    arg: { control: "u32", debugreg: { list: "u64", max: 8 } },
    ret: {},
  },
  /** Linux's number is 0x9f, which is KVM_GET_PIT2's too. */
  KVM_GET_VCPU_EVENTS: { nr: 0x19f, on: "vcpu", needs: "owner", arg: {}, ret: VCPU_EVENTS },
  KVM_SET_VCPU_EVENTS: { nr: 0x1a0, on: "vcpu", needs: "owner", arg: VCPU_EVENTS, ret: {} },
  /** struct kvm_xsave: an XSAVE area in the standard format. */
  KVM_GET_XSAVE: { nr: 0xa4, on: "vcpu", needs: "owner", arg: {}, ret: { region: "bytes" } },
  KVM_SET_XSAVE: { nr: 0xa5, on: "vcpu", needs: "owner", arg: { region: "bytes" }, ret: {} },
  KVM_GET_XCRS: { nr: 0xa6, on: "vcpu", needs: "owner", arg: {}, ret: KVM_XCRS },
  KVM_SET_XCRS: { nr: 0xa7, on: "vcpu", needs: "owner", arg: KVM_XCRS, ret: {} },
  /** A read-only descriptor of the vCPU's statistics (stats-page.ts), to be fetched by hello. */
  KVM_GET_STATS_FD: { nr: 0xce, on: "vm", needs: "viewer", arg: { id: "u32" }, ret: { memfd: DESCRIPTOR } },

  /** The VMs of this kvm-core. `state`: 0 served, 1 parked (its owner is gone). */
  SPLITVM_LIST_VMS: {
    nr: 0x100,
    on: "system",
    needs: "viewer",
    arg: {},
    ret: {
      vms: { list: { struct: { name: "string", state: "u32", vcpus: "u32", owner_pid: "u32" } }, max: 4096 },
    },
  },
  /** Opens a VM by name: `right` 0 viewer, 1 device server, 2 owner again (only once the first owner is dead: EBUSY). */
  SPLITVM_OPEN_VM: {
    nr: 0x101,
    on: "system",
    needs: "viewer",
    arg: { name: "string", right: "u32" },
    ret: { vm: HANDLE },
  },
  /** Ends a handle before the connection does. */
  SPLITVM_CLOSE: { nr: 0x102, on: "system", needs: "viewer", arg: { handle: HANDLE }, ret: {} },
  /** Lets go of a descriptor that was passed or fetched; a slot or area made from it stays. */
  SPLITVM_CLOSE_DESCRIPTOR: { nr: 0x10f, on: "system", needs: "viewer", arg: { descriptor: DESCRIPTOR }, ret: {} },
  /** The VM stays, its vCPUs parked, for `linger` seconds (a day at most) after its owner's connection ends (0: dies with it). */
  SPLITVM_KEEP_VM: { nr: 0x103, on: "vm", needs: "owner", arg: { linger: "u32" }, ret: {} },
  SPLITVM_DESTROY_VM: { nr: 0x104, on: "vm", needs: "owner", arg: {}, ret: {} },
  /** A further handle on a vCPU that exists (after a take-over); ENOENT if it does not. */
  SPLITVM_OPEN_VCPU: { nr: 0x105, on: "vm", needs: "owner", arg: { id: "u32" }, ret: { vcpu: HANDLE } },
  /** Page mode: makes the caller a device server with this area (server-area.ts); the owner's is server 0. */
  SPLITVM_SET_SERVER_AREA: {
    nr: 0x106,
    on: "vm",
    needs: "server",
    arg: { memfd: DESCRIPTOR },
    ret: { server: "u32" },
  },
  /** An address range that belongs to the calling server; what nobody registered is the owner's. */
  SPLITVM_REGISTER_REGION: {
    nr: 0x107,
    on: "vm",
    needs: "server",
    arg: { ...REGION, name: "string" },
    ret: { region: "u32" },
  },
  SPLITVM_UNREGISTER_REGION: { nr: 0x108, on: "vm", needs: "server", arg: { region: "u32" }, ret: {} },
  SPLITVM_READ_GUEST: {
    nr: 0x109,
    on: "vm",
    needs: "server",
    arg: { address: "u64", length: "u32" },
    ret: { data: "bytes" },
  },
  SPLITVM_WRITE_GUEST: {
    nr: 0x10a,
    on: "vm",
    needs: "server",
    arg: { address: "u64", data: "bytes" },
    ret: {},
  },
  /** The vCPU's KICK page (mailbox.ts), to be fetched by hello. */
  SPLITVM_GET_KICK: { nr: 0x10b, on: "vm", needs: "server", arg: { id: "u32" }, ret: { memfd: DESCRIPTOR } },
  /** kvm-core keeps this memfd (journal.ts) for whoever takes the server's place. */
  SPLITVM_SET_JOURNAL: { nr: 0x10c, on: "vm", needs: "server", arg: { memfd: DESCRIPTOR }, ret: {} },
  /**
   * What a dead server left behind, to be fetched by hello; ENOENT if there is no such server, EBUSY while the
   * process lives. `name` is the region that it served or "" for the owner; `journal` is 0 where none was set.
   */
  SPLITVM_TAKE_OVER: {
    nr: 0x10d,
    on: "vm",
    needs: "server",
    arg: { server: "u32" },
    ret: {
      area: DESCRIPTOR,
      journal: DESCRIPTOR,
      slots: {
        list: {
          struct: {
            slot: "u32",
            flags: "u32",
            guest_phys_addr: "u64",
            memory_size: "u64",
            memfd: DESCRIPTOR,
            memfd_offset: "u64",
          },
        },
        max: 64,
      },
      vcpus: { list: "u32", max: 64 },
    },
  },
  /** A RAM slot's memfd for a device server that does DMA, to be fetched by hello. */
  SPLITVM_GET_MEMORY: {
    nr: 0x10e,
    on: "vm",
    needs: "server",
    arg: {},
    ret: {
      slots: {
        list: {
          struct: { guest_phys_addr: "u64", memory_size: "u64", memfd: DESCRIPTOR, memfd_offset: "u64" },
        },
        max: 64,
      },
    },
  },
  /**
   * The VM's code map (code-map.ts), to be fetched by hello: for whoever maps guest memory and writes to it. Who does not
   * map the memory writes with SPLITVM_WRITE_GUEST and needs no map.
   */
  SPLITVM_GET_CODE_MAP: { nr: 0x110, on: "vm", needs: "server", arg: {}, ret: { memfd: DESCRIPTOR } },
  /** Ends the KVM_RUN under way, or the next one, with KVM_EXIT_INTR and EINTR; Linux uses a signal. */
  SPLITVM_KICK: { nr: 0x120, on: "vcpu", needs: "owner", arg: {}, ret: {} },
  /** Which engine runs the vCPU: "interp", "patch" or "wasm". */
  SPLITVM_SET_ENGINE: { nr: 0x121, on: "vcpu", needs: "owner", arg: { engine: "string" }, ret: {} },
  /** Bit 0: in_asm. The lines come as notices. */
  SPLITVM_SET_TRACE: { nr: 0x122, on: "vcpu", needs: "owner", arg: { mask: "u32" }, ret: {} },
} as const satisfies Record<string, IoctlRow>;

export type IoctlName = keyof typeof IOCTLS;
export type Arg<N extends IoctlName> = Values<(typeof IOCTLS)[N]["arg"]>;
export type Ret<N extends IoctlName> = Values<(typeof IOCTLS)[N]["ret"]>;

/** Requests on one kind of handle. */
export type IoctlsOn<K extends HandleKind> = {
  [N in IoctlName]: (typeof IOCTLS)[N]["on"] extends K ? N : never;
}[IoctlName];

/** The server implements exactly this; a missing ioctl does not compile. */
export type Handlers<K extends HandleKind, Self> = {
  readonly [N in IoctlsOn<K>]: (self: Self, arg: Arg<N>) => Ret<N> | Promise<Ret<N>>;
};

const BY_NUMBER = new Map<number, IoctlName>(Object.entries(IOCTLS).map(([name, row]) => [row.nr, name as IoctlName]));

/** The request with this number, or undefined (ENOTTY). */
export function ioctlByNumber(nr: unknown): IoctlName | undefined {
  return typeof nr === "number" ? BY_NUMBER.get(nr) : undefined;
}

/** KVM_MEM_* flags of a slot. */
export const KVM_MEM_LOG_DIRTY_PAGES = 1;
export const KVM_MEM_READONLY = 2;
/** KVM_IOEVENTFD flags. */
export const KVM_IOEVENTFD_FLAG_DATAMATCH = 1;
export const KVM_IOEVENTFD_FLAG_PIO = 2;
export const KVM_IOEVENTFD_FLAG_DEASSIGN = 4;
/** KVM_IRQFD flags. */
export const KVM_IRQFD_FLAG_DEASSIGN = 1;
export const KVM_IRQFD_FLAG_RESAMPLE = 2;
/** KVM_IRQ_ROUTING_*: types of a routing entry. */
export const KVM_IRQ_ROUTING = { IRQCHIP: 1, MSI: 2 } as const;
/** KVM_CREATE_PIT2: kvm-core has port 0x61, too. */
export const KVM_PIT_SPEAKER_DUMMY = 1;
/** Flags of struct kvm_pit_state2. */
export const KVM_PIT_FLAGS = { HPET_LEGACY: 1, SPEAKER_DATA_ON: 2 } as const;
/** KVM_GUESTDBG_*: what of struct kvm_guest_debug's control is built. */
export const KVM_GUESTDBG = { ENABLE: 1, SINGLESTEP: 2, USE_SW_BP: 0x1_0000, USE_HW_BP: 0x2_0000 } as const;
export const KVM_GUESTDBG_ALL = Object.values(KVM_GUESTDBG).reduce((all, bit) => all | bit, 0);
/** KVM_MP_STATE_* */
export const KVM_MP_STATE = { RUNNABLE: 0, UNINITIALIZED: 1, INIT_RECEIVED: 2, HALTED: 3, SIPI_RECEIVED: 4 } as const;

/** Address spaces of a region. */
export const SPACE_PIO = 0;
export const SPACE_MMIO = 1;

/** The API version, Linux's. */
export const KVM_API_VERSION = 12;
export { MAX_BYTES };
