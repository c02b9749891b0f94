/**
 * Structures of the requests on a VM's interrupt controllers and its PIT (ioctls.ts), with Linux's names for the fields.
 * Spec: KVM API document, KVM_GET_IRQCHIP, KVM_SET_GSI_ROUTING, KVM_GET_PIT2.
 * Leaves out: the local APIC's.
 */
import type { Fields, Values } from "./fields.ts";

/** struct kvm_pic_state with its chip: 0 is the master 8259, 1 the slave. */
const PIC_STATE = {
  chip_id: "u32",
  last_irr: "u8",
  irr: "u8",
  imr: "u8",
  isr: "u8",
  priority_add: "u8",
  irq_base: "u8",
  read_reg_select: "u8",
  poll: "u8",
  special_mask: "u8",
  init_state: "u8",
  auto_eoi: "u8",
  rotate_on_auto_eoi: "u8",
  special_fully_nested_mode: "u8",
  init4: "u8",
  elcr: "u8",
  elcr_mask: "u8",
} as const satisfies Fields;
export type KvmPicState = Values<typeof PIC_STATE>;

/** struct kvm_ioapic_state; `redirtbl` has 24 entries. */
const IOAPIC_STATE = {
  base_address: "u64",
  ioregsel: "u32",
  id: "u32",
  irr: "u32",
  redirtbl: { list: "u64", max: 24 },
} as const satisfies Fields;
export type KvmIoApicState = Values<typeof IOAPIC_STATE>;

/** struct kvm_irqchip: Linux's union is here the 8259's fields and, for chip 2 alone, one entry of `ioapic`. */
export const IRQCHIP_STATE = {
  ...PIC_STATE,
  ioapic: { list: { struct: IOAPIC_STATE }, max: 1 },
} as const satisfies Fields;
export type KvmIrqchip = Values<typeof IRQCHIP_STATE>;

/** struct kvm_irq_routing_entry: the members of Linux's union side by side; those of the other type do not count. */
export const ROUTING_ENTRY = {
  gsi: "u32",
  type: "u32",
  flags: "u32",
  irqchip: "u32",
  pin: "u32",
  address_lo: "u32",
  address_hi: "u32",
  data: "u32",
} as const satisfies Fields;
export type KvmIrqRoutingEntry = Values<typeof ROUTING_ENTRY>;

/** struct kvm_pit_state2. `count_load_time` is a clockMonotonic() time; all ones: the channel does not count. */
export const PIT_STATE2 = {
  channels: {
    list: {
      struct: {
        count: "u32",
        latched_count: "u16",
        count_latched: "u8",
        status_latched: "u8",
        status: "u8",
        read_state: "u8",
        write_state: "u8",
        write_latch: "u8",
        rw_mode: "u8",
        mode: "u8",
        bcd: "u8",
        gate: "u8",
        count_load_time: "u64",
      },
    },
    max: 3,
  },
  flags: "u32",
} as const satisfies Fields;
export type KvmPitState2 = Values<typeof PIT_STATE2>;
export type KvmPitChannelState = KvmPitState2["channels"][number];
