/*
 * Interrupt descriptor table and the two 8259 interrupt controllers.
 * Specs: SDM vol. 3, "IDT Descriptors", "64-Bit Mode IDT"; Intel 8259A data sheet, ICW1 to ICW4.
 * Left out: nesting (handlers run with interrupts off) and spurious interrupts.
 */
#include "guest.h"

enum { VECTORS = 48, FIRST_IRQ = 0x20 };
enum { MASTER = 0x20, SLAVE = 0xa0, EOI = 0x20, CASCADE = 2 };

struct gate {
  u16 offset_0, selector;
  u8 stack, type;
  u16 offset_16;
#ifdef __x86_64__
  u32 offset_32, reserved;
#endif
};

struct frame {
  word vector, error, ip, cs, flags;
};

extern u8 vectors[];
static struct gate idt[VECTORS];
static void (*handlers[VECTORS])(void);

/* Not out8(): the controllers sit beside the CPU, in kvm-core, so an access is no exit to the device server. */
static void pic(u16 port, u8 value)
{
  __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static u8 pic_mask(u16 port)
{
  u8 mask;
  __asm__ volatile("inb %1, %0" : "=a"(mask) : "Nd"(port));
  return mask;
}

void interrupts_init(void)
{
  for (unsigned i = 0; i < VECTORS; i++) {
    word entry = (word)vectors + 16 * i;
    idt[i] = (struct gate){.offset_0 = (u16)entry, .selector = 0x08, .type = 0x8e, .offset_16 = (u16)(entry >> 16)};
  }
  struct __attribute__((packed)) { u16 limit; word base; } pointer = {sizeof idt - 1, (word)idt};
  __asm__ volatile("lidt %0" : : "m"(pointer));

  for (unsigned i = 0; i < 2; i++) {
    u16 chip = i == 0 ? MASTER : SLAVE;
    pic(chip, 0x11); /* ICW1: begin, ICW4 follows */
    pic(chip + 1, FIRST_IRQ + 8 * i); /* ICW2: vectors */
    pic(chip + 1, i == 0 ? 1 << CASCADE : CASCADE); /* ICW3: who is connected where */
    pic(chip + 1, 0x01); /* ICW4: 8086 mode */
    pic(chip + 1, 0xff); /* all lines masked */
  }
}

void irq_handle(unsigned irq, void (*handler)(void))
{
  handlers[FIRST_IRQ + irq] = handler;
  u16 mask = (u16)(pic_mask(SLAVE + 1) << 8 | pic_mask(MASTER + 1));
  mask &= (u16)~(1u << irq | 1u << CASCADE);
  pic(MASTER + 1, (u8)mask);
  pic(SLAVE + 1, (u8)(mask >> 8));
}

/* Called from vectors.S. A level interrupt's handler quiets its device first, or the EOI would let it in again. */
void interrupt(struct frame *frame)
{
  if (frame->vector >= VECTORS || handlers[frame->vector] == NULL) {
    print("\nunexpected vector %u, error code %x, at %08x\n", (u32)frame->vector, (u32)frame->error, (u32)frame->ip);
    leave(1);
  }
  handlers[frame->vector]();
  if (frame->vector >= FIRST_IRQ + 8)
    pic(SLAVE, EOI);
  pic(MASTER, EOI);
}
