/*
 * Ports and device memory. Each access is an exit to the device server, and is counted here:
 * the demo compares its own count with the device's.
 */
#ifndef IO_H
#define IO_H

#include "guest.h"

extern u32 exits;

#define PORT_ACCESS(type, suffix, in_name, out_name)                      \
  static inline type in_name(u16 port)                                    \
  {                                                                       \
    type value;                                                           \
    exits++;                                                              \
    __asm__ volatile("in" suffix " %1, %0" : "=a"(value) : "Nd"(port));   \
    return value;                                                         \
  }                                                                       \
  static inline void out_name(u16 port, type value)                       \
  {                                                                       \
    exits++;                                                              \
    __asm__ volatile("out" suffix " %0, %1" : : "a"(value), "Nd"(port));  \
  }

PORT_ACCESS(u8, "b", in8, out8)
PORT_ACCESS(u16, "w", in16, out16)
PORT_ACCESS(u32, "l", in32, out32)

static inline u32 read32(u32 address)
{
  exits++;
  return *(volatile u32 *)(word)address;
}

static inline void write32(u32 address, u32 value)
{
  exits++;
  *(volatile u32 *)(word)address = value;
}

#endif
