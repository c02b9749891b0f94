/*
 * Console: a 16550A UART, polled, or with `console=debugcon` the debug console; and the way out.
 * Specs: National Semiconductor PC16550D, section 8; QEMU's isa-debugcon (0xe9) and isa-debug-exit (0xf4).
 * Left out: receiving.
 */
#include "guest.h"
#include "io.h"

enum { DEBUG_CONSOLE = 0xe9, DEBUG_EXIT = 0xf4 };
enum { COM1 = 0x3f8, THR = 0, DLL = 0, DLM = 1, IER = 1, FCR = 2, LCR = 3, MCR = 4, LSR = 5 };
enum { LCR_8N1 = 0x03, LCR_DLAB = 0x80, FCR_ENABLE_AND_CLEAR = 0x07, MCR_DTR_RTS = 0x03, LSR_THRE = 0x20 };

u32 console_waits;
static bool debug_console;

void console_init(void)
{
  char name[12];
  debug_console = option("console", name, sizeof name) && strcmp(name, "debugcon") == 0;
  if (debug_console)
    return;
  out8(COM1 + IER, 0);
  out8(COM1 + LCR, LCR_DLAB);
  out8(COM1 + DLL, 1); /* 115200 baud */
  out8(COM1 + DLM, 0);
  out8(COM1 + LCR, LCR_8N1);
  out8(COM1 + FCR, FCR_ENABLE_AND_CLEAR);
  out8(COM1 + MCR, MCR_DTR_RTS);
}

static void put(char c)
{
  if (debug_console) {
    out8(DEBUG_CONSOLE, (u8)c);
    return;
  }
  if (c == '\n')
    put('\r');
  while (!(in8(COM1 + LSR) & LSR_THRE))
    console_waits++;
  out8(COM1 + THR, (u8)c);
}

static void put_padded(const char *text, unsigned width, char fill)
{
  unsigned length = 0;
  while (text[length] != 0)
    length++;
  for (; width > length; width--)
    put(fill);
  while (*text != 0)
    put(*text++);
}

static void put_number(u32 value, unsigned base, bool minus, unsigned width, char fill)
{
  char text[12], *c = text + sizeof text;
  *--c = 0;
  do {
    *--c = "0123456789abcdef"[value % base];
    value /= base;
  } while (value != 0);
  if (minus)
    *--c = '-';
  put_padded(c, width, fill);
}

void print(const char *format, ...)
{
  va_list args;
  va_start(args, format);
  for (; *format != 0; format++) {
    if (*format != '%') {
      put(*format);
      continue;
    }
    char fill = *++format == '0' ? '0' : ' ';
    unsigned width = 0;
    for (; *format >= '0' && *format <= '9'; format++)
      width = width * 10 + (unsigned)(*format - '0');
    switch (*format) {
    case 's': put_padded(va_arg(args, const char *), width, ' '); break;
    case 'c': put((char)va_arg(args, int)); break;
    case 'u': put_number(va_arg(args, u32), 10, false, width, fill); break;
    case 'x': put_number(va_arg(args, u32), 16, false, width, fill); break;
    case 'd': {
      int value = va_arg(args, int);
      put_number(value < 0 ? -(u32)value : (u32)value, 10, value < 0, width, fill);
      break;
    }
    default: put(*format);
    }
  }
  va_end(args);
}

_Noreturn void leave(u8 value)
{
  out8(DEBUG_EXIT, 0x10 | value); /* a status that the emulator itself never ends with: 33, 35 */
  halt(); /* where there is no such device */
}
