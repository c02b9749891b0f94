/*
 * printf: %d %i %u %x %o %c %s %p %% %f %e %g with flags, width, precision and the lengths h l ll z L.
 * Document: ISO C17, 7.21.6.1. Decimal digits of floating-point numbers are exact, rounded half to even.
 * Left out: %a, %n, wide characters.
 */
#include "libc.h"

#define LIMBS 560 /* of nine decimal digits: 2^16384 has 4,933 digits, as many as 2^-16445 has that count here */

static int written;

static void put(char c)
{
  put_char(c);
  written++;
}

struct spec {
  int minus, plus, space, zero, alternate, width, precision;
};

static void pad(int n, char c)
{
  for (; n > 0; n--)
    put(c);
}

/* A number's text: sign or prefix, then digits. */
static void put_field(const struct spec *s, const char *prefix, const char *text, int length, int zeros)
{
  int prefix_length = (int)strlen(prefix), room = s->width - prefix_length - length - zeros;
  if (!s->minus && !s->zero)
    pad(room, ' ');
  for (const char *c = prefix; *c != 0; c++)
    put(*c);
  if (!s->minus && s->zero)
    pad(room, '0');
  pad(zeros, '0');
  for (int i = 0; i < length; i++)
    put(text[i]);
  if (s->minus)
    pad(room, ' ');
}

static const char *sign_of(const struct spec *s, int negative)
{
  return negative ? "-" : s->plus ? "+" : s->space ? " " : "";
}

static void put_integer(struct spec *s, uint64_t value, unsigned base, const char *prefix, const char *digits)
{
  char text[24], *c = text + sizeof text;
  for (; value != 0; value /= base)
    *--c = digits[value % base];
  int length = (int)(text + sizeof text - c);
  if (s->precision >= 0)
    s->zero = 0;
  int wanted = s->precision >= 0 ? s->precision : 1;
  put_field(s, prefix, c, length, wanted > length ? wanted - length : 0);
}

/* A decimal number of many digits: limbs of 9 digits, the point behind limb `point`. */
static uint32_t limb[2 * LIMBS];

/* limb[first..last) *= factor */
static void multiply(int *first, int last, uint32_t factor)
{
  uint64_t carry = 0;
  for (int i = last - 1; i >= *first; i--) {
    carry += (uint64_t)limb[i] * factor;
    limb[i] = (uint32_t)(carry % 1000000000);
    carry /= 1000000000;
  }
  for (; carry != 0; carry /= 1000000000)
    limb[--*first] = (uint32_t)(carry % 1000000000);
}

/* limb[first..] /= 2^shift, shift <= 9: digits appear behind `last`. */
static void divide(int first, int *last, int shift)
{
  uint64_t rest = 0;
  for (int i = first; i < *last || rest != 0; i++) {
    if (i == *last)
      limb[(*last)++] = 0;
    uint64_t value = rest * 1000000000 + limb[i];
    limb[i] = (uint32_t)(value >> shift);
    rest = value & ((1u << shift) - 1);
  }
}

static char digits[2 * LIMBS * 9 + 2];

/*
 * Decimal digits of significand * 2^exponent to digits[1..]; returns how many stand before the point. `*count` is the
 * number of all of them.
 */
static int decimal(uint64_t significand, int exponent, int *count)
{
  int first = LIMBS, last = LIMBS, point;
  limb[--first] = (uint32_t)(significand % 1000000000);
  limb[--first] = (uint32_t)(significand / 1000000000 % 1000000000);
  limb[--first] = (uint32_t)(significand / 1000000000 / 1000000000);
  point = last;
  for (; exponent >= 9; exponent -= 9)
    multiply(&first, last, 512);
  if (exponent > 0)
    multiply(&first, last, 1u << exponent);
  for (; exponent <= -9; exponent += 9)
    divide(first, &last, 9);
  if (exponent < 0)
    divide(first, &last, -exponent);
  char *to = digits + 1;
  for (int i = first; i < last; i++) {
    uint32_t value = limb[i];
    for (int d = 8; d >= 0; d--) {
      to[d] = (char)('0' + value % 10);
      value /= 10;
    }
    to += 9;
  }
  *count = (int)(to - digits - 1);
  return (point - first) * 9;
}

/* Rounds digits[1..count] to the first `keep`; a carry out of them goes to digits[0], and 1 comes back. */
static int round_to(int keep, int count)
{
  digits[0] = '0';
  int up = 0;
  if (keep < 0)
    keep = 0;
  if (keep < count) {
    int rest = 0;
    for (int i = keep + 2; i <= count; i++)
      rest |= digits[i] != '0';
    char next = digits[keep + 1];
    up = next > '5' || (next == '5' && (rest || ((digits[keep] - '0') & 1)));
  }
  for (int i = keep; up && i >= 0; i--) {
    up = digits[i] == '9';
    digits[i] = up ? '0' : (char)(digits[i] + 1);
  }
  return digits[0] != '0';
}

static char text[2 * LIMBS * 9 + 64];

/* Style f of the digits, `before` of which stand before the point. */
static int fixed(int before, int count, int precision, int alternate)
{
  round_to(before + precision, count);
  int length = 0, started = 0;
  for (int i = 0; i <= before; i++) {
    started |= digits[i] != '0' || i == before;
    if (started)
      text[length++] = digits[i];
  }
  if (precision > 0 || alternate)
    text[length++] = '.';
  for (int i = 1; i <= precision; i++)
    text[length++] = before + i <= count && before + i >= 1 ? digits[before + i] : '0';
  return length;
}

/* Index of the first digit that is not 0; 0 if all are. */
static int leading(int count)
{
  for (int i = 1; i <= count; i++)
    if (digits[i] != '0')
      return i;
  return 0;
}

static int scientific(int before, int count, int precision, int alternate, char e)
{
  int first = leading(count);
  int exponent = first == 0 ? 0 : before - first;
  if (first == 0)
    first = 1;
  /* A carry may make the first digit one further left. */
  round_to(first + precision, count);
  if (digits[first - 1] != '0') {
    first--;
    exponent++;
  }
  int length = 0;
  text[length++] = digits[first];
  if (precision > 0 || alternate)
    text[length++] = '.';
  for (int i = 1; i <= precision; i++)
    text[length++] = first + i <= count ? digits[first + i] : '0';
  text[length++] = e;
  text[length++] = exponent < 0 ? '-' : '+';
  unsigned size = (unsigned)(exponent < 0 ? -exponent : exponent);
  char reversed[6];
  int n = 0;
  do
    reversed[n++] = (char)('0' + size % 10);
  while ((size /= 10) != 0 || n < 2);
  while (n > 0)
    text[length++] = reversed[--n];
  return length;
}

static void put_float(struct spec *s, long double value, char style)
{
  union {
    long double value;
    struct {
      uint64_t significand;
      uint16_t exponent;
    } parts;
  } number = {.value = value};
  int negative = number.parts.exponent >> 15, exponent = number.parts.exponent & 0x7fff;
  uint64_t significand = number.parts.significand;
  if (exponent == 0x7fff) {
    s->zero = 0;
    put_field(s, sign_of(s, negative), significand << 1 ? "nan" : "inf", 3, 0);
    return;
  }
  int precision = s->precision < 0 ? 6 : s->precision, count, length;
  int before = decimal(significand, (exponent == 0 ? 1 : exponent) - 16383 - 63, &count);
  if (style == 'f')
    length = fixed(before, count, precision, s->alternate);
  else if (style == 'e')
    length = scientific(before, count, precision, s->alternate, 'e');
  else {
    if (precision == 0)
      precision = 1;
    int first = leading(count), carried;
    int x = first == 0 ? 0 : before - first;
    if (first != 0) {
      /* Rounding may add a digit. */
      int old = digits[first - 1];
      carried = 0;
      char saved[64];
      memcpy(saved, digits + (first > 32 ? first - 32 : 0), sizeof saved);
      round_to(first + precision - 1, count);
      carried = digits[first - 1] != (first == 1 ? '0' : old);
      x += carried;
      before = decimal(significand, (exponent == 0 ? 1 : exponent) - 16383 - 63, &count);
    }
    if (x < -4 || x >= precision)
      length = scientific(before, count, precision - 1, s->alternate, 'e');
    else
      length = fixed(before, count, precision - 1 - x, s->alternate);
    if (!s->alternate) {
      int mark = length, has_point = 0;
      for (int i = 0; i < length; i++) {
        has_point |= text[i] == '.';
        if (text[i] == 'e')
          mark = i;
      }
      int end = mark;
      while (has_point && end > 0 && (text[end - 1] == '0' || text[end - 1] == '.'))
        if (text[--end] == '.')
          break;
      memmove(text + end, text + mark, (size_t)(length - mark));
      length -= mark - end;
    }
  }
  put_field(s, sign_of(s, negative), text, length, 0);
}

static void put_text(const struct spec *s, const char *c)
{
  int length = 0;
  while ((s->precision < 0 || length < s->precision) && c[length] != 0)
    length++;
  if (!s->minus)
    pad(s->width - length, ' ');
  for (int i = 0; i < length; i++)
    put(c[i]);
  if (s->minus)
    pad(s->width - length, ' ');
}

static int number(const char **format, va_list *args)
{
  int value = 0;
  if (**format == '*') {
    (*format)++;
    return va_arg(*args, int);
  }
  for (; **format >= '0' && **format <= '9'; (*format)++)
    value = value * 10 + (**format - '0');
  return value;
}

static int64_t signed_argument(va_list *args, int longs)
{
  return longs >= 2 ? va_arg(*args, long long) : longs == 1 ? va_arg(*args, long) : va_arg(*args, int);
}

static uint64_t unsigned_argument(va_list *args, int longs)
{
  return longs >= 2   ? va_arg(*args, unsigned long long)
         : longs == 1 ? va_arg(*args, unsigned long)
                      : va_arg(*args, unsigned);
}

int vprintf(const char *format, va_list list)
{
  va_list args;
  va_copy(args, list);
  written = 0;
  for (; *format != 0; format++) {
    if (*format != '%') {
      put(*format);
      continue;
    }
    struct spec s = {.precision = -1};
    for (format++;; format++) {
      if (*format == '-')
        s.minus = 1;
      else if (*format == '+')
        s.plus = 1;
      else if (*format == ' ')
        s.space = 1;
      else if (*format == '0')
        s.zero = 1;
      else if (*format == '#')
        s.alternate = 1;
      else
        break;
    }
    s.width = number(&format, &args);
    if (*format == '.') {
      format++;
      s.precision = number(&format, &args);
    }
    int longs = 0, big = 0;
    for (;; format++) {
      if (*format == 'l')
        longs++;
      else if (*format == 'z')
        longs = 1;
      else if (*format == 'L')
        big = 1;
      else if (*format != 'h')
        break;
    }
    switch (*format) {
    case 'd':
    case 'i': {
      int64_t value = signed_argument(&args, longs);
      put_integer(&s, value < 0 ? -(uint64_t)value : (uint64_t)value, 10, sign_of(&s, value < 0), "0123456789");
      break;
    }
    case 'u': put_integer(&s, unsigned_argument(&args, longs), 10, "", "0123456789"); break;
    case 'o': put_integer(&s, unsigned_argument(&args, longs), 8, "", "01234567"); break;
    case 'x': {
      uint64_t value = unsigned_argument(&args, longs);
      put_integer(&s, value, 16, s.alternate && value ? "0x" : "", "0123456789abcdef");
      break;
    }
    case 'X': put_integer(&s, unsigned_argument(&args, longs), 16, "", "0123456789ABCDEF"); break;
    case 'p': put_integer(&s, (uintptr_t)va_arg(args, void *), 16, "0x", "0123456789abcdef"); break;
    case 'c': put((char)va_arg(args, int)); break;
    case 's': put_text(&s, va_arg(args, const char *)); break;
    case 'f':
    case 'e':
    case 'g': put_float(&s, big ? va_arg(args, long double) : va_arg(args, double), *format); break;
    default: put(*format);
    }
  }
  va_end(args);
  return written;
}

int printf(const char *format, ...)
{
  va_list args;
  va_start(args, format);
  int n = vprintf(format, args);
  va_end(args);
  return n;
}
