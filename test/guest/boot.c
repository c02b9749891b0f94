/*
 * From the entry to main(): boot information and command line.
 * Specs: Multiboot 0.6.96, 3.3 "Boot information format"; Xen public/arch-x86/hvm/start_info.h.
 * Left out: all modules but the first, RAM above 4 GiB.
 */
#include "guest.h"
#include "io.h"

enum { MULTIBOOT_MAGIC = 0x2badb002, PVH_MAGIC = 0x336ec578 };
enum { HAS_MEMORY = 1 << 0, HAS_CMDLINE = 1 << 2, HAS_MODULES = 1 << 3, HAS_MMAP = 1 << 6 };
enum { RAM = 1 };

struct multiboot_info {
  u32 flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4], mmap_length, mmap_addr;
};
struct multiboot_module { u32 start, end, string, reserved; };
struct __attribute__((packed)) multiboot_mmap { u32 size; u64 addr, len; u32 type; }; /* `size` does not count itself */

struct pvh_info {
  u32 magic, version, flags, nr_modules;
  u64 modlist, cmdline, rsdp, memmap;
  u32 memmap_entries, reserved;
};
struct pvh_module { u64 paddr, size, cmdline, reserved; };
struct pvh_mmap { u64 addr, size; u32 type, reserved; };

struct boot boot = {.options = ""};
u32 exits;

static void *at(u64 address) { return (void *)(word)address; }

static void add_range(u64 start, u64 size, u32 type)
{
  u32 end_mib = (u32)((start + size + 0xfffff) >> 20); /* rounded up: firmware may keep some at the end */
  if (type == RAM && end_mib <= 4096 && end_mib > boot.memory_mib)
    boot.memory_mib = end_mib;
}

static void from_multiboot(const struct multiboot_info *info)
{
  boot.protocol = "multiboot";
  if (info->flags & HAS_CMDLINE)
    boot.options = at(info->cmdline);
  if (info->flags & HAS_MEMORY)
    boot.memory_mib = (info->mem_upper >> 10) + 1;
  if (info->flags & HAS_MMAP) {
    u32 next = info->mmap_addr, end = next + info->mmap_length;
    while (next < end) {
      const struct multiboot_mmap *entry = at(next);
      add_range(entry->addr, entry->len, entry->type);
      next += entry->size + sizeof entry->size;
    }
  }
  if ((info->flags & HAS_MODULES) && info->mods_count > 0) {
    const struct multiboot_module *module = at(info->mods_addr);
    boot.module = module->string ? at(module->string) : "";
    boot.module_at = module->start;
    boot.module_size = module->end - module->start;
  }
}

static void from_pvh(const struct pvh_info *info)
{
  boot.protocol = "PVH";
  if (info->cmdline)
    boot.options = at(info->cmdline);
  const struct pvh_mmap *entry = at(info->memmap); /* there from version 1 on */
  for (u32 i = 0; info->version >= 1 && i < info->memmap_entries; i++)
    add_range(entry[i].addr, entry[i].size, entry[i].type);
  if (info->nr_modules > 0) {
    const struct pvh_module *module = at(info->modlist);
    boot.module = module->cmdline ? at(module->cmdline) : "";
    boot.module_at = (u32)module->paddr;
    boot.module_size = (u32)module->size;
  }
}

/* Multiboot loaders put the kernel's file name first; it is no option. */
static const char *after_file_name(const char *line)
{
  const char *end = line;
  while (*end != 0 && *end != ' ' && *end != '=')
    end++;
  if (end - line < 4 || end[-4] != '.' || end[-3] != 'e' || end[-2] != 'l' || end[-1] != 'f')
    return line;
  while (*end == ' ')
    end++;
  return end;
}

bool option(const char *name, char *value, size_t size)
{
  for (const char *word = boot.options; *word != 0;) {
    const char *n = name, *c = word;
    while (*n != 0 && *n == *c)
      n++, c++;
    bool found = *n == 0 && *c == '=';
    for (c += found; *c != 0 && *c != ' '; c++)
      if (found && size > 1)
        *value++ = *c, size--;
    if (found) {
      *value = 0;
      return true;
    }
    while (*c == ' ')
      c++;
    word = c;
  }
  return false;
}

u32 option_number(const char *name, u32 otherwise)
{
  char text[16];
  if (!option(name, text, sizeof text))
    return otherwise;
  u32 value = 0, base = 10;
  const char *c = text;
  if (c[0] == '0' && c[1] == 'x')
    c += 2, base = 16;
  for (; *c != 0; c++) {
    u32 digit = *c <= '9' ? (u32)(*c - '0') : (u32)((*c | 0x20) - 'a' + 10);
    if (digit >= base) {
      print("%s=%s: not a number\n", name, text);
      leave(1);
    }
    value = value * base + digit;
  }
  return value;
}

/* Called from crt0.S. */
_Noreturn void start(u32 magic, u32 info)
{
  if (magic == MULTIBOOT_MAGIC)
    from_multiboot(at(info));
  else if (magic == PVH_MAGIC)
    from_pvh(at(info));
  boot.options = after_file_name(boot.options);
  console_init();
  if (boot.protocol == NULL) {
    print("neither multiboot nor PVH: magic %08x\n", magic);
    leave(1);
  }
  interrupts_init();
  leave((u8)main());
}
