# Guest programs: build/guest/*.elf. Included by the Makefile; also works alone, from the repository's root:
#   make -f test/guest/guest.mk guest
# 32-bit code needs no multilib: nothing is linked but what stands here.

GUEST_DIR := test/guest
GUEST_OUT := build/guest
GUEST_CC ?= gcc
GUEST_LD ?= ld

GUEST_CFLAGS := -std=gnu11 -O2 -Wall -Wextra -Werror=implicit-function-declaration \
  -ffreestanding -nostdlib -fno-pic -no-pie -mgeneral-regs-only -mno-red-zone -fno-stack-protector \
  -fcf-protection=none -fno-asynchronous-unwind-tables -fno-tree-vectorize -fno-tree-loop-distribute-patterns \
  -fno-strict-aliasing -fno-common -MMD -MP
GUEST_FLAGS_64 := -m64 -march=x86-64
GUEST_FLAGS_32 := -m32 -march=i686
GUEST_LDFLAGS := -nostdlib -static -z noexecstack -z max-page-size=4096 -T $(GUEST_DIR)/guest.ld

GUEST_RUNTIME := crt0 vectors boot console interrupts lib pci
GUESTS := $(GUEST_OUT)/demo64.elf $(GUEST_OUT)/demo32.elf $(GUEST_OUT)/bench64.elf

# C programs with a small C library, and the same ones as Linux processes: what the guest prints has to be what they print.
GUESTS += $(GUEST_OUT)/program64.elf $(GUEST_OUT)/program32.elf
GUESTS += $(GUEST_OUT)/program64-native $(GUEST_OUT)/program32-native $(GUEST_OUT)/program64-hosted

# A real-mode program: loaded and started at 0000:7C00.
GUESTS += $(GUEST_OUT)/modes.bin

.PHONY: guest guest-programs guest-clean
guest: guest-programs
guest-programs: $(GUESTS)
guest-clean:
	rm -rf $(GUEST_OUT)

# guest_objects BITS SUFFIX
define guest_objects
$(GUEST_OUT)/$(1)/%.o: $(GUEST_DIR)/%.$(2) $(GUEST_DIR)/guest.mk
	@mkdir -p $$(@D)
	@echo "  CC  $$@"
	@$(GUEST_CC) $(GUEST_FLAGS_$(1)) $(GUEST_CFLAGS) -c $$< -o $$@
endef
$(eval $(call guest_objects,64,c))
$(eval $(call guest_objects,64,S))
$(eval $(call guest_objects,32,c))
$(eval $(call guest_objects,32,S))

$(GUEST_OUT)/demo64.elf: $(patsubst %,$(GUEST_OUT)/64/%.o,$(GUEST_RUNTIME) demo)
$(GUEST_OUT)/demo32.elf: $(patsubst %,$(GUEST_OUT)/32/%.o,$(GUEST_RUNTIME) demo)
$(GUEST_OUT)/bench64.elf: $(patsubst %,$(GUEST_OUT)/64/%.o,$(GUEST_RUNTIME) bench loops float-loops dispersed)
$(GUEST_OUT)/%64.elf: $(GUEST_DIR)/guest.ld
	@echo "  LD  $@"
	@$(GUEST_LD) -m elf_x86_64 $(GUEST_LDFLAGS) $(filter %.o,$^) -o $@
$(GUEST_OUT)/%32.elf: $(GUEST_DIR)/guest.ld
	@echo "  LD  $@"
	@$(GUEST_LD) -m elf_i386 $(GUEST_LDFLAGS) $(filter %.o,$^) -o $@

C_LIBRARY := printf stdlib math setjmp
C_CFLAGS := -std=gnu11 -O2 -Wall -Wextra -fno-pic -no-pie -fno-stack-protector -fcf-protection=none \
  -fno-asynchronous-unwind-tables -fno-builtin -fno-strict-aliasing -fno-tree-loop-distribute-patterns -MMD -MP
C_BARE := -ffreestanding -nostdlib -static
C_FLAGS_64 := -m64 -march=x86-64-v2
C_FLAGS_32 := -m32 -march=i686 -msse4.2

# c_objects BITS SUFFIX
define c_objects
$(GUEST_OUT)/$(1)/c/%.o: $(GUEST_DIR)/c/%.$(2) $(GUEST_DIR)/guest.mk
	@mkdir -p $$(@D)
	@echo "  CC  $$@"
	@$(GUEST_CC) $$(C_FLAGS_$(1)) $$(C_CFLAGS) $$(C_BARE) -c $$< -o $$@
endef
$(eval $(call c_objects,64,c))
$(eval $(call c_objects,64,S))
$(eval $(call c_objects,32,c))
$(eval $(call c_objects,32,S))

# It runs before x87 and SSE are on.
$(GUEST_OUT)/64/c/bare.o: C_CFLAGS += -mgeneral-regs-only
$(GUEST_OUT)/32/c/bare.o: C_CFLAGS += -mgeneral-regs-only

C_GUEST := $(patsubst %,%.o,$(GUEST_RUNTIME) $(C_LIBRARY:%=c/%) c/bare)
$(GUEST_OUT)/program64.elf: $(addprefix $(GUEST_OUT)/64/,$(C_GUEST) c/program.o)
$(GUEST_OUT)/program32.elf: $(addprefix $(GUEST_OUT)/32/,$(C_GUEST) c/program.o)
$(GUEST_OUT)/program%-native: $(addprefix $(GUEST_OUT)/%/,lib.o $(C_LIBRARY:%=c/%.o) c/linux.o c/program.o)
	@echo "  LD  $@"
	@$(GUEST_CC) $(C_FLAGS_$*) -nostdlib -static -no-pie $^ -o $@
$(GUEST_OUT)/program64-hosted: $(GUEST_DIR)/c/program.c $(GUEST_DIR)/c/libc.h
	@mkdir -p $(@D)
	@echo "  LD  $@"
	@$(GUEST_CC) $(C_FLAGS_64) $(filter-out -MMD -MP,$(C_CFLAGS)) -DHOSTED $< -lm -o $@

$(GUEST_OUT)/modes.bin: $(GUEST_OUT)/32/modes.o
	@echo "  LD  $@"
	@$(GUEST_LD) -m elf_i386 -nostdlib -static -Ttext=0x7c00 --oformat binary $< -o $@

-include $(wildcard $(GUEST_OUT)/*/*.d $(GUEST_OUT)/*/c/*.d)
