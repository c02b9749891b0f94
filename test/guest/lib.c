/*
 * What gcc takes for granted where there is no C library: block and string functions,
 * and 64-bit division for 32-bit code.
 */
#include "guest.h"

void *memset(void *to, int value, size_t n)
{
  void *at = to;
  __asm__ volatile("rep stosb" : "+D"(at), "+c"(n) : "a"(value) : "memory");
  return to;
}

void *memcpy(void *to, const void *from, size_t n)
{
  void *at = to;
  __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(n) : : "memory");
  return to;
}

int strcmp(const char *a, const char *b)
{
  while (*a != 0 && *a == *b)
    a++, b++;
  return (u8)*a - (u8)*b;
}

/* CRC-32 of IEEE 802.3, bit by bit. */
u32 crc32(const void *data, size_t n)
{
  u32 crc = ~0u;
  for (const u8 *byte = data; n > 0; n--) {
    crc ^= *byte++;
    for (unsigned bit = 0; bit < 8; bit++)
      crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc;
}

#ifndef __x86_64__
/* gcc calls these two by name; they are libgcc's. Long division, a bit at a time. */
u64 __udivmoddi4(u64 dividend, u64 divisor, u64 *remainder)
{
  u64 rest = 0;
  for (unsigned bit = 0; bit < 64; bit++) {
    bool carry = rest >> 63;
    rest = rest << 1 | dividend >> 63;
    dividend <<= 1;
    if (carry || rest >= divisor) {
      rest -= divisor;
      dividend |= 1;
    }
  }
  *remainder = rest;
  return dividend; /* the quotient has moved in */
}

u64 __udivdi3(u64 dividend, u64 divisor)
{
  u64 remainder;
  return __udivmoddi4(dividend, divisor, &remainder);
}

u64 __umoddi3(u64 dividend, u64 divisor)
{
  u64 remainder;
  __udivmoddi4(dividend, divisor, &remainder);
  return remainder;
}
#endif
