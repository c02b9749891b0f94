/**
 * The words that every virtio device shares: features of rings and transport, and the device status.
 * Follows: VIRTIO 1.2 sections 2.1 "Device Status Field" and 6 "Reserved Feature Bits".
 * Left out: features that are not offered (ACCESS_PLATFORM, RING_RESET, SR_IOV, NOTIFICATION_DATA, IN_ORDER, ...).
 */

export const VIRTIO_F = {
  RING_INDIRECT_DESC: 1n << 28n,
  RING_EVENT_IDX: 1n << 29n,
  VERSION_1: 1n << 32n,
  RING_PACKED: 1n << 34n,
} as const;

export const STATUS = {
  ACKNOWLEDGE: 0x01,
  DRIVER: 0x02,
  DRIVER_OK: 0x04,
  FEATURES_OK: 0x08,
  NEEDS_RESET: 0x40,
  FAILED: 0x80,
} as const;
